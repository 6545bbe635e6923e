"""A small convolutional network for small images."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import bench
from bench_cnn import blocks

if TYPE_CHECKING:
    from torch import nn


def build(
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    depth: int = 2,
    filters: int = 32,
    growth: float = 1.0,
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
        filters: channels of the first convolution.
        growth: how many times as many channels each next convolution has, rounded; 1 or more.
        kernel_size: height and width of the filters, odd.
        activation: a key of `blocks.ACTIVATIONS`; it follows each layer but the last.
        dropout: probability that a value behind the pooling is dropped, 0 to below 1.
        dense: width of the first dense layer.
        dense_dropout: probability that one of its outputs is dropped, 0 to below 1.

    Returns:
        A network from float images (N, C, H, W) to logits (N, num_classes).

    Raises:
        bench.ConfigError: a param is out of range, or the image is too small for `depth`.
    """
    from torch import nn

    activate = blocks.activation_of("cnn", activation)
    widths = blocks.widths("cnn", depth, filters, growth)
    blocks.odd("cnn", kernel_size)
    blocks.at_least_one("cnn", dense=dense)
    blocks.probability("cnn", dropout=dropout, dense_dropout=dense_dropout)
    channels, *size = input_shape
    height, width = blocks.remaining("cnn", (size[0], size[1]), depth)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, filters_here in enumerate(widths, 1):
        layers[f"block{number}"] = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, filters_here, kernel_size, padding=kernel_size // 2),
            activate(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
        )
        channels = filters_here
    layers["head"] = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, dense),
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
        "growth": trial.suggest_categorical("growth", [1.0, 1.5, 2.0]),
        "kernel_size": trial.suggest_categorical("kernel_size", [3, 5]),
        "activation": trial.suggest_categorical("activation", ["relu", "gelu", "silu", "tanh"]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "dense": trial.suggest_categorical("dense", [64, 128, 256]),
        "dense_dropout": trial.suggest_float("dense_dropout", 0.0, 0.6),
    }


# Exact for the default params, one channel, 28x28 pixels and 1,000 classes; other channels and
# sizes change the first convolution and the first dense layer.
HINTS = bench.ModelHints(
    family="cnn",
    parameters=339_466,
    macs=2_360_832,
    layers=6,
    input_size=28,
    smallest_size=4,
)

MODEL = bench.Model(name="cnn", build=build, suggest=suggest, hints=HINTS, preload=("torch",))
