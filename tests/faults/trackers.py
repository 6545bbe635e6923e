"""A tracker that keeps a journal in the results folder, and one that cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import bench


class Journal:
    """A line for whatever it is told."""

    def __init__(self, file: TextIO, mark: str) -> None:
        self.file = file
        self.mark = mark

    def note(self, *words: object) -> None:
        print(self.mark, *words, file=self.file, flush=True)

    def run_started(self, run: bench.RunSpec) -> None:
        self.note("started", run.id)

    def epoch_finished(self, run: bench.RunSpec, metrics: bench.EpochMetrics) -> None:
        self.note("epoch", run.id, metrics.epoch)

    def run_finished(self, record: bench.RunRecord) -> None:
        self.note("finished", record.id, record.status)

    def close(self) -> None:
        self.note("closed")
        self.file.close()


def journal(folder: Path, *, mark: str = "-", strict: bool = False) -> Journal:
    """Lines in a file."""
    if not mark:
        raise bench.UsageError("`journal.mark` is empty; give a word")
    return Journal((folder / "journal.txt").open("a"), mark)


TRACKERS = [
    bench.Tracker(name="journal", build=journal),
    bench.Tracker(name="needy", build=journal, needs={"not_there": "acme[tracking]"}),
]
