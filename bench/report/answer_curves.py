"""ROC, precision-recall and reliability of stored probabilities: arrays in, points out."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench import stats
from bench.metrics import average_precision
from bench.specs import Answers, Task

POINTS = 60
"""Points of a curve as it is drawn."""
INVISIBLE = 1e-3
"""Part of an axis by which a curve may differ from what is drawn."""
GRID = 401
"""Places at which curves are averaged."""
WIDTHS = 15
"""Bins of equal width of the expected calibration error, as Guo et al. (2017) take them."""
MOST_BINS = 12
"""Bins of equal mass of a reliability diagram."""
FEWEST_ITEMS = 20
"""Items of such a bin: of fewer, a share says next to nothing."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A curve from x = 0 to 1, with the area below it.

    Attributes:
        x: (P,) float64, ascending.
        y: (P,) float64.
        area: of a ROC curve the AUC; of a precision-recall curve the average precision.
        positives: items of the class.
    """

    x: Array
    y: Array
    area: float
    positives: int


@dataclass(frozen=True)
class Bin:
    """Items that were said with about the same confidence.

    Attributes:
        confidence: their mean probability.
        right: the share that was right, with Wilson's interval.
        n: how many.
        low: the least probability among them.
        high: the greatest.
    """

    confidence: float
    right: stats.Interval
    n: int
    low: float
    high: float


def roc(truth: npt.NDArray[np.bool_], scores: Array) -> Curve | None:
    """Return the share of positives found against that of false alarms, over all thresholds.

    Items of one score pass a threshold together, which is a slant in the curve.

    Args:
        truth: (N,) whether an item is of the class.
        scores: (N,), higher means more likely.

    Returns:
        None where all items are of the class, or none is.
    """
    found, false = _passed(truth, scores)
    if not found[-1] or not false[-1]:
        return None
    x, y = false / false[-1], found / found[-1]
    return Curve(x, y, float(np.trapezoid(y, x)), int(found[-1]))


def precision_recall(truth: npt.NDArray[np.bool_], scores: Array) -> Curve | None:
    """Return precision against recall as the stairs whose area is the average precision.

    Up to the recall of a threshold counts the precision that it has: no line between two
    thresholds, which would promise too much (Davis and Goadrich 2006,
    https://doi.org/10.1145/1143844.1143874).

    Returns:
        None where no item is of the class.
    """
    found, false = _passed(truth, scores)
    if not found[-1]:
        return None
    recall, precision = found / found[-1], found[1:] / (found + false)[1:]
    area = average_precision(truth, scores, np.ones((1, len(truth))))[0]
    return Curve(np.repeat(recall, 2)[1:-1], np.repeat(precision, 2), float(area), int(found[-1]))


def mean_of(curves: Sequence[Curve]) -> Curve:
    """Return the mean of curves at each x, and of their areas: the macro mean of classes."""
    x = np.linspace(0.0, 1.0, GRID)
    y = np.mean([np.interp(x, curve.x, curve.y) for curve in curves], 0)
    area = float(np.mean([curve.area for curve in curves]))
    return Curve(x, y, area, sum(curve.positives for curve in curves))


def thinned(curve: Curve) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return at most `POINTS` points of a curve that looks the same.

    Those are kept that lie furthest from the line between their neighbours (Douglas and Peucker
    1973), until what is left out cannot be seen.
    """
    x, y = curve.x, curve.y
    kept = [0, len(x) - 1]
    waiting: list[tuple[float, int, int, int]] = []

    def split(first: int, last: int) -> None:
        if last - first > 1:
            distances = _distances(x, y, first, last)
            place = int(distances.argmax())
            heapq.heappush(waiting, (-float(distances[place]), first + 1 + place, first, last))

    split(0, len(x) - 1)
    while waiting and len(kept) < POINTS:
        distance, place, first, last = heapq.heappop(waiting)
        if -distance < INVISIBLE:
            break
        kept.append(place)
        split(first, place)
        split(place, last)
    kept.sort()
    return tuple(short(value) for value in x[kept]), tuple(short(value) for value in y[kept])


def confidences(answers: Answers) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the probability of each thing that was said, and whether it was right.

    In a multi-label task each pair of image and label counts, with the probability that it has;
    right is that the image has the label.
    """
    assert answers.probabilities is not None
    shares = answers.probabilities.astype(np.float64)
    if answers.task is Task.MULTI_LABEL:
        return shares.ravel(), answers.labels.astype(bool).ravel()
    return shares[np.arange(len(shares)), answers.predicted], answers.right


def reliability(confidence: Array, right: npt.NDArray[np.bool_]) -> list[Bin]:
    """Return how often what was said was right, in bins of about as many items each.

    Items of the same probability share a bin.

    Args:
        confidence: (N,), 0 to 1.
        right: (N,).
    """
    count = max(1, min(MOST_BINS, len(confidence) // FEWEST_ITEMS))
    edges = np.unique(np.quantile(confidence, np.arange(1, count) / count))
    place = np.searchsorted(edges, confidence)
    bins = []
    for each in np.unique(place):
        inside = place == each
        own, n = confidence[inside], int(inside.sum())
        share = stats.wilson(int(right[inside].sum()), n)
        bins.append(Bin(float(own.mean()), share, n, float(own.min()), float(own.max())))
    return bins


def calibration_error(confidence: Array, right: npt.NDArray[np.bool_]) -> float:
    """Return how far the share right is from confidence, on average over items.

    The expected calibration error of Guo et al. 2017, "On Calibration of Modern Neural Networks":
    15 bins of equal width, closed above.
    """
    place = np.clip(np.ceil(confidence * WIDTHS).astype(int) - 1, 0, WIDTHS - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=WIDTHS)
    return float(np.abs(gaps).sum() / len(confidence))


def _passed(truth: npt.NDArray[np.bool_], scores: Array) -> tuple[Array, Array]:
    """Return how many positives and negatives pass each threshold, from none to all."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum(truth[order], dtype=np.float64)[last]
    return np.append(0.0, found), np.append(0.0, last + 1 - found)


def _distances(x: Array, y: Array, first: int, last: int) -> Array:
    """Return how far the points between two are from the line through these."""
    between = slice(first + 1, last)
    across, up = x[last] - x[first], y[last] - y[first]
    right, above = x[between] - x[first], y[between] - y[first]
    length = math.hypot(across, up)
    if not length:
        return np.asarray(np.hypot(right, above), np.float64)
    return np.asarray(np.abs(across * above - up * right) / length, np.float64)


def short(value: float) -> float:
    """Return a share as exactly as a chart shows it."""
    return round(float(value), 4)
