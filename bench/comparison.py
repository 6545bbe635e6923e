"""What scores rows have, and whether two of them can be told apart.

A score is the metric that a task is ranked by: accuracy, or for multi-label tasks the mean average
precision. With two seeds or more on both sides methods are compared, else the two networks of one
seed, item by item, from their stored predictions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench import metrics, stats
from bench.answers import AnswerBook
from bench.records import RunRecord, RunStatus
from bench.specs import Task


def metric_of(record: RunRecord) -> str:
    """Return the metric that a run is ranked by."""
    task = record.environment.get("task")
    return metrics.PRIMARY[Task(task)] if task else "accuracy"


def score_of(record: RunRecord, split: str = "test") -> float | None:
    """Return a run's score on a split, or None where it has none."""
    value = record.metrics.get(split, {}).get(metric_of(record))
    return None if value is None or not math.isfinite(value) else float(value)


def is_scored(record: RunRecord) -> bool:
    """Return whether a run succeeded and has a score on test."""
    return record.status is RunStatus.OK and score_of(record) is not None


def interval(records: Sequence[RunRecord], book: AnswerBook) -> tuple[stats.Interval, str]:
    """Return the interval of the score of a method, and the noise it speaks of.

    That of seeds where there are several, else that of test items.
    """
    scores = [score for record in records if (score := score_of(record)) is not None]
    if len(scores) > 1 and len(set(scores)) > 1:
        found = stats.t_interval(scores)
        # Few seeds can give an interval that leaves the range of a proportion.
        return stats.Interval(found.mean, max(0.0, found.low), min(1.0, found.high)), "seeds"
    if metric_of(records[0]) == "accuracy":
        n = int(records[0].metrics["test"]["n"])
        return stats.wilson(round(scores[0] * n), n), "items"
    samples = book.samples(records[0])
    if samples is None:
        return stats.Interval(scores[0], 0.0, 1.0), "items"  # nothing is known but the range
    return stats.percentile_interval(scores[0], samples), "items"


def compare(
    ok_a: Sequence[RunRecord], ok_b: Sequence[RunRecord], book: AnswerBook
) -> stats.Difference:
    """Compare the scores of two methods by their runs that succeeded."""
    scores = [[score_of(record) or 0.0 for record in ok] for ok in (ok_a, ok_b)]
    if min(map(len, scores)) > 1 and max(len({*each}) for each in scores) > 1:
        return stats.welch(scores[0], scores[1])
    a, b = book.of(ok_a[0]), book.of(ok_b[0])
    same = a is not None and b is not None and np.array_equal(a.labels, b.labels)
    if metric_of(ok_a[0]) == "accuracy":
        if a is not None and b is not None and same:
            return stats.mcnemar(a.right, b.right)
        counts = [
            (round((score_of(r) or 0.0) * (n := int(r.metrics["test"]["n"]))), n)
            for r in (ok_a[0], ok_b[0])
        ]
        return stats.proportions(*counts[0], *counts[1])
    first, second = book.samples(ok_a[0]), book.samples(ok_b[0])
    if first is None or second is None or not same:
        # Without the predictions nothing tells the two apart.
        return stats.Difference(scores[0][0] - scores[1][0], -1.0, 1.0, 1.0, "none")
    return stats.paired_bootstrap(scores[0][0] - scores[1][0], first - second)


def resolvable_gap(record: RunRecord, found: stats.Interval) -> float:
    """Return the smallest difference in score that a test set can resolve with one seed."""
    if metric_of(record) == "accuracy":
        return stats.resolvable_gap(found.mean, int(record.metrics["test"]["n"]))
    return math.sqrt(2) * (found.high - found.low) / 2
