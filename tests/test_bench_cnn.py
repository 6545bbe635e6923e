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
from bench_cnn import cnn

(MODEL,) = bench_cnn.register_models()
GRAY = (1, 28, 28)


def build(shape: tuple[int, int, int] = GRAY, classes: int = 10, **params: Any) -> nn.Module:
    model = MODEL.build(classes, shape, **params)
    assert isinstance(model, nn.Module)
    return model


def parts(model: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 17, 30), (1, 4, 4)])
def test_images_become_logits(shape: tuple[int, int, int]) -> None:
    model = build(shape, 7)
    assert model(torch.rand(5, *shape)).shape == (5, 7)


def test_the_default_is_the_documented_network() -> None:
    block = ["BatchNorm2d", "Conv2d", "ReLU", "MaxPool2d", "Dropout"]
    head = ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    layers = [type(m).__name__ for m in build().modules() if not list(m.children())]
    assert layers == [*block, *block, *head]


def test_the_hints_are_exact_for_gray_images_of_28_pixels() -> None:
    model = build(classes=1000).eval()
    hints = MODEL.hints
    assert hints is not None
    assert sum(p.numel() for p in model.parameters()) == hints.parameters
    assert sum(bool(list(m.parameters(recurse=False))) for m in model.modules()) == hints.layers
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, *GRAY))
    assert counter.get_total_flops() == 2 * (hints.macs or 0)


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


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth_is_the_number_of_blocks(depth: int) -> None:
    model = build(depth=depth)
    assert len(parts(model, nn.Conv2d)) == depth
    assert model(torch.rand(2, *GRAY)).shape == (2, 10)


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


@pytest.mark.parametrize("name", sorted(cnn.ACTIVATIONS))
def test_activation_stands_behind_each_convolution_and_the_hidden_layer(name: str) -> None:
    model = build(activation=name)
    assert len(parts(model, getattr(nn, cnn.ACTIVATIONS[name]))) == 3


def test_an_unknown_activation_gets_a_suggestion() -> None:
    with pytest.raises(bench.ConfigError, match=r"`rellu` \(did you mean `relu`\?\)"):
        build(activation="rellu")


@pytest.mark.parametrize(
    "params",
    [
        {"depth": 0},
        {"depth": 2.5},
        {"filters": 0},
        {"kernel_size": 4},
        {"kernel_size": -1},
        {"dense": 0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"dense_dropout": "high"},
    ],
)
def test_a_wrong_value_is_named(params: dict[str, Any]) -> None:
    (name,) = params
    with pytest.raises(bench.ConfigError, match=f"`{name}` is .*; give"):
        build(**params)


def test_an_image_too_small_for_the_depth_is_refused() -> None:
    with pytest.raises(bench.ConfigError, match=r"8x8 pixels cannot be halved 4 times.*`depth=3`"):
        build((1, 8, 8), depth=4)
    with pytest.raises(bench.ConfigError, match="give larger images"):
        build((1, 1, 8), depth=1)


def test_suggestions_are_known_params_and_can_be_built() -> None:
    assert MODEL.suggest is not None
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        params = MODEL.suggest(study.ask())
        assert set(params) <= set(MODEL.defaults)
        assert build((1, 8, 8), **params)(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_every_param_has_a_default_and_a_documented_meaning() -> None:
    documented = inspect.getdoc(cnn.build) or ""
    assert all(f"{name}: " in documented for name in MODEL.defaults)
    assert "activation" in MODEL.defaults


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
