"""Cut out parts of images, or shift them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks


def build_crop(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, padding: float = 0.125
) -> list[Callable[..., Any]]:
    """Pad images with black, then cut out a window of their size.

    As is customary for small images (He et al., 2016, https://arxiv.org/abs/1512.03385, section
    4.2); equals `torchvision.transforms.v2.RandomCrop(size, padding)`.

    Args:
        image_shape: not used.
        image_kind: not used.
        padding: what is added on each side, as a part of the height and of the width, 0 to 1. An
            eighth is the customary 4 pixels of 32.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import moves

    return [moves.Crop(checks.number("random-crop", "padding", padding, 0, 1))]


def suggest_crop(trial: Any) -> dict[str, Any]:
    """Search between no padding and a quarter of the size."""
    return {"padding": trial.suggest_float("padding", 0.0, 0.25)}


def build_resized_crop(
    image_shape: tuple[int, int, int],
    image_kind: bench.ImageKind,
    *,
    smallest: float = 0.08,
    largest: float = 1.0,
    stretch: float = 4 / 3,
) -> list[Callable[..., Any]]:
    """Cut out a part of any size and stretch it to the size of the image.

    Szegedy et al., 2015 (https://arxiv.org/abs/1409.4842, section 6); the defaults are theirs and
    those of `torchvision.transforms.v2.RandomResizedCrop`, meant for large photos. On small
    images a `smallest` of 0.5 and more is milder.

    Args:
        image_shape: not used.
        image_kind: not used.
        smallest: the least area, as a part of the image, above 0 and up to `largest`.
        largest: the greatest area, as a part of the image, up to 1.
        stretch: the greatest ratio of width to height, and of height to width, 1 to 10.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import boxes

    name = "random-resized-crop"
    low = checks.number(name, "smallest", smallest, 0.001, 1)
    high = checks.number(name, "largest", largest, 0.001, 1)
    checks.ordered(name, "smallest", low, "largest", high)
    ratio = checks.number(name, "stretch", stretch, 1, 10)
    return [boxes.ResizedCrop((low, high), (1 / ratio, ratio))]


def suggest_resized_crop(trial: Any) -> dict[str, Any]:
    """Search the least area only, from the default to almost the whole image."""
    return {"smallest": trial.suggest_float("smallest", 0.08, 0.9)}


def build_translation(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, shift: float = 0.1
) -> list[Callable[..., Any]]:
    """Shift images by whole pixels; what comes in is black.

    Equals `torchvision.transforms.v2.RandomAffine(0, translate=(shift, shift))`.

    Args:
        image_shape: not used.
        image_kind: not used.
        shift: the furthest, as a part of the height and of the width, 0 to 1.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import moves

    return [moves.Translation(checks.number("translation", "shift", shift, 0, 1))]


def suggest_translation(trial: Any) -> dict[str, Any]:
    """Search between no shift and a quarter of the size."""
    return {"shift": trial.suggest_float("shift", 0.0, 0.25)}


CROP = bench.Augmentation(
    name="random-crop", build=build_crop, suggest=suggest_crop, preload=("torch",)
)
RESIZED_CROP = bench.Augmentation(
    name="random-resized-crop",
    build=build_resized_crop,
    suggest=suggest_resized_crop,
    preload=("torch",),
)
TRANSLATION = bench.Augmentation(
    name="translation", build=build_translation, suggest=suggest_translation, preload=("torch",)
)
