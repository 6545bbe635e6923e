"""A network that cuts an image into patches and mixes them, as ConvMixer does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn


def build(
    num_classes: int,
    input_shape: tuple[int, int, int],
    *,
    width: int = 32,
    depth: int = 3,
    patch: int = 2,
    kernel: int = 5,
) -> nn.Module:
    """Patches, mixed over places and over channels in turn, without any pooling in between.

    After ConvMixer (Trockman and Kolter, 2022, https://arxiv.org/abs/2201.09792), much smaller, and
    without the residual connections.

    Args:
        num_classes: number of logits.
        input_shape: (channels, height, width); any height and width from `patch` on.
        width: channels of a patch.
        depth: number of mixing blocks.
        patch: height and width of a patch, pixels.
        kernel: height and width over which patches are mixed, in patches.
    """
    from torch import nn

    layers: list[nn.Module] = [nn.Conv2d(input_shape[0], width, patch, stride=patch)]
    for _ in range(depth):
        layers += [
            *(nn.GELU(), nn.BatchNorm2d(width)),
            nn.Conv2d(width, width, kernel, padding="same", groups=width),
            *(nn.GELU(), nn.BatchNorm2d(width)),
            nn.Conv2d(width, width, 1),
        ]
    layers += [nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)]
    return nn.Sequential(*layers)


def suggest(trial: Any) -> dict[str, Any]:
    """Search how large it is."""
    return {
        "width": trial.suggest_categorical("width", [16, 32, 64]),
        "depth": trial.suggest_int("depth", 1, 5),
    }


MODEL = bench.Model(name="patches", build=build, suggest=suggest, preload=("torch",))
