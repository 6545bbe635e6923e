"""Weights that training starts from: what fits, what is adapted, what is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

import bench
from bench.engine.starting import Fit, head_of, take_over

SHAPE = (3, 8, 8)


def network(classes: int = 3, channels: int = 3, width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(channels, width, 3),
        nn.BatchNorm2d(width),
        nn.Flatten(),
        nn.Linear(width * 36, classes),
    )
    nn.init.normal_(model[1].weight)
    return model


HEAD = frozenset({"3.weight", "3.bias"})


def fit(
    model: nn.Module, given: Mapping[str, Tensor], same: bool = True, head: frozenset[str] = HEAD
) -> Fit:
    return take_over(
        model, given, head, same_classes=same, where="weights `w` of plugin p", model="net"
    )


def built(classes: int, shape: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.Flatten(), nn.Linear(4 * 36, classes))


def stubborn(classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Build a network that looks at a value, which tensors on meta have not."""
    float(torch.zeros(1)[0])
    return built(classes, shape)


@pytest.mark.parametrize("factory", [built, stubborn])
def test_the_head_is_what_the_number_of_classes_shapes(factory: type) -> None:
    assert head_of(factory, 3, SHAPE) == {"2.weight", "2.bias"}


def test_finding_the_head_draws_no_random_numbers() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    head_of(built, 3, SHAPE)
    assert torch.rand(2).equal(expected)


def test_equal_networks_take_over_everything() -> None:
    source, model = network(seed=1), network(seed=2)
    found = fit(model, source.state_dict())
    for name, tensor in model.state_dict().items():
        assert tensor.equal(source.state_dict()[name]), name
    assert (found.new, found.unused, found.adapted, found.share) == ((), (), (), 1.0)
    assert found.loaded == found.of == len(model.state_dict())
    assert str(found) == f"{found.of} of {found.of} tensors"


def test_the_head_starts_anew_for_other_classes() -> None:
    source, model = network(5, seed=1), network(3, seed=2)
    before = model[3].weight.detach().clone()
    found = fit(model, source.state_dict())
    assert model[3].weight.equal(before)
    assert model[0].weight.equal(source[0].weight)
    assert found.new == ("3.weight", "3.bias")
    assert found.share == 1.0


def test_a_head_of_as_many_other_classes_is_not_taken_over() -> None:
    source, model = network(seed=1), network(seed=2)
    found = fit(model, source.state_dict(), same=False)
    assert found.new == ("3.weight", "3.bias")
    assert not model[3].weight.equal(source[3].weight)


@pytest.mark.parametrize(("there", "here"), [(3, 1), (1, 3)])
def test_the_answer_to_gray_images_survives_a_change_of_channels(there: int, here: int) -> None:
    source, model = network(channels=there, seed=1).eval(), network(channels=here, seed=2).eval()
    found = fit(model, source.state_dict())
    assert found.adapted == ("0.weight",)
    gray = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        expected = source(gray.expand(-1, there, -1, -1))
        torch.testing.assert_close(model(gray.expand(-1, here, -1, -1)), expected)


def test_other_shapes_are_listed_and_start_anew() -> None:
    source = {name: t for name, t in network(seed=1).state_dict().items() if "running" not in name}
    source["0.weight"] = torch.zeros(4, 3, 3, 3)
    source["1.weight"] = torch.zeros(5)
    source["extra"] = torch.zeros(1)
    found = fit(network(seed=2), source)
    assert {"1.weight", "1.running_mean"} <= {*found.new}
    assert found.shapes == {"1.weight": "(5,) there, (4,) here"}
    assert "`1.weight` is (5,) there, (4,) here" in str(found)
    assert found.unused == ("extra",)
    assert "unused: `extra`" in str(found)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "backbone."])
def test_a_word_before_all_names_is_seen_through(prefix: str) -> None:
    source, model = network(seed=1), network(seed=2)
    found = fit(model, {prefix + name: t for name, t in source.state_dict().items()})
    assert found.loaded == found.of


def test_a_word_before_the_networks_own_names_is_seen_through() -> None:
    source = network(seed=1)
    model = nn.Module()
    model.inner = network(seed=2)
    head = frozenset(f"inner.{name}" for name in HEAD)
    found = fit(model, source.state_dict(), head=head)
    assert found.loaded == found.of
    assert model.inner[0].weight.equal(source[0].weight)


def test_shared_tensors_count_once() -> None:
    model = nn.Module()
    model.first = nn.Linear(4, 4, bias=False)
    model.second = nn.Linear(4, 4, bias=False)
    model.second.weight = model.first.weight
    found = fit(model, {"first.weight": torch.ones(4, 4)}, head=frozenset())
    assert found.new == ()
    assert model.second.weight.equal(torch.ones(4, 4))


def test_another_architecture_is_one_line() -> None:
    with pytest.raises(bench.ConfigError, match=r"another architecture than model `net`: 0%") as e:
        fit(network(), {"conv9.weight": torch.zeros(1), "fc.bias": torch.zeros(2)})
    assert "weights `w` of plugin p" in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.full((4, 3, 3, 3), float("nan")), "`0.weight` holds NaN"),
        (torch.full((4, 3, 3, 3), float("inf")), "`0.weight` holds NaN or infinite"),
        (torch.ones(4, 3, 3, 3, dtype=torch.int64), "`0.weight` is torch.int64"),
        (torch.ones(4, 3, 3, 3, dtype=torch.complex64), "`0.weight` is torch.complex64"),
        (torch.ones(4, 3, 3, 3).to_sparse(), "`0.weight` is torch.float32 (torch.sparse_coo)"),
        (torch.ones(4, 3, 3, 3, device="meta"), "`0.weight` is torch.float32"),
    ],
)
def test_what_is_no_weight_is_named(tensor: Tensor, said: str) -> None:
    given = {**network(seed=1).state_dict(), "0.weight": tensor}
    with pytest.raises(bench.ConfigError, match="weights `w` of plugin p") as caught:
        fit(network(), given)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken(kind: torch.dtype) -> None:
    given = {
        name: t.to(kind) if t.is_floating_point() else t
        for name, t in network(seed=1).state_dict().items()
    }
    assert fit(network(), given).new == ()


def test_shapes_that_come_of_another_image_size_say_so() -> None:
    given = dict(network(seed=1).state_dict()) | {"0.weight": torch.zeros(4, 3, 5, 5)}
    with pytest.raises(bench.ConfigError, match="`--input-size` sets it"):
        fit(network(), given)
