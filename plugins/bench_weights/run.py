"""Weights that an earlier run has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.store import Store
from bench_weights.reading import read


def address(text: str) -> str:
    """Return the beginning of the run's id."""
    return text.strip()


def load(
    model: bench.Model, input_shape: tuple[int, int, int], files: Sequence[Path], *, path: str = ""
) -> Mapping[str, Any]:
    """Read what an earlier run has left: the weights of the epoch that it was tested at.

    Args:
        model: not used.
        input_shape: not used.
        files: the run's `model.safetensors`.
        path: the beginning of the run's id.
    """
    return read(files[0])


def origin(model: bench.Model, results: Path, *, path: str = "") -> bench.Origin:
    """Return the run's file, how it saw images, and which classes it told apart.

    Raises:
        bench.ConfigError: the run trained another model, or has left no weights.
        bench.UnknownNameError: there is no such run.
    """
    record = Store(results).find(path)
    if record.spec.model.name != model.name:
        raise bench.ConfigError(
            f"run {record.id} trained `{record.spec.model.name}`, not `{model.name}`; "
            "start only that model from it"
        )
    file = results / "runs" / record.id / "model.safetensors"
    if not file.is_file():
        raise bench.ConfigError(
            f"run {record.id} ({record.status}) has left no weights: only the best run of a cell "
            "keeps them, and none with `--keep none`; `bench list runs` shows others"
        )
    seen = record.environment
    return bench.Origin(
        files=[file],
        preprocessing=bench.Preprocessing(
            mean=seen["mean"],
            std=seen["std"],
            size=record.profile.get("input_size"),
            interpolation=record.spec.interpolation,
        ),
        classes=seen.get("classes", ()),
    )


WEIGHTS = bench.Weights(name="run", load=load, origin=origin, address=address, preload=("torch",))
