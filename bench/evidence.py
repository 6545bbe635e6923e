"""What the runs of a method scored item by item, condensed to what comparing it needs."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import stats
from bench.answers import AnswerBook, Answers
from bench.records import RunRecord
from bench.specs import Task

Measure = Callable[[Answers], "float | npt.NDArray[Any]"]
"""A metric of a network's answers or, where it is a mean over items, that of each item, (N,)."""
MEAN_AVERAGE_PRECISION = "mean_average_precision"


@dataclass(frozen=True)
class Evidence:
    """What the runs of a method scored item by item.

    Attributes:
        sample: their scores and items.
        asked: which items those were, with their labels; only equal ones can be paired.
        records: of the runs.
    """

    sample: stats.Sample
    asked: str
    records: tuple[RunRecord, ...]


def _log_loss(answers: Answers) -> npt.NDArray[Any] | float:
    """Return the log loss of each item, as `bench.metrics` has it."""
    if answers.probabilities is None:
        return np.nan
    shares = answers.probabilities.astype(np.float64)
    tiny = np.finfo(np.float16).tiny
    if answers.task is Task.MULTI_LABEL:
        likelihood = np.where(answers.labels.astype(bool), shares, 1 - shares)
        found: npt.NDArray[Any] = -np.log(np.maximum(likelihood, tiny)).mean(1)
        return found
    likelihood = shares[np.arange(len(answers.labels)), answers.labels]
    return np.asarray(-np.log(np.maximum(likelihood, tiny)))


def _accuracy(answers: Answers) -> npt.NDArray[Any]:
    return answers.right.astype(np.float64)


OWN: dict[str, Measure] = {"accuracy": _accuracy, "log_loss": _log_loss}
"""The metrics that records always have and that are means over items."""

_Found = tuple[tuple[RunRecord, ...], "Evidence | None"]
_known: weakref.WeakKeyDictionary[AnswerBook, dict[Any, _Found]] = weakref.WeakKeyDictionary()


def gather(
    records: Sequence[RunRecord], metric: str, book: AnswerBook, measure: Measure | None = None
) -> Evidence | None:
    """Return what the runs of a method scored on test, item by item.

    What was gathered once is kept as long as the book; the answers themselves are not, since a
    leaderboard of a thousand rows has five thousand of them.

    Args:
        records: of one method.
        metric: its name. Accuracy, log loss and mean average precision are known here.
        book: the predictions.
        measure: how any other metric is computed.

    Returns:
        None where predictions are missing or damaged, or of a single item, which tells nothing of
        the noise of items; where the runs were asked different ones, or nothing says how to
        compute the metric.
    """
    found = _known.setdefault(book, {})
    # The address tells apart runs of one id in two stores; holding the records, also those of
    # which nothing is known, keeps it theirs.
    place = (metric, *map(id, records))
    if place not in found:
        found[place] = tuple(records), _gathered(tuple(records), metric, book, measure)
    return found[place][1]


def _gathered(
    records: tuple[RunRecord, ...], metric: str, book: AnswerBook, measure: Measure | None
) -> Evidence | None:
    compute = OWN.get(metric, measure)
    rows: list[npt.NDArray[Any]] = []
    scores: list[float] = []
    asked = set()
    for place, record in enumerate(records):
        answers = book.of(record)
        if answers is None:
            # The others are looked at too, so that all are named which cannot be used.
            for other in records[place + 1 :]:
                book.read(other, "test")
            return None
        asked.add(_fingerprint(answers))
        if metric == MEAN_AVERAGE_PRECISION and measure is None:
            samples = book.samples(record)
            if samples is None:
                return None
            rows.append(samples)
            scores.append(float(record.metrics["test"][metric]))
        elif compute is None:
            return None
        else:
            value = compute(answers)
            if np.ndim(value) == 0:
                if not np.isfinite(value):
                    return None
                scores.append(float(value))
                rows.append(_resampled(answers, compute))
            else:
                rows.append(np.asarray(value, np.float64))
        book.forget(record)
    if len(asked) != 1 or len({len(row) for row in rows}) != 1 or len(scores) not in (0, len(rows)):
        return None
    table = np.stack(rows)
    if table.shape[1] < 2 or not np.isfinite(table).all():
        return None
    sample = stats.Sample.of_resamples(scores, table) if scores else stats.Sample.of_items(table)
    return Evidence(sample, asked.pop(), records)


def _resampled(answers: Answers, measure: Measure) -> npt.NDArray[np.float64]:
    """Return a metric of bootstrap resamples of the items."""

    def of(places: npt.NDArray[np.int64]) -> float:
        shown = answers.probabilities
        drawn = replace(
            answers,
            ids=answers.ids[places],
            labels=answers.labels[places],
            predicted=answers.predicted[places],
            probabilities=None if shown is None else shown[places],
        )
        return float(measure(drawn))

    return stats.bootstrap(of, len(answers.ids))


def _fingerprint(answers: Answers) -> str:
    """Return what is equal for networks that were asked the same items."""
    content = hashlib.blake2b(digest_size=16)
    for array in (answers.ids, answers.labels):
        content.update(np.ascontiguousarray(array, np.int64).tobytes())
    return content.hexdigest()
