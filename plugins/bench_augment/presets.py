"""Presets: the other augmentations together, as the kind of image allows.

They share one build; its keyword defaults are what tells them apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks
from bench_augment.erasing import RATIO


def build_none(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind
) -> list[Callable[..., Any]]:
    """Leave images as they are.

    Args:
        image_shape: not used.
        image_kind: not used.
    """
    return []


def build(
    preset: str,
    image_shape: tuple[int, int, int],
    image_kind: bench.ImageKind,
    *,
    flip: float,
    crop: float,
    rotation: float,
    zoom: float,
    brightness: float,
    contrast: float,
    saturation: float,
    erasing: float,
    mixup: float,
    cutmix: float,
) -> list[Callable[..., Any]]:
    """Flip, crop, turn, zoom, recolour, erase and mix images; each param at 0 leaves that out.

    The strengths are bench's own, from common practice on small images, and not from one source.

    Args:
        preset: its name, for messages.
        image_shape: gray images have no saturation.
        image_kind: photos are mirrored left to right. Overhead images are mirrored both ways and
            turned by quarters. Symbols are never mirrored, and turned by half of `rotation`.
        flip: probability of each mirroring, 0 to 1; 0 leaves quarter turns out as well.
        crop: black padding on each side before cutting out, as a part of the size, 0 to 1.
        rotation: degrees to either side, 0 to 180.
        zoom: factors go from 1 - zoom to 1 + zoom; 0 to 0.9.
        brightness: factors go from 1 - brightness to 1 + brightness; 0 to 1.
        contrast: the same for contrast.
        saturation: the same for saturation.
        erasing: probability of erasing a rectangle, 0 to 1.
        mixup: alpha of mixup, 0 to 100.
        cutmix: alpha of CutMix, 0 to 100. With mixup as well, each image gets one of the two.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    check = functools.partial(checks.number, preset)
    flip, crop = check("flip", flip, 0, 1), check("crop", crop, 0, 1)
    rotation, zoom = check("rotation", rotation, 0, 180), check("zoom", zoom, 0, 0.9)
    brightness = check("brightness", brightness, 0, 1)
    contrast = check("contrast", contrast, 0, 1)
    saturation = check("saturation", saturation, 0, 1)
    erasing = check("erasing", erasing, 0, 1)
    mixup, cutmix = check("mixup", mixup, 0, 100), check("cutmix", cutmix, 0, 100)
    from bench_augment.transforms import boxes, colors, mixers, moves, warps

    # What moves pixels comes first, on uint8; what is erased last is not recoloured.
    chosen: list[Callable[..., Any]] = []
    if flip and image_kind != bench.ImageKind.SYMBOL:
        chosen.append(moves.Flip(-1, flip))
    if flip and image_kind == bench.ImageKind.OVERHEAD:
        chosen += [moves.Flip(-2, flip), moves.QuarterTurn()]
    if crop:
        chosen.append(moves.Crop(crop))
    if rotation or zoom:
        symbol = image_kind == bench.ImageKind.SYMBOL
        chosen.append(warps.Warp(rotation / 2 if symbol else rotation, zoom))
    if brightness:
        chosen.append(colors.Brightness(brightness))
    if contrast:
        chosen.append(colors.Contrast(contrast))
    if saturation and image_shape[0] == 3:
        chosen.append(colors.Saturation(saturation))
    if erasing:
        chosen.append(boxes.Erasing(erasing, (0.02, 0.33), RATIO, None))
    if mixup and cutmix:
        chosen.append(mixers.Either(mixers.Mixup(mixup), mixers.CutMix(cutmix)))
    elif mixup:
        chosen.append(mixers.Mixup(mixup))
    elif cutmix:
        chosen.append(mixers.CutMix(cutmix))
    return chosen


def suggest(trial: Any) -> dict[str, Any]:
    """Search the strengths; whether to mirror is settled by the kind of image."""
    return {
        "crop": trial.suggest_float("crop", 0.0, 0.25),
        "rotation": trial.suggest_float("rotation", 0.0, 30.0),
        "zoom": trial.suggest_float("zoom", 0.0, 0.3),
        "brightness": trial.suggest_float("brightness", 0.0, 0.5),
        "contrast": trial.suggest_float("contrast", 0.0, 0.5),
        "erasing": trial.suggest_float("erasing", 0.0, 0.5),
    }


def _preset(name: str, description: str, **strengths: float) -> bench.Augmentation:
    """Return the component whose build has `strengths` as its defaults."""
    return bench.Augmentation(
        name=name,
        build=functools.partial(build, name, **strengths),  # type: ignore[arg-type]
        suggest=suggest,
        description=description,
        preload=("torch", "scipy.special"),
    )


NONE = bench.Augmentation(name="none", build=build_none, default=True)
LIGHT = _preset(
    "light",
    "Flips and crops, as the kind of image allows.",
    flip=0.5,
    crop=0.125,
    rotation=0.0,
    zoom=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    erasing=0.0,
    mixup=0.0,
    cutmix=0.0,
)
STANDARD = _preset(
    "standard",
    "Flips, crops, small turns and zooms, colours, some erasing.",
    flip=0.5,
    crop=0.125,
    rotation=10.0,
    zoom=0.1,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    erasing=0.25,
    mixup=0.0,
    cutmix=0.0,
)
STRONG = _preset(
    "strong",
    "All of standard, stronger, and either mixup or CutMix.",
    flip=0.5,
    crop=0.125,
    rotation=15.0,
    zoom=0.2,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    erasing=0.25,
    mixup=0.2,
    cutmix=1.0,
)
