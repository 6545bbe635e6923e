"""What scores rows have, and whether two of them can be told apart.

A score is the metric that a task is ranked by: accuracy, or for multi-label tasks the mean average
precision. With two seeds or more on both sides methods are compared, else the two networks of one
seed, item by item, from their stored predictions. Other numbers of runs can be compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench import evidence, metrics, stats
from bench.answers import AnswerBook
from bench.evidence import Evidence, Measure
from bench.records import RunRecord, RunStatus
from bench.specs import Task


def metric_of(record: RunRecord) -> str:
    """Return the metric that a run is ranked by."""
    task = record.environment.get("task")
    return metrics.PRIMARY[Task(task)] if task else "accuracy"


def number_of(record: RunRecord, name: str, split: str = "test") -> float | None:
    """Return a number of a run, or None where it has none.

    Args:
        record: of the run.
        name: of a metric of the split, or of what was measured of the network or of its training,
            such as `latency_ms` or `train_seconds`.
        split: whose metric it is.
    """
    for place in (record.metrics.get(split, {}), record.profile, record.timing):
        value = place.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


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
    ok_a: Sequence[RunRecord],
    ok_b: Sequence[RunRecord],
    book: AnswerBook,
    metric: str | None = None,
    measure: Measure | None = None,
) -> stats.Difference:
    """Compare two methods by their runs that succeeded.

    With two seeds or more on both sides and predictions of the same items the noise of seeds and
    that of items are both counted; without predictions, or of a number that has no items, that of
    seeds. With one seed on a side the networks of the first seeds are compared by their items.

    Args:
        ok_a: runs of a method.
        ok_b: of the other, on the same dataset.
        book: their predictions.
        metric: what they are compared by: the metric that ranks where None, any other of theirs,
            or a number such as `latency_ms` or `parameters`.
        measure: how the metric is computed from a network's answers. Accuracy, log loss and mean
            average precision need none. If it gives a number for each item instead, that is a
            metric which is their mean, and much cheaper: others are computed for 200 resamples of
            the items.

    Returns:
        The difference. Without a test, and so without an interval and a p-value (NaN), where there
        is one number on a side and no predictions, or where it does not vary with the seed; its
        estimate is NaN too where a side has no such number.
    """
    name = metric or metric_of(ok_a[0])
    numbers = [_numbers(ok, name, book, measure) for ok in (ok_a, ok_b)]
    if not all(numbers):
        return stats.Difference.untested(math.nan)
    several = min(map(len, numbers)) > 1
    if several:
        found = _evidence(ok_a, ok_b, name, book, measure)
        if found is not None and _vary(found):
            return stats.crossed(found[0].sample, found[1].sample)
        if found is None and max(len({*each}) for each in numbers) > 1:
            return stats.welch(*numbers)
    found = _evidence(ok_a[:1], ok_b[:1], name, book, measure)
    if found is not None:
        return _networks(*found, name)
    if name == "accuracy":
        counts = [
            (round(each[0] * (n := int(ok[0].metrics["test"]["n"]))), n)
            for each, ok in zip(numbers, (ok_a, ok_b), strict=True)
        ]
        return stats.proportions(*counts[0], *counts[1])
    return stats.Difference.untested(float(np.mean(numbers[0]) - np.mean(numbers[1])))


def against(
    leader: Sequence[RunRecord], others: Sequence[Sequence[RunRecord]], book: AnswerBook
) -> list[stats.Difference]:
    """Return the differences of a method from others, for tie groups.

    Predictions are read only where they can matter: where rows are so far apart that the
    correction for all pairs lets them pass whatever the items, nothing but the largest p-value
    possible is told.
    """
    enough = stats.ALPHA / max(1, stats.pairs(len(others) + 1))
    result = []
    for other in others:
        p = _most(leader, other)
        if p < enough:
            result.append(stats.Difference(math.nan, math.nan, math.nan, p, stats.Test.NONE))
        else:
            result.append(compare(leader, other, book))
    return result


def resolvable_gap(record: RunRecord, found: stats.Interval) -> float:
    """Return the smallest difference in score that a test set can resolve with one seed."""
    if metric_of(record) == "accuracy":
        return stats.resolvable_gap(found.mean, int(record.metrics["test"]["n"]))
    return math.sqrt(2) * (found.high - found.low) / 2


def _numbers(
    records: Sequence[RunRecord], name: str, book: AnswerBook, measure: Measure | None
) -> list[float]:
    """Return the number of each run; [] unless all have it."""
    stored = [number_of(record, name) for record in records]
    known = [value for value in stored if value is not None]
    if len(known) == len(stored):
        return known
    found = evidence.gather(records, name, book, measure)
    return [] if found is None else [float(score) for score in found.sample.scores]


def _evidence(
    ok_a: Sequence[RunRecord],
    ok_b: Sequence[RunRecord],
    name: str,
    book: AnswerBook,
    measure: Measure | None,
) -> tuple[Evidence, Evidence] | None:
    """Return what two methods scored item by item; None unless the items are the same."""
    first = evidence.gather(ok_a, name, book, measure)
    second = first and evidence.gather(ok_b, name, book, measure)
    if first is None or second is None or first.asked != second.asked:
        return None
    return first, second


def _vary(sides: Sequence[Evidence]) -> bool:
    """Return whether the networks of a method differ at all."""
    return any(len({*side.sample.scores}) > 1 or side.sample.own > 0 for side in sides)


def _networks(first: Evidence, second: Evidence, name: str) -> stats.Difference:
    """Compare two networks by the same items."""
    a, b = first.sample, second.sample
    if name == "accuracy":
        return stats.mcnemar(a.items > 0.5, b.items > 0.5)
    estimate = float(a.scores[0] - b.scores[0])
    return stats.paired(estimate, a, b)


def _most(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> float:
    """Return the largest p-value that two methods' accuracies can have, whatever the items."""
    if metric_of(first[0]) != "accuracy":
        return 1.0
    n = min(int(side[0].metrics["test"]["n"]) for side in (first, second))
    scores = [[score_of(record) or 0.0 for record in side] for side in (first, second)]
    return stats.largest_p(scores[0], scores[1], n)
