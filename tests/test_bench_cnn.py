from __future__ import annotations

import inspect
from typing import Any

import optuna
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import bench
import bench_cnn
from bench_cnn import blocks

MODELS = {model.name: model for model in bench_cnn.register_models()}
GRAY = (1, 28, 28)
FLOWERS = (3, 180, 180)


def build(
    shape: tuple[int, int, int] = GRAY, classes: int = 10, model: str = "cnn", **params: Any
) -> nn.Module:
    network = MODELS[model].build(classes, shape, **params)
    assert isinstance(network, nn.Module)
    return network


def parts(model: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, kind)]


def outermost(model: nn.Module) -> list[str]:
    return [type(module).__name__ for module in model.modules() if not list(module.children())]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        *[("cnn", shape) for shape in [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 17, 30)]],
        ("cnn", (1, 4, 4)),
        *[("cnn3", shape) for shape in [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 1, 45)]],
        *[("cnn-flowers", shape) for shape in [(1, 28, 28), FLOWERS, (1, 8, 8), (3, 9, 30)]],
    ],
)
def test_images_become_logits(model: str, shape: tuple[int, int, int]) -> None:
    network = build(shape, 7, model)
    assert network(torch.rand(2, *shape)).shape == (2, 7)


def test_the_defaults_are_the_documented_networks() -> None:
    block = ["BatchNorm2d", "Conv2d", "ReLU", "MaxPool2d", "Dropout"]
    head = ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    assert outermost(build()) == [*block, *block, *head]
    block = ["Conv2d", "ReLU", "MaxPool2d"]
    assert outermost(build(model="cnn3")) == [*block * 3, "Dropout", "Flatten", "Linear"]
    head = ["Flatten", "Linear", "ReLU", "Linear"]
    assert outermost(build(model="cnn-flowers")) == [*block * 3, *head]


@pytest.mark.parametrize(
    ("model", "filters", "stride", "features"),
    [
        ("cnn", [32, 32], 1, 32 * 7 * 7),
        ("cnn3", [32, 64, 128], 2, 128),
        ("cnn-flowers", [16, 32, 64], 1, 64 * 3 * 3),
    ],
)
def test_default_widths_are_as_documented(
    model: str, filters: list[int], stride: int, features: int
) -> None:
    network = build(model=model)
    convolutions = parts(network, nn.Conv2d)
    assert [convolution.out_channels for convolution in convolutions] == filters
    assert {convolution.kernel_size for convolution in convolutions} == {(3, 3)}
    assert {convolution.stride for convolution in convolutions} == {(stride, stride)}
    assert parts(network, nn.Linear)[0].in_features == features


def test_the_first_network_starts_from_the_weights_that_it_always_had() -> None:
    torch.manual_seed(3)
    assert sum(p.double().abs().sum().item() for p in build().parameters()) == pytest.approx(
        2953.16268,
        abs=1e-4,  # as when it could not grow yet
    )


@pytest.mark.parametrize(
    ("name", "shape"), [("cnn", GRAY), ("cnn3", GRAY), ("cnn-flowers", FLOWERS)]
)
def test_the_hints_are_exact_for_the_documented_images(
    name: str, shape: tuple[int, int, int]
) -> None:
    model = build(shape, 1000, name).eval()
    hints = MODELS[name].hints
    assert hints is not None
    assert hints.input_size == shape[1]
    assert sum(p.numel() for p in model.parameters()) == hints.parameters
    assert sum(bool(list(m.parameters(recurse=False))) for m in model.modules()) == hints.layers
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, *shape))
    assert counter.get_total_flops() == 2 * (hints.macs or 0)


def test_the_smallest_size_is_the_smallest() -> None:
    sizes = {name: model.hints.smallest_size for name, model in MODELS.items() if model.hints}
    assert sizes == {"cnn": 4, "cnn3": 1, "cnn-flowers": 8}
    for name, size in sizes.items():
        assert size is not None
        build((1, size, size), model=name)
        if size > 1:
            with pytest.raises(bench.ConfigError, match=f"model `{name}`.* leaves nothing"):
                build((1, size - 1, size - 1), model=name)


def test_pixels_of_the_flower_network_lie_between_0_and_1() -> None:
    assert MODELS["cnn-flowers"].pins == {"normalize": "unit"}


def test_it_is_built_without_memory_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = build()
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_the_seed_decides_the_weights() -> None:
    torch.manual_seed(1)
    one = build().state_dict()
    torch.manual_seed(1)
    two = build().state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_is_the_number_of_blocks(model: str, depth: int) -> None:
    network = build(model=model, depth=depth)
    assert len(parts(network, nn.Conv2d)) == depth
    assert network(torch.rand(2, *GRAY)).shape == (2, 10)


@pytest.mark.parametrize("model", MODELS)
def test_growth_widens_each_next_convolution(model: str) -> None:
    network = build(model=model, depth=3, filters=10, growth=1.5)
    assert [conv.out_channels for conv in parts(network, nn.Conv2d)] == [10, 15, 22]
    assert network(torch.rand(2, *GRAY)).shape == (2, 10)


@pytest.mark.parametrize("model", ["cnn3", "cnn-flowers"])
def test_stride_dropout_and_dense_layer_are_free(model: str) -> None:
    network = build((1, 17, 23), model=model, depth=2, stride=2, dropout=0.3, dense=0)
    assert {conv.stride for conv in parts(network, nn.Conv2d)} == {(2, 2)}
    assert [layer.p for layer in parts(network, nn.Dropout)] == [0.3]
    assert len(parts(network, nn.Linear)) == 1
    assert network(torch.rand(2, 1, 17, 23)).shape == (2, 10)
    assert not parts(build(model=model, dropout=0.0), nn.Dropout)
    dense = parts(build(model=model, dense=9), nn.Linear)
    assert [layer.out_features for layer in dense] == [9, 10]


def test_filters_and_kernel_size_shape_the_convolutions() -> None:
    model = build(filters=5, kernel_size=7)
    convolutions = parts(model, nn.Conv2d)
    assert [conv.out_channels for conv in convolutions] == [5, 5]
    assert [conv.kernel_size for conv in convolutions] == [(7, 7), (7, 7)]
    assert model(torch.rand(2, *GRAY)).shape == (2, 10)


def test_dense_is_the_width_of_the_hidden_layer() -> None:
    assert [layer.out_features for layer in parts(build(dense=33), nn.Linear)] == [33, 10]


def test_both_dropouts_are_set_apart() -> None:
    model = build(dropout=0.1, dense_dropout=0.3)
    assert [layer.p for layer in parts(model, nn.Dropout)] == [0.1, 0.1, 0.3]


@pytest.mark.parametrize("name", sorted(blocks.ACTIVATIONS))
def test_activation_stands_behind_each_convolution_and_the_hidden_layer(name: str) -> None:
    kind = getattr(nn, blocks.ACTIVATIONS[name])
    numbers = {model: len(parts(build(model=model, activation=name), kind)) for model in MODELS}
    assert numbers == {"cnn": 3, "cnn3": 3, "cnn-flowers": 4}


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_activation_gets_a_suggestion(model: str) -> None:
    with pytest.raises(
        bench.ConfigError, match=rf"`{model}` has no .* `rellu` \(did you mean `relu`\?\)"
    ):
        build(model=model, activation="rellu")


@pytest.mark.parametrize(
    "params",
    [
        {"depth": 0},
        {"depth": 2.5},
        {"filters": 0},
        {"growth": 0.5},
        {"growth": float("inf")},
        {"kernel_size": 4},
        {"kernel_size": -1},
        {"stride": 0},
        {"dense": -1},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"dense_dropout": "high"},
    ],
    ids=str,
)
def test_a_wrong_value_is_named(params: dict[str, Any]) -> None:
    (name,) = params
    having = [model for model in MODELS if name in MODELS[model].defaults]
    assert having
    for model in having:
        with pytest.raises(bench.ConfigError, match=f"`{model}`: `{name}` is .*; give") as caught:
            build(model=model, **params)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["cnn", "cnn-flowers"])
def test_an_image_too_small_for_the_depth_is_refused(model: str) -> None:
    with pytest.raises(
        bench.ConfigError, match=rf"`{model}`.* 8x8 pixels leaves nothing .* 4 blocks.*`depth=3`"
    ):
        build((1, 8, 8), model=model, depth=4)
    with pytest.raises(bench.ConfigError, match="give larger images"):
        build((1, 1, 8), model=model, depth=1)


@pytest.mark.parametrize("name", MODELS)
def test_suggestions_are_known_params_and_can_be_built(name: str) -> None:
    model = MODELS[name]
    assert model.suggest is not None
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        params = model.suggest(study.ask())
        assert set(params) <= set(model.defaults)
        assert "depth" in params
        assert build((1, 8, 8), model=name, **params)(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", MODELS)
def test_every_param_has_a_default_and_a_documented_meaning(name: str) -> None:
    documented = inspect.getdoc(MODELS[name].build) or ""
    assert all(f"{param}: " in documented for param in MODELS[name].defaults)
    assert "activation" in MODELS[name].defaults


def test_it_learns_by_heart() -> None:
    torch.manual_seed(0)
    images, labels = torch.rand(16, 1, 8, 8), torch.arange(16) % 4
    model = build((1, 8, 8), 4, dropout=0.0, dense_dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert (model(images).argmax(1) == labels).all()
