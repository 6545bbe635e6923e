"""The files that a run leaves in its folder: curves as they grow, predictions, weights."""

from __future__ import annotations

import contextlib
import io
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import nn

from bench import files
from bench.engine.evaluation import Predictions
from bench.engine.training import Report, Training
from bench.errors import StoreError
from bench.records import EpochMetrics, StepMetrics

CURVES = {EpochMetrics: "epochs.jsonl", StepMetrics: "steps.jsonl"}


@contextlib.contextmanager
def curves(
    folder: Path, job: Training, finished: Callable[[EpochMetrics], None]
) -> Iterator[Report]:
    """Write a run's curves as they grow; yield what takes each point.

    A run that is resumed has points already, which are written again.
    """
    with contextlib.ExitStack() as stack:
        opened = {
            kind: stack.enter_context((folder / name).open("w", encoding="utf-8"))
            for kind, name in CURVES.items()
            if kind is EpochMetrics or job.log_steps
        }

        def write(metrics: EpochMetrics | StepMetrics) -> None:
            file = opened[type(metrics)]
            try:
                file.write(files.dump_json(metrics.to_dict()) + "\n")
                file.flush()
            except OSError as error:
                with contextlib.suppress(OSError):
                    file.close()  # what it still holds cannot be written either
                raise StoreError(f"cannot write `{file.name}`: {error.strerror}") from error

        def report(metrics: EpochMetrics | StepMetrics) -> None:
            write(metrics)
            if isinstance(metrics, EpochMetrics):
                finished(metrics)

        known: list[EpochMetrics | StepMetrics] = [*job.progress.history, *job.progress.points]
        for metrics in known:
            write(metrics)
        yield report


def save_predictions(said: Mapping[str, Predictions], path: Path) -> None:
    """Save the predictions of each split."""
    buffer = io.BytesIO()
    arrays = [each.arrays(split) for split, each in said.items()]
    np.savez_compressed(buffer, allow_pickle=False, **dict(ChainMap(*arrays)))
    files.write_bytes(path, buffer.getvalue())


def save_weights(model: nn.Module, path: Path) -> None:
    """Save the weights of a network."""
    from safetensors import SafetensorError
    from safetensors.torch import save_model

    with files.atomic_open(path) as file:
        try:
            # save_model wants a path; it handles tensors that several modules share.
            save_model(model, file.name)
        except SafetensorError as error:
            raise StoreError(f"cannot write `{path}`: {error}") from error
