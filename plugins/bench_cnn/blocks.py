"""What the built-in convolutional networks share: activations, widths, checks, plain blocks."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench import ConfigError
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


def plain(
    model: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    depth: int,
    filters: int,
    growth: float,
    kernel_size: int,
    stride: int,
    activation: str,
    dropout: float,
    dense: int,
    round_up: bool = False,
) -> nn.Module:
    """Return blocks of convolution, activation and pooling, then dropout and dense layers.

    Args:
        model: its name, for errors.
        num_classes: number of logits.
        input_shape: (channels, height, width) of the images, pixels.
        depth: number of blocks.
        filters: channels of the first convolution.
        growth: how many times as many channels each next convolution has, rounded; 1 or more.
        kernel_size: height and width of the filters, odd; the image is padded by half of it.
        stride: step of the convolutions, pixels.
        activation: a key of `ACTIVATIONS`; it follows each layer but the last.
        dropout: probability that a value behind the last pooling is dropped; 0 leaves it out.
        dense: width of a dense layer before the last one; 0 leaves it out.
        round_up: whether 2x2 max pooling keeps the last column and row of an odd size.

    Raises:
        ConfigError: a param is out of range, or the image is too small for `depth`.
    """
    from torch import nn

    activate = activation_of(model, activation)
    channels, height, width = input_shape
    odd(model, kernel_size)
    at_least_one(model, stride=stride)
    probability(model, dropout=dropout)
    if not isinstance(dense, int) or dense < 0:
        raise ConfigError(f"model `{model}`: `dense` is {dense}; give a whole number, 0 or more")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, filters_here in enumerate(widths(model, depth, filters, growth), 1):
        layers[f"block{number}"] = nn.Sequential(
            nn.Conv2d(channels, filters_here, kernel_size, stride, padding=kernel_size // 2),
            activate(),
            nn.MaxPool2d(2, ceil_mode=round_up),
        )
        channels = filters_here
    height, width = remaining(model, (height, width), depth, stride=stride, round_up=round_up)
    head: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
    head.append(nn.Flatten())
    features = channels * height * width
    if dense:
        head += [nn.Linear(features, dense), activate()]
    layers["head"] = nn.Sequential(*head, nn.Linear(dense or features, num_classes))
    return nn.Sequential(layers)


def activation_of(model: str, activation: str) -> Callable[[], nn.Module]:
    """Return the class of an activation.

    Raises:
        ConfigError: `ACTIVATIONS` lacks it; the message names `model`.
    """
    from torch import nn

    if activation not in ACTIVATIONS:
        raise ConfigError(
            f"model `{model}` has no activation `{activation}`"
            f"{did_you_mean(activation, ACTIVATIONS)}; it knows {listing(ACTIVATIONS)}"
        )
    kind: Callable[[], nn.Module] = getattr(nn, ACTIVATIONS[activation])
    return kind


def widths(model: str, depth: int, filters: int, growth: float) -> list[int]:
    """Return the filters of each block: `filters`, and `growth` times as many in each next one.

    Raises:
        ConfigError: a value is out of range; the message names `model`.
    """
    at_least_one(model, depth=depth, filters=filters)
    if not isinstance(growth, int | float) or not 1 <= growth < math.inf:
        raise ConfigError(f"model `{model}`: `growth` is {growth}; give a number, 1 or more")
    return [round(filters * growth**index) for index in range(depth)]


def remaining(
    model: str, size: tuple[int, int], depth: int, *, stride: int = 1, round_up: bool = False
) -> tuple[int, int]:
    """Return height and width behind `depth` blocks of a padded convolution and 2x2 max pooling.

    A convolution gives every `stride`-th pixel, from the first on; pooling gives half as many,
    rounded up or down.

    Raises:
        ConfigError: nothing would be left; the message names `model`.
    """
    sizes = [size]
    for _ in range(depth):
        stepped = [math.ceil(pixels / stride) for pixels in sizes[-1]]
        height, width = ((pixels + round_up) // 2 for pixels in stepped)
        sizes.append((height, width))
    deepest = sum(min(left) > 0 for left in sizes[1:])
    if deepest < depth:
        advice = f"at most `depth={deepest}` suits it" if deepest else "give larger images"
        raise ConfigError(
            f"model `{model}`: an image of {size[0]}x{size[1]} pixels leaves nothing behind "
            f"{depth} blocks; {advice}"
        )
    return sizes[-1]


def at_least_one(model: str, **values: int) -> None:
    """Check whole numbers.

    Raises:
        ConfigError: one is below 1 or not whole; the message names it and `model`.
    """
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"model `{model}`: `{name}` is {value}; give a whole number, 1 or more"
            )


def probability(model: str, **values: float) -> None:
    """Check probabilities.

    Raises:
        ConfigError: one is not in [0, 1); the message names it and `model`.
    """
    for name, value in values.items():
        if not isinstance(value, int | float) or not 0 <= value < 1:
            raise ConfigError(f"model `{model}`: `{name}` is {value}; give 0 to below 1")


def odd(model: str, kernel_size: int) -> None:
    """Check that a kernel has a centre, so that padding by half of it keeps an image's size.

    Raises:
        ConfigError: it has none; the message names `model`.
    """
    at_least_one(model, kernel_size=kernel_size)
    if kernel_size % 2 == 0:
        raise ConfigError(
            f"model `{model}`: `kernel_size` is {kernel_size}; give an odd number, "
            "which keeps the image's size"
        )
