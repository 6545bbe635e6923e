"""How the training of timm's weights saw images, told without importing timm where that is known.

`seen.json` holds what timm itself tells of its default weights, and of which version of timm. For
another version timm is asked, which takes the seconds of its import.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import bench
from bench import ConfigError

TABLE = Path(__file__).with_name("seen.json")
Row = tuple[list[float], list[float], int, str]
"""Mean and std by channel, in [0, 1]; the shorter edge, pixels; how images were resized."""


def preprocessing(
    architecture: str,
    *,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    stem: str = "native",
) -> bench.Preprocessing:
    """Return how the training of the architecture's own weights saw its images.

    It is that of timm's default weights for it, also where the weights are random.

    Args:
        architecture: its name in timm.
        drop_rate: not used, as it changes nothing about images.
        drop_path_rate: not used either.
        stem: with a small one, the network has no size of its own.

    Raises:
        ConfigError: timm has no weights of it, and so no mean and std.
    """
    known = _known().get(architecture) or ask(architecture)
    if known is None:
        raise ConfigError(f"timm knows no mean and std of `{architecture}`; use standard or unit")
    mean, std, size, interpolation = known
    return bench.Preprocessing(
        mean=tuple(mean),
        std=tuple(std),
        size=size if stem == "native" else None,
        interpolation="bilinear" if interpolation == "bilinear" else "bicubic",
    )


def ask(architecture: str) -> Row | None:
    """Return what timm tells of an architecture; None where it has no weights of it."""
    import timm

    config = timm.models.get_pretrained_cfg(architecture, allow_unregistered=True)
    if config is None:
        return None
    # Of the few ways that are neither, bicubic is the nearest.
    how = "bilinear" if config.interpolation == "bilinear" else "bicubic"
    return list(config.mean), list(config.std), min(config.input_size[1:]), how


@functools.cache
def _known() -> dict[str, Row]:
    """Return what the table tells by architecture; nothing where it is of another timm."""
    content: dict[str, Any] = json.loads(TABLE.read_bytes())
    if content["timm"] != importlib.metadata.version("timm"):
        return {}
    return {name: content["ways"][way] for name, way in content["architectures"].items()}
