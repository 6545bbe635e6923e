"""Mirror images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks


def build_horizontal(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, probability: float = 0.5
) -> list[Callable[..., Any]]:
    """Mirror images left to right.

    Whatever the kind of image: digits, letters and signs do not mean the same when mirrored.

    Args:
        image_shape: not used.
        image_kind: not used.
        probability: of being mirrored, 0 to 1; a half makes both sides equally likely.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import moves

    return [moves.Flip(-1, checks.number("horizontal-flip", "probability", probability, 0, 1))]


def build_vertical(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, probability: float = 0.5
) -> list[Callable[..., Any]]:
    """Mirror images top to bottom.

    Whatever the kind of image: most photos do not mean the same upside down.

    Args:
        image_shape: not used.
        image_kind: not used.
        probability: of being mirrored, 0 to 1; a half makes both sides equally likely.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import moves

    return [moves.Flip(-2, checks.number("vertical-flip", "probability", probability, 0, 1))]


def suggest(trial: Any) -> dict[str, Any]:
    """Search between never and half of the time."""
    return {"probability": trial.suggest_float("probability", 0.0, 0.5)}


HORIZONTAL = bench.Augmentation(
    name="horizontal-flip", build=build_horizontal, suggest=suggest, preload=("torch",)
)
VERTICAL = bench.Augmentation(
    name="vertical-flip", build=build_vertical, suggest=suggest, preload=("torch",)
)
