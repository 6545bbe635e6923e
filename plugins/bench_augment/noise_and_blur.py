"""Make images noisy or unsharp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks


def build_noise(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, std: float = 0.05
) -> list[Callable[..., Any]]:
    """Add Gaussian noise to every value of every pixel.

    Independent between pixels and channels, cut to black and white; the distribution of
    `torchvision.transforms.v2.GaussianNoise(sigma=std)`.

    Args:
        image_shape: not used.
        image_kind: not used.
        std: standard deviation, 0 to 1, where values go from 0 to 1. The default is half of
            torchvision's 0.1, which hides details of small images.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import colors

    return [colors.Noise(checks.number("noise", "std", std, 0, 1))]


def suggest_noise(trial: Any) -> dict[str, Any]:
    """Search on a logarithmic scale around the default."""
    return {"std": trial.suggest_float("std", 0.005, 0.2, log=True)}


def build_blur(
    image_shape: tuple[int, int, int],
    image_kind: bench.ImageKind,
    *,
    kernel_size: int = 5,
    smallest: float = 0.1,
    largest: float = 2.0,
) -> list[Callable[..., Any]]:
    """Blur images with a Gaussian kernel.

    The kernel's standard deviation is uniform; equals
    `torchvision.transforms.v2.GaussianBlur(kernel_size, (smallest, largest))`.

    Args:
        image_shape: bounds the kernel.
        image_kind: not used.
        kernel_size: rows and columns of the kernel; odd, and at most 2 * size - 1.
        smallest: the least standard deviation, pixels, 0.01 to 100; torchvision's default.
        largest: the greatest standard deviation, pixels, 0.01 to 100; torchvision's default.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import neighbours

    low = checks.number("blur", "smallest", smallest, 0.01, 100)
    high = checks.number("blur", "largest", largest, 0.01, 100)
    checks.ordered("blur", "smallest", low, "largest", high)
    size = checks.whole("blur", "kernel_size", kernel_size, 1, 2 * min(image_shape[1:]) - 1)
    if size % 2 == 0:
        raise bench.ConfigError(
            f"augmentation `blur`: `kernel_size` is {size}; give an odd number, such as {size + 1}"
        )
    return [neighbours.Blur(size, (low, high))]


def suggest_blur(trial: Any) -> dict[str, Any]:
    """Search the greatest standard deviation only."""
    return {"largest": trial.suggest_float("largest", 0.2, 3.0)}


NOISE = bench.Augmentation(
    name="noise", build=build_noise, suggest=suggest_noise, preload=("torch",)
)
BLUR = bench.Augmentation(name="blur", build=build_blur, suggest=suggest_blur, preload=("torch",))
