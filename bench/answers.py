"""What networks said of the items of a split, as their runs have stored it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import stats
from bench.records import RunRecord
from bench.specs import Answers, Task
from bench.store import Store

__all__ = ["AnswerBook", "Answers"]


class AnswerBook:
    """The stored predictions of runs, each read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[Path, str], Answers | None] = {}
        self._samples: dict[Path, npt.NDArray[np.float64]] = {}

    def folder(self, record: RunRecord) -> Path:
        """Return the folder that holds a run's predictions."""
        return self._store.folder(record.id)

    def of(self, record: RunRecord, split: str = "test") -> Answers | None:
        """Return a run's answers on `val` or `test`, or None where they cannot be read."""
        place = (self.folder(record), split)
        if place not in self._known:
            self._known[place] = self.read(record, split)
        return self._known[place]

    def forget(self, record: RunRecord, split: str = "test") -> None:
        """Let go of a run's answers, of which thousands would fill the memory."""
        self._known.pop((self.folder(record), split), None)

    def samples(self, record: RunRecord) -> npt.NDArray[np.float64] | None:
        """Return bootstrap samples of a run's mean average precision; runs on one set pair."""
        answers = self.of(record)
        if answers is None or answers.probabilities is None:
            return None
        folder = self.folder(record)
        if folder not in self._samples:
            self._samples[folder] = stats.bootstrap_average_precision(
                answers.labels, answers.probabilities
            )
        return self._samples[folder]

    def read(self, record: RunRecord, split: str) -> Answers | None:
        """Return what `of` returns, without keeping it, for whoever goes through many runs."""
        path = self.folder(record) / "predictions.npz"
        known = record.environment
        try:
            # Opened here, since numpy leaves a damaged file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                order = np.argsort(stored[f"{split}_ids"], kind="stable")
                name = f"{split}_probabilities"
                answers = Answers(
                    Task(known.get("task", Task.MULTI_CLASS)),
                    tuple(map(str, known.get("classes", ()))),
                    stored[f"{split}_ids"][order],
                    stored[f"{split}_labels"][order],
                    stored[f"{split}_predicted"][order],
                    stored[name][order] if name in stored else None,
                    tuple(tuple(map(str, path)) for path in known.get("taxonomy") or ()),
                )
                return answers if _is_sound(answers) else None
        except Exception:  # zip, zlib and npy each have ways of their own of being damaged
            return None


def _is_sound(answers: Answers) -> bool:
    """Return whether arrays that somebody may have tampered with fit one another."""
    labels, predicted, shares = answers.labels, answers.predicted, answers.probabilities
    count, several = len(answers.ids), answers.task is Task.MULTI_LABEL
    width = len(answers.names)
    shape = (count, width) if several else (count,)
    if not count or labels.shape != shape or predicted.shape != shape:
        return False
    if shares is not None and (shares.shape != (count, width) or not np.isfinite(shares).all()):
        return False
    if answers.taxonomy and len(answers.taxonomy) != width:
        return False
    top = 2 if several else width
    return all(
        array.dtype.kind in "iub" and array.min() >= 0 and array.max() < top
        for array in (labels, predicted)
    )
