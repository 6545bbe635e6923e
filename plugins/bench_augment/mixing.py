"""Mix images and their labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks


def build_mixup(
    image_shape: tuple[int, int, int],
    image_kind: bench.ImageKind,
    *,
    alpha: float = 0.2,
    probability: float = 1.0,
) -> list[Callable[..., Any]]:
    """Average each image, and its label, with another one.

    Zhang et al., 2018 (https://arxiv.org/abs/1710.09412): weights come from Beta(alpha, alpha).
    Each image draws its own weight and its own partner among the training images.

    Args:
        image_shape: not used.
        image_kind: not used.
        alpha: 0.01 to 100; the paper's 0.1 to 0.4 suits ImageNet, its 1 CIFAR-10.
        probability: of mixing at all, 0 to 1.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import mixers

    alpha = checks.number("mixup", "alpha", alpha, 0.01, 100)
    return [mixers.Mixup(alpha, checks.number("mixup", "probability", probability, 0, 1))]


def build_cutmix(
    image_shape: tuple[int, int, int],
    image_kind: bench.ImageKind,
    *,
    alpha: float = 1.0,
    probability: float = 1.0,
) -> list[Callable[..., Any]]:
    """Replace a rectangle of each image by another image's, and mix the labels by area.

    Yun et al., 2019 (https://arxiv.org/abs/1905.04899): what is left has an area from
    Beta(alpha, alpha). Each image draws its own rectangle and its own partner among the training
    images.

    Args:
        image_shape: not used.
        image_kind: not used.
        alpha: 0.01 to 100; the paper's 1 makes all areas equally likely.
        probability: of mixing at all, 0 to 1; the paper's is 1 on ImageNet and 0.5 on CIFAR.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import mixers

    alpha = checks.number("cutmix", "alpha", alpha, 0.01, 100)
    return [mixers.CutMix(alpha, checks.number("cutmix", "probability", probability, 0, 1))]


def suggest(trial: Any) -> dict[str, Any]:
    """Search the strength and how often."""
    return {
        "alpha": trial.suggest_float("alpha", 0.05, 2.0, log=True),
        "probability": trial.suggest_float("probability", 0.1, 1.0),
    }


MIXUP = bench.Augmentation(
    name="mixup", build=build_mixup, suggest=suggest, preload=("torch", "scipy.special")
)
CUTMIX = bench.Augmentation(
    name="cutmix", build=build_cutmix, suggest=suggest, preload=("torch", "scipy.special")
)
