"""What networks said of the items of a split, as their runs have stored it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import stats
from bench.index import Stamp
from bench.records import RunRecord, RunStatus
from bench.specs import Answers, Task
from bench.store import Store
from bench.text import one_line

__all__ = ["NAME", "AnswerBook", "Answers", "stamp", "warnings"]

NAME = "predictions.npz"
_MOST_NAMED = 10
"""Runs without usable predictions that are named one by one."""


def stamp(folder: Path) -> Stamp | None:
    """Return what tells whether the predictions of a run have changed; None where there are none.

    Args:
        folder: of the run.
    """
    try:
        status = (folder / NAME).stat()
    except OSError:
        return None
    return Stamp(status.st_mtime_ns, status.st_size)


def warnings(unusable: Mapping[str, str], store: Store) -> list[str]:
    """Return a line for each run whose predictions cannot be used; one for all of very many.

    Args:
        unusable: why, by run id.
        store: of the runs.
    """
    lines = [
        f"the predictions of run `{run}` are not used: `{store.folder(run) / NAME}` {why}; restore "
        "the file, or make the run again with `--rerun`"
        for run, why in [*unusable.items()][:_MOST_NAMED]
    ]
    if len(unusable) > _MOST_NAMED:
        lines.append(f"nor are those of {len(unusable) - _MOST_NAMED:,} more runs")
    return lines


class AnswerBook:
    """The stored predictions of runs, each read once.

    Attributes:
        unusable: of the runs that have left predictions which were asked for and cannot be used,
            why not, by id.
    """

    def __init__(self, store: Store) -> None:
        self.unusable: dict[str, str] = {}
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
        path = self.folder(record) / NAME
        try:
            answers = _read(path, record, split)
        except FileNotFoundError:
            # Made-up records, and runs that did not end well, never had any.
            if _has_left_some(record):
                self.unusable[record.id] = "is missing"
            return None
        except KeyError as error:
            self.unusable[record.id] = f"lacks an array: {one_line(str(error.args[0]))}"
            return None
        except Exception as error:  # zip, zlib and npy each have ways of their own
            why = (isinstance(error, OSError) and error.strerror) or "it may be cut or damaged"
            self.unusable[record.id] = f"cannot be read: {why}"
            return None
        why = _mismatch(answers, record, split)
        if why:
            self.unusable[record.id] = f"does not fit the record: {why}"
        return None if why else answers


def _has_left_some(record: RunRecord) -> bool:
    """Return whether the record says so: the time of saving was booked, or it is an ensemble."""
    saved = "saving_seconds" in record.timing or bool(record.spec.members)
    return saved and record.status is RunStatus.OK


def _read(path: Path, record: RunRecord, split: str) -> Answers:
    """Return the answers in a file, whatever they are.

    Raises:
        OSError: it cannot be read.
        Exception: it is damaged, or lacks an array.
    """
    known = record.environment
    # Opened here, since numpy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        order = np.argsort(stored[f"{split}_ids"], kind="stable")
        name = f"{split}_probabilities"
        return Answers(
            Task(known.get("task") or Task.MULTI_CLASS),
            tuple(map(str, known.get("classes", ()))),
            stored[f"{split}_ids"][order],
            stored[f"{split}_labels"][order],
            stored[f"{split}_predicted"][order],
            stored[name][order] if name in stored else None,
            tuple(tuple(map(str, path)) for path in known.get("taxonomy") or ()),
        )


def _mismatch(answers: Answers, record: RunRecord, split: str) -> str:
    """Return in what answers that somebody may have tampered with fit neither record nor another.

    Empty where they do.
    """
    labels, predicted, shares = answers.labels, answers.predicted, answers.probabilities
    count, several = len(answers.ids), answers.task is Task.MULTI_LABEL
    told = record.metrics.get(split, {}).get("n", count)
    if not count or count != told:
        return f"it has {count:,} {split} items, the record {told:,}"
    width = len(answers.names)
    shape = (count, width) if several else (count,)
    if labels.shape != shape or predicted.shape != shape:
        return f"its labels and predictions are of shapes {labels.shape} and {predicted.shape}"
    if shares is not None and shares.shape != (count, width):
        return f"its probabilities are of shape {shares.shape}, not {(count, width)}"
    if shares is not None and not np.isfinite(shares).all():
        return "some of its probabilities are no numbers"
    if answers.taxonomy and len(answers.taxonomy) != width:
        return f"it has {width} classes, their tree {len(answers.taxonomy)}"
    top = 2 if several else width
    for array in (labels, predicted):
        if array.dtype.kind not in "iub" or array.min() < 0 or array.max() >= top:
            return f"some of its labels are none of {top}"
    return ""
