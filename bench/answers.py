"""What networks said of the items of a split, as their runs have stored it."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import metrics, stats
from bench.records import RunRecord
from bench.specs import Task
from bench.store import Store

_UNREADABLE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What comes of reading a file that was cut, or that others wrote."""


@dataclass(frozen=True)
class Answers:
    """What one network said of the items of a split, in the order of their ids.

    Attributes:
        task: what was to be said of an image.
        classes: names of the C classes.
        ids: (N,) int64, places in the stored split; equal ids of one content are equal items.
        labels: (N,) integers or (N, C) of 0 and 1.
        predicted: of the same shape.
        probabilities: (N, C), None where they are not stored.
    """

    task: Task
    classes: tuple[str, ...]
    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    probabilities: npt.NDArray[Any] | None

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Return for each item whether all that was said of it is right."""
        return metrics.hits(self.labels, self.predicted)


class AnswerBook:
    """The stored predictions of runs, each read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Answers | None] = {}
        self._samples: dict[str, npt.NDArray[np.float64]] = {}

    def of(self, record: RunRecord, split: str = "test") -> Answers | None:
        """Return a run's answers on `val` or `test`, or None where they cannot be read."""
        place = (record.id, split)
        if place not in self._known:
            self._known[place] = self._read(record, split)
        return self._known[place]

    def samples(self, record: RunRecord) -> npt.NDArray[np.float64] | None:
        """Return bootstrap samples of a run's mean average precision; runs on one set pair."""
        answers = self.of(record)
        if answers is None or answers.probabilities is None:
            return None
        if record.id not in self._samples:
            self._samples[record.id] = stats.bootstrap_average_precision(
                answers.labels, answers.probabilities
            )
        return self._samples[record.id]

    def _read(self, record: RunRecord, split: str) -> Answers | None:
        path = self._store.folder(record.id) / "predictions.npz"
        known = record.environment
        try:
            # Opened here: of a file that is no archive, NumPy leaves its own open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                order = np.argsort(stored[f"{split}_ids"], kind="stable")
                name = f"{split}_probabilities"
                return Answers(
                    Task(known.get("task", Task.MULTI_CLASS)),
                    tuple(map(str, known.get("classes", ()))),
                    stored[f"{split}_ids"][order],
                    stored[f"{split}_labels"][order],
                    stored[f"{split}_predicted"][order],
                    stored[name][order] if name in stored else None,
                )
        except _UNREADABLE:
            return None
