"""Brightness, contrast and saturation, as in torchvision's `ColorJitter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks


def build_brightness(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, strength: float = 0.2
) -> list[Callable[..., Any]]:
    """Multiply images by a factor, cut at white.

    Equals `torchvision.transforms.v2.ColorJitter(brightness=strength)`.

    Args:
        image_shape: not used.
        image_kind: not used.
        strength: factors are uniform from max(0, 1 - strength) to 1 + strength; 0 to 10.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import colors

    return [colors.Brightness(checks.number("brightness", "strength", strength, 0, 10))]


def build_contrast(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, strength: float = 0.2
) -> list[Callable[..., Any]]:
    """Move images away from or towards their mean gray.

    Equals `torchvision.transforms.v2.ColorJitter(contrast=strength)`.

    Args:
        image_shape: not used.
        image_kind: not used.
        strength: factors are uniform from max(0, 1 - strength) to 1 + strength; 0 to 10.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import colors

    return [colors.Contrast(checks.number("contrast", "strength", strength, 0, 10))]


def build_saturation(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, strength: float = 0.2
) -> list[Callable[..., Any]]:
    """Move images away from or towards their gray version; gray images stay as they are.

    Equals `torchvision.transforms.v2.ColorJitter(saturation=strength)`.

    Args:
        image_shape: tells whether there are colours.
        image_kind: not used.
        strength: factors are uniform from max(0, 1 - strength) to 1 + strength; 0 to 10.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import colors

    strength = checks.number("saturation", "strength", strength, 0, 10)
    return [] if image_shape[0] == 1 else [colors.Saturation(strength)]


def suggest(trial: Any) -> dict[str, Any]:
    """Search between no change and factors from 0.2 to 1.8."""
    return {"strength": trial.suggest_float("strength", 0.0, 0.8)}


BRIGHTNESS = bench.Augmentation(
    name="brightness", build=build_brightness, suggest=suggest, preload=("torch",)
)
CONTRAST = bench.Augmentation(
    name="contrast", build=build_contrast, suggest=suggest, preload=("torch",)
)
SATURATION = bench.Augmentation(
    name="saturation", build=build_saturation, suggest=suggest, preload=("torch",)
)
