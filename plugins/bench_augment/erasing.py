"""Erase parts of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks

RATIO = (1 / 3.3, 1 / 0.3)
"""Width / height; the bounds of height / width, 0.3 and 3.3, are the paper's and torchvision's."""


def build(
    image_shape: tuple[int, int, int],
    image_kind: bench.ImageKind,
    *,
    probability: float = 0.5,
    smallest: float = 0.02,
    largest: float = 0.33,
    value: float | None = None,
) -> list[Callable[..., Any]]:
    """Paint a rectangle of the image in one colour.

    Zhong et al., 2020 (https://arxiv.org/abs/1708.04896); probability and areas are those of
    `torchvision.transforms.v2.RandomErasing`.

    Args:
        image_shape: not used.
        image_kind: not used.
        probability: of erasing anything, 0 to 1.
        smallest: the least area, as a part of the image, 0.001 to 1.
        largest: the greatest area, as a part of the image, 0.001 to 1.
        value: brightness, 0 to 1; where None, the image's own mean, channel by channel, about
            what torchvision's 0 is after normalisation.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import boxes

    name = "random-erasing"
    probability = checks.number(name, "probability", probability, 0, 1)
    low = checks.number(name, "smallest", smallest, 0.001, 1)
    high = checks.number(name, "largest", largest, 0.001, 1)
    checks.ordered(name, "smallest", low, "largest", high)
    if value is not None:
        value = checks.number(name, "value", value, 0, 1)
    return [boxes.Erasing(probability, (low, high), RATIO, value)]


def suggest(trial: Any) -> dict[str, Any]:
    """Search how often, and how much at most."""
    return {
        "probability": trial.suggest_float("probability", 0.0, 0.75),
        "largest": trial.suggest_float("largest", 0.1, 0.5),
    }


ERASING = bench.Augmentation(
    name="random-erasing", build=build, suggest=suggest, preload=("torch",)
)
