"""The built-in augmentations: single ones, two automatic policies and the presets."""

from __future__ import annotations

import bench
from bench_augment import (
    automatic,
    colors,
    crops,
    erasing,
    flips,
    mixing,
    noise_and_blur,
    presets,
    rotation_and_zoom,
)

BENCH_API = 1


@bench.hookimpl
def register_augmentations() -> list[bench.Augmentation]:
    """Return the built-in augmentations."""
    return [
        presets.NONE,
        presets.LIGHT,
        presets.STANDARD,
        presets.STRONG,
        flips.HORIZONTAL,
        flips.VERTICAL,
        rotation_and_zoom.ROTATION,
        rotation_and_zoom.ZOOM,
        crops.CROP,
        crops.RESIZED_CROP,
        crops.TRANSLATION,
        colors.BRIGHTNESS,
        colors.CONTRAST,
        colors.SATURATION,
        noise_and_blur.NOISE,
        noise_and_blur.BLUR,
        erasing.ERASING,
        mixing.MIXUP,
        mixing.CUTMIX,
        automatic.TRIVIAL,
        automatic.RAND,
    ]
