"""A tracker: what became of runs, line by line, in a file that other programs can follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bench


class Journal:
    """A session: told of all runs of one experiment, in one thread, one thing after the other."""

    def __init__(self, path: Path) -> None:
        # Line by line: who follows the file sees each line as a whole, and at once.
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def run_started(self, run: bench.RunSpec) -> None:
        """Note what is trained."""
        self._note("started", run.id, model=run.model.name, dataset=run.dataset.name, seed=run.seed)

    def epoch_finished(self, run: bench.RunSpec, metrics: bench.EpochMetrics) -> None:
        """Note how far it is."""
        loss, accuracy = metrics.train_loss, metrics.val_accuracy
        self._note("epoch", run.id, epoch=metrics.epoch, train_loss=loss, val_accuracy=accuracy)

    def run_finished(self, record: bench.RunRecord) -> None:
        """Note how it ended."""
        self._note("finished", record.id, status=str(record.status), error=record.error)

    def close(self) -> None:
        """Put the file away."""
        self._file.close()

    def _note(self, event: str, run: str, **facts: Any) -> None:
        self._file.write(json.dumps({"event": event, "run": run, **facts}) + "\n")


def build(folder: Path, *, file: str = "journal.jsonl") -> Journal:
    """Write a line of JSON for each start, epoch and end of a run into the results folder.

    Args:
        folder: of the results.
        file: its name there.
    """
    return Journal(folder / file)


TRACKER = bench.Tracker(name="journal", build=build)
