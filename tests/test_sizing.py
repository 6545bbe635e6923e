from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.engine.sizing import LADDER, check_logits, choose_input_size
from bench.errors import ConfigError, PluginError

WHERE = "model `net` of plugin `acme` (acme-dist 1.0)"


def choose(
    build: Callable[..., nn.Module], wanted: int, native: int | None = None, channels: int = 3
) -> int:
    return choose_input_size(build, 10, channels, wanted, native, WHERE)


class Net(nn.Module):
    """A network of any input size that notes what it was built with."""

    built: list[Any]

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.built = [*getattr(Net, "built", []), (num_classes, input_shape)]
        Net.built = self.built
        self.stem = nn.Conv2d(input_shape[0], 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stem(x)).mean((2, 3)))


def strided(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """A network that needs 33 pixels: a convolution of that width."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 4, 33),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, num_classes),
    )


def fixed(side: int) -> Callable[..., nn.Module]:
    """A network of one size only: its dense layer counts the pixels."""

    def build(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0] * side**2, num_classes))

    return build


@pytest.mark.parametrize("wanted", [1, 8, 28, 32, 700])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_size_that_works_is_kept(wanted: int, channels: int) -> None:
    Net.built = []
    assert choose(Net, wanted, channels=channels) == wanted
    assert Net.built == [(10, (channels, wanted, wanted))]


@pytest.mark.parametrize(("wanted", "size"), [(28, 48), (32, 48), (33, 33), (40, 40)])
def test_a_model_with_a_minimum_gets_the_next_usual_size(wanted: int, size: int) -> None:
    assert choose(strided, wanted) == size


def test_a_model_of_one_size_gets_it() -> None:
    assert choose(fixed(224), 28) == 224
    assert choose(fixed(299), 224) == 299


def test_the_native_size_is_tried_too() -> None:
    assert 331 not in LADDER
    assert choose(fixed(331), 28, native=331) == 331
    with pytest.raises(PluginError, match="takes no input"):
        choose(fixed(331), 28)


def test_smaller_sizes_than_wanted_are_not_tried() -> None:
    with pytest.raises(PluginError, match=r"takes no input of 240 to 600 pixels with 3 channel"):
        choose(fixed(224), 240)


def test_a_model_that_refuses_small_images_by_itself_gets_larger_ones() -> None:
    def build(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
        if input_shape[1] < 64:
            raise ConfigError(f"{input_shape[1]} pixels are too few")
        return Net(num_classes, input_shape)

    assert choose(build, 28) == 64


def test_an_error_that_no_size_mends_is_handed_on() -> None:
    sizes = []

    def build(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
        sizes.append(input_shape[1])
        raise ConfigError("`act` is 'rellu' (did you mean `relu`?)")

    with pytest.raises(ConfigError, match=r"^`act` is 'rellu'"):
        choose(build, 28)
    assert len(sizes) == 2


def test_a_build_that_fails_names_the_plugin_and_the_first_reason() -> None:
    def build(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
        raise RuntimeError(f"no\nidea at {input_shape[1]}")

    with pytest.raises(PluginError) as caught:
        choose(build, 28)
    assert str(caught.value) == (
        f"{WHERE} takes no input of 28 to 600 pixels with 3 channel(s): RuntimeError: no idea at 28"
    )


def test_a_model_for_colour_cannot_take_gray() -> None:
    def build(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
        return Net(num_classes, (3, 8, 8))

    with pytest.raises(PluginError, match=r"with 1 channel\(s\): RuntimeError"):
        choose(build, 28, channels=1)


def test_wrong_logits_are_an_error_at_once() -> None:
    def build(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
        return Net(num_classes + 1, input_shape)

    with pytest.raises(PluginError, match=r"shape \(2, 11\) for 2 images and 10 classes; \(2, 10"):
        choose(build, 28)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ((torch.zeros(2, 10),), "returned tuple; logits as a tensor are needed"),
        (None, "returned NoneType"),
        (torch.zeros(2), "of shape (2,)"),
        (torch.zeros(2, 10, 1), "of shape (2, 10, 1)"),
        (torch.zeros(3, 10), "of shape (3, 10)"),
    ],
)
def test_logits_are_checked(logits: Any, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        check_logits(logits, 2, 10, WHERE)
    assert str(caught.value).startswith(WHERE)
    assert message in str(caught.value)


def test_probing_computes_nothing_and_draws_no_numbers() -> None:
    state = torch.random.get_rng_state()
    devices = set()

    class Watched(Net):
        def forward(self, x: Tensor) -> Tensor:
            devices.add(x.device.type)
            return super().forward(x)

    assert choose(Watched, 8) == 8
    assert devices == {"meta"}
    assert torch.equal(torch.random.get_rng_state(), state)
