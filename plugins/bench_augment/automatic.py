"""Policies that draw operations: TrivialAugment and RandAugment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks

BINS = 31
"""Magnitudes from none to the greatest, in both papers' code and in torchvision."""


def build_trivial(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind
) -> list[Callable[..., Any]]:
    """TrivialAugment: one operation for each image, with any strength.

    Müller and Hutter, 2021 (https://arxiv.org/abs/2103.10158), the wide space of operations; equals
    `torchvision.transforms.v2.TrivialAugmentWide`. There is nothing to tune. It shifts by up to 32
    pixels, which empties images as small as that, and turns by up to 135 degrees.

    Args:
        image_shape: not used.
        image_kind: not used.
    """
    from bench_augment.transforms import operations

    strengths = operations.Strengths(
        shear=0.99, translate=(32.0, 32.0), degrees=135.0, colour=0.99, bits=6
    )
    return [operations.Policy(strengths, BINS, 1, None)]


def build_rand(
    image_shape: tuple[int, int, int],
    image_kind: bench.ImageKind,
    *,
    num_ops: int = 2,
    magnitude: int = 9,
) -> list[Callable[..., Any]]:
    """RandAugment: a few operations for each image, all of one strength.

    Cubuk et al., 2020 (https://arxiv.org/abs/1909.13719); the defaults are the paper's for
    ResNet-50. Equals `torchvision.transforms.v2.RandAugment`.

    Args:
        image_shape: the shift is a part of its size.
        image_kind: not used.
        num_ops: operations for each image, 1 to 10.
        magnitude: strength of all operations, 0 to 30.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    count = checks.whole("rand-augment", "num_ops", num_ops, 1, 10)
    chosen = checks.whole("rand-augment", "magnitude", magnitude, 0, BINS - 1)
    from bench_augment.transforms import operations

    _, height, width = image_shape
    strengths = operations.Strengths(
        shear=0.3,
        translate=(150 / 331 * width, 150 / 331 * height),
        degrees=30.0,
        colour=0.9,
        bits=4,
    )
    return [operations.Policy(strengths, BINS, count, chosen)]


def suggest_rand(trial: Any) -> dict[str, Any]:
    """Search the paper's grid."""
    return {
        "num_ops": trial.suggest_int("num_ops", 1, 3),
        "magnitude": trial.suggest_int("magnitude", 2, 20),
    }


TRIVIAL = bench.Augmentation(
    name="trivial-augment", build=build_trivial, preload=("torch", "torchvision.transforms.v2")
)
RAND = bench.Augmentation(
    name="rand-augment",
    build=build_rand,
    suggest=suggest_rand,
    preload=("torch", "torchvision.transforms.v2"),
)
