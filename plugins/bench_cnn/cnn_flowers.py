"""The network of the well-known tutorial on photographs of flowers."""

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
    filters: int = 16,
    growth: float = 2.0,
    kernel_size: int = 3,
    stride: int = 1,
    activation: str = "relu",
    dropout: float = 0.0,
    dense: int = 128,
) -> nn.Module:
    """Three convolutions of 16, 32 and 64 filters, each with pooling, then two dense layers.

    The network of TensorFlow's tutorial "Image classification" on photographs of flowers, which
    rescales pixels to [0, 1]; so does this one by pinning `normalize`. A block is a convolution
    that keeps height and width, the activation and 2x2 max pooling. The tutorial's second version
    has a `dropout` of 0.2. Weights start as torch starts them, the tutorial's as Keras does.

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
        bench.ConfigError: a param is out of range, or the image is too small for `depth`.
    """
    return blocks.plain(
        "cnn-flowers",
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
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search around the defaults; `depth` stays within what an 8x8 image allows."""
    return {
        "depth": trial.suggest_int("depth", 1, 3),
        "filters": trial.suggest_int("filters", 8, 32, step=8),
        "growth": trial.suggest_categorical("growth", [1.0, 1.5, 2.0]),
        "kernel_size": trial.suggest_categorical("kernel_size", [3, 5]),
        "activation": trial.suggest_categorical("activation", ["relu", "gelu", "silu", "tanh"]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "dense": trial.suggest_categorical("dense", [64, 128, 256]),
    }


# Exact for the default params, 1,000 classes and the tutorial's RGB images of 180x180 pixels.
HINTS = bench.ModelHints(
    family="cnn", parameters=4_117_640, macs=92_739_328, layers=5, input_size=180, smallest_size=8
)

MODEL = bench.Model(
    name="cnn-flowers",
    build=build,
    suggest=suggest,
    hints=HINTS,
    pins={"normalize": "unit"},
    preload=("torch",),
)
