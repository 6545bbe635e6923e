"""Three convolutions that step by two, for small images and little time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench
from bench_cnn import blocks

if TYPE_CHECKING:
    from torch import nn


def build(
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    depth: int = 3,
    filters: int = 32,
    growth: float = 2.0,
    kernel_size: int = 3,
    stride: int = 2,
    activation: str = "relu",
    dropout: float = 0.5,
    dense: int = 0,
) -> nn.Module:
    """Three convolutions of 32, 64 and 128 filters with stride 2 and pooling, one dense layer.

    A block is a convolution padded by half its kernel, the activation and 2x2 max pooling, which
    rounds up: a single pixel survives any number of blocks, and so does an image of any size.
    Dropout and the dense layer to the classes follow. Weights start as torch starts them.

    Args:
        num_classes: number of logits.
        input_shape: (channels, height, width) of the images, pixels.
        depth: number of blocks.
        filters: channels of the first convolution.
        growth: how many times as many channels each next convolution has, rounded; 1 or more.
        kernel_size: height and width of the filters, odd.
        stride: step of the convolutions, pixels.
        activation: a key of `blocks.ACTIVATIONS`; it follows each layer but the last.
        dropout: probability that a value behind the last pooling is dropped, 0 to below 1.
        dense: width of a dense layer before the last one; 0 leaves it out.

    Returns:
        A network from float images (N, C, H, W) to logits (N, num_classes).

    Raises:
        bench.ConfigError: a param is out of range.
    """
    return blocks.plain(
        "cnn3",
        num_classes,
        input_shape,
        depth=depth,
        filters=filters,
        growth=growth,
        kernel_size=kernel_size,
        stride=stride,
        activation=activation,
        dropout=dropout,
        dense=dense,
        round_up=True,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search around the defaults, the number of layers included; images of all sizes allow it."""
    return {
        "depth": trial.suggest_int("depth", 1, 4),
        "filters": trial.suggest_int("filters", 16, 64, step=16),
        "growth": trial.suggest_categorical("growth", [1.0, 1.5, 2.0]),
        "kernel_size": trial.suggest_categorical("kernel_size", [3, 5]),
        "stride": trial.suggest_int("stride", 1, 2),
        "activation": trial.suggest_categorical("activation", ["relu", "gelu", "silu", "tanh"]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "dense": trial.suggest_categorical("dense", [0, 64, 128]),
    }


# Exact for the default params, one channel, 28x28 pixels and 1,000 classes.
HINTS = bench.ModelHints(
    family="cnn", parameters=221_672, macs=553_088, layers=4, input_size=28, smallest_size=1
)

MODEL = bench.Model(name="cnn3", build=build, suggest=suggest, hints=HINTS, preload=("torch",))
