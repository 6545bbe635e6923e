"""Weights from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench_weights.reading import SUFFIXES, read


def address(text: str) -> str:
    """Return the absolute path."""
    return str(Path(text).expanduser().absolute())


def load(
    model: bench.Model, input_shape: tuple[int, int, int], files: Sequence[Path], *, path: str = ""
) -> Mapping[str, Any]:
    """Read weights from a file: safetensors, or a checkpoint of torch's without code.

    Args:
        model: not used.
        input_shape: not used.
        files: the file.
        path: what the user named.
    """
    return read(files[0])


def origin(model: bench.Model, results: Path, *, path: str = "") -> bench.Origin:
    """Return the file.

    Raises:
        bench.ConfigError: there is none.
    """
    if not Path(path).is_file():
        raise bench.ConfigError(f"there is no file of weights `{path}`; check `--weights`")
    return bench.Origin(files=[Path(path)])


WEIGHTS = bench.Weights(
    name="file", load=load, origin=origin, address=address, suffixes=SUFFIXES, preload=("torch",)
)
