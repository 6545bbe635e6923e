"""A small convolutional network for small images."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import bench
from bench.text import did_you_mean, listing

if TYPE_CHECKING:
    from torch import nn

ACTIVATIONS = {
    "elu": "ELU",
    "gelu": "GELU",
    "leaky-relu": "LeakyReLU",
    "mish": "Mish",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "tanh": "Tanh",
}
"""The value of `activation`, and the class in `torch.nn` that it means."""


def build(
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    depth: int = 2,
    filters: int = 32,
    kernel_size: int = 3,
    activation: str = "relu",
    dropout: float = 0.25,
    dense: int = 128,
    dense_dropout: float = 0.5,
) -> nn.Module:
    """Small convolutional network: blocks that halve the image, then two dense layers.

    A block is batch normalisation, a convolution that keeps height and width, the activation,
    2x2 max pooling and dropout. Batch normalisation comes before the convolution, so the first
    one normalises the image itself. Weights start as torch starts them. The defaults are those
    of the small networks customary for 28x28 images; no search led to them.

    Args:
        num_classes: number of logits.
        input_shape: (channels, height, width) of the images, pixels.
        depth: number of blocks; each halves height and width, rounding down.
        filters: channels of every convolution.
        kernel_size: height and width of the filters, odd.
        activation: a key of `ACTIVATIONS`; it follows each convolution and the first dense layer.
        dropout: probability that a value behind the pooling is dropped, 0 to below 1.
        dense: width of the first dense layer.
        dense_dropout: probability that one of its outputs is dropped, 0 to below 1.

    Returns:
        A network from float images (N, C, H, W) to logits (N, num_classes).

    Raises:
        bench.ConfigError: a param is out of range, or the image is too small for `depth`.
    """
    from torch import nn

    if activation not in ACTIVATIONS:
        raise bench.ConfigError(
            f"model `cnn` has no activation `{activation}`{did_you_mean(activation, ACTIVATIONS)}; "
            f"it knows {listing(ACTIVATIONS)}"
        )
    _at_least_one(depth=depth, filters=filters, kernel_size=kernel_size, dense=dense)
    _probability(dropout=dropout, dense_dropout=dense_dropout)
    if kernel_size % 2 == 0:
        raise bench.ConfigError(
            f"model `cnn`: `kernel_size` is {kernel_size}; give an odd number, "
            "which keeps the image's size"
        )
    channels, height, width = input_shape
    deepest = min(height, width).bit_length() - 1
    if depth > deepest:
        advice = f"at most `depth={deepest}` suits it" if deepest else "give larger images"
        raise bench.ConfigError(
            f"model `cnn`: an image of {height}x{width} pixels cannot be halved "
            f"{depth} times; {advice}"
        )
    activate = getattr(nn, ACTIVATIONS[activation])
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(depth):
        layers[f"block{index + 1}"] = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, filters, kernel_size, padding=kernel_size // 2),
            activate(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
        )
        channels = filters
    layers["head"] = nn.Sequential(
        nn.Flatten(),
        nn.Linear(filters * (height >> depth) * (width >> depth), dense),
        activate(),
        nn.Dropout(dense_dropout),
        nn.Linear(dense, num_classes),
    )
    return nn.Sequential(layers)


def suggest(trial: Any) -> dict[str, Any]:
    """Search around the defaults; `depth` stays within what an 8x8 image allows."""
    return {
        "depth": trial.suggest_int("depth", 1, 3),
        "filters": trial.suggest_int("filters", 16, 64, step=16),
        "kernel_size": trial.suggest_categorical("kernel_size", [3, 5]),
        "activation": trial.suggest_categorical("activation", ["relu", "gelu", "silu", "tanh"]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "dense": trial.suggest_categorical("dense", [64, 128, 256]),
        "dense_dropout": trial.suggest_float("dense_dropout", 0.0, 0.6),
    }


def _at_least_one(**values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise bench.ConfigError(
                f"model `cnn`: `{name}` is {value}; give a whole number, 1 or more"
            )


def _probability(**values: float) -> None:
    for name, value in values.items():
        if not isinstance(value, int | float) or not 0 <= value < 1:
            raise bench.ConfigError(f"model `cnn`: `{name}` is {value}; give 0 to below 1")


# Exact for the default params, one channel, 28x28 pixels and 1,000 classes; other channels and
# sizes change the first convolution and the first dense layer.
HINTS = bench.ModelHints(family="cnn", parameters=339_466, macs=2_360_832, layers=6, input_size=28)

MODEL = bench.Model(name="cnn", build=build, suggest=suggest, hints=HINTS, preload=("torch",))
