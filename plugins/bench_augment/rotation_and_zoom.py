"""Turn and scale images about their middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bench
from bench_augment import checks


def build_rotation(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, degrees: float = 15.0
) -> list[Callable[..., Any]]:
    """Turn images about their middle; corners that come in are black.

    The angle is uniform, the sampling bilinear; equals `torchvision.transforms.v2.functional`'s
    `rotate` with bilinear interpolation.

    Args:
        image_shape: not used.
        image_kind: not used.
        degrees: the furthest to either side, 0 to 180. 15 keeps digits and letters apart.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import warps

    return [warps.Warp(checks.number("rotation", "degrees", degrees, 0, 180), 0.0)]


def suggest_rotation(trial: Any) -> dict[str, Any]:
    """Search between no turn and 45 degrees."""
    return {"degrees": trial.suggest_float("degrees", 0.0, 45.0)}


def build_zoom(
    image_shape: tuple[int, int, int], image_kind: bench.ImageKind, *, zoom: float = 0.2
) -> list[Callable[..., Any]]:
    """Enlarge or shrink images about their middle; borders that come in are black.

    The factor is uniform, the sampling bilinear; equals `torchvision.transforms.v2.functional`'s
    `affine` with a scale and bilinear interpolation.

    Args:
        image_shape: not used.
        image_kind: not used.
        zoom: factors go from 1 - zoom to 1 + zoom; 0 to 0.9.

    Raises:
        bench.ConfigError: a param is out of its range.
    """
    from bench_augment.transforms import warps

    return [warps.Warp(0.0, checks.number("zoom", "zoom", zoom, 0, 0.9))]


def suggest_zoom(trial: Any) -> dict[str, Any]:
    """Search between no zoom and half of the size."""
    return {"zoom": trial.suggest_float("zoom", 0.0, 0.5)}


ROTATION = bench.Augmentation(
    name="rotation", build=build_rotation, suggest=suggest_rotation, preload=("torch",)
)
ZOOM = bench.Augmentation(name="zoom", build=build_zoom, suggest=suggest_zoom, preload=("torch",))
