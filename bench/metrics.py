"""Metrics of stored predictions: arrays in, plain numbers out.

Everything is computed from what `predictions.npz` holds, so that whoever recomputes a metric from
the file gets the same number. All averages are named; none is a mean of batch means.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.specs import Task

PRIMARY = {
    Task.BINARY: "accuracy",
    Task.MULTI_CLASS: "accuracy",
    Task.HIERARCHICAL: "accuracy",
    Task.MULTI_LABEL: "mean_average_precision",
}
"""The metric that selects on val and ranks on test."""

SELECTABLE = {
    Task.BINARY: ("accuracy", "log_loss", "precision", "recall", "f1"),
    Task.MULTI_CLASS: ("accuracy", "log_loss"),
    Task.HIERARCHICAL: ("accuracy", "log_loss", "accuracy_level_1"),
    Task.MULTI_LABEL: ("mean_average_precision", "accuracy", "f1_macro", "f1_micro", "log_loss"),
}
"""The metrics that `monitor` may name; of a hierarchical task also deeper levels."""
LOWER_IS_BETTER = ("log_loss",)

Array = npt.NDArray[Any]


def compute(
    task: Task,
    labels: Array,
    predicted: Array,
    probabilities: Array,
    classes: Sequence[str],
    taxonomy: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """Return the metrics that suit a task, and `n`, the number of items.

    Args:
        task: what is said of an image.
        labels: (N,) integers, or (N, C) of 0 and 1 for a multi-label task.
        predicted: of the same shape: the class, or for each label whether it is said.
        probabilities: (N, C), as stored: float16, float32 for a multi-label task.
        classes: names of the C classes.
        taxonomy: for a hierarchical task, the path from the top of the tree to each class.
    """
    exact = probabilities.astype(np.float64)
    if task is Task.MULTI_LABEL:
        return _multi_label(labels, predicted, exact, classes)
    result = _single_label(labels, predicted, exact)
    if task is Task.BINARY:
        result |= _second_class(labels, predicted)
    if task is Task.HIERARCHICAL:
        result |= _levels(labels, predicted, exact, taxonomy)
    return result


def score(metrics: Mapping[str, Any], monitor: str | None = None) -> float:
    """Return the metric that selects, the higher the better; 0 where there is none.

    Args:
        metrics: of a split, by name.
        monitor: which of them selects; the task's own where None. One of which less is better
            counts with a minus.
    """
    found = metrics.get(monitor) if monitor else None
    if monitor is None:
        found = metrics.get("mean_average_precision", metrics.get("accuracy"))
    if monitor in LOWER_IS_BETTER:
        return -math.inf if found is None or math.isnan(found) else -float(found)
    # NaN: no item of the split has any label.
    return 0.0 if found is None or math.isnan(found) else float(found)


def can_select(monitor: str, task: Task) -> bool:
    """Return whether a metric of a task is there to select by."""
    return monitor in SELECTABLE[task] or (
        task is Task.HIERARCHICAL and re.fullmatch(r"accuracy_level_[1-9]\d*", monitor) is not None
    )


def hits(labels: Array, predicted: Array) -> npt.NDArray[np.bool_]:
    """Return for each item whether all that was said of it is right, (N,)."""
    right = np.atleast_2d(labels.T == predicted.T)
    return np.asarray(right.all(0), np.bool_)


def hits_at(
    level: int,
    labels: Array,
    predicted: Array,
    probabilities: Array,
    taxonomy: Sequence[Sequence[str]],
) -> npt.NDArray[np.bool_]:
    """Return for each item whether the right node of a level of the tree is said, (N,).

    A node has the probabilities of all leaves below it; a leaf that lies above the level stands
    for itself there.

    Args:
        level: from the top (1) down.
        labels: (N,) integers.
        predicted: (N,) integers.
        probabilities: (N, C) float64.
        taxonomy: the path from the top of the tree to each class.
    """
    above = [tuple(path[:level]) for path in taxonomy]
    nodes = sorted(set(above))
    node_of = np.array([nodes.index(node) for node in above])
    summed = np.zeros((len(labels), len(nodes)))
    for leaf, node in enumerate(node_of):
        summed[:, node] += probabilities[:, leaf]
    # Where every leaf is its own node, what is said of it stands.
    own = len(nodes) == len(taxonomy)
    right = (node_of[predicted] if own else summed.argmax(1)) == node_of[labels]
    return np.asarray(right, np.bool_)


def best_threshold(labels: Array, probabilities: Array) -> float:
    """Return the probability from which labels count as present that gives the highest macro F1.

    One threshold for all labels, among those from 0.05 to 0.95: with one for each label, rare
    labels would fit the noise of a small val split. Of equals the one nearest to 0.5 is taken.
    """
    candidates = sorted(np.round(np.arange(0.05, 0.951, 0.05), 2), key=lambda t: abs(t - 0.5))
    scores = [_f1(labels, said(probabilities, candidate)).mean() for candidate in candidates]
    return float(candidates[int(np.argmax(scores))])


def said(probabilities: Array, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which labels count as present, (N, C), from their stored probabilities."""
    return np.asarray(probabilities.astype(np.float64) >= threshold)


def average_precision(truth: Array, scores: Array, weights: Array) -> Array:
    """Return the average precision of one label, under each of several weightings of the items.

    Sum of precision times the step in recall over all thresholds, without interpolation, as
    scikit-learn's `average_precision_score`; items of one score pass a threshold together. Written
    out here for the many weightings of a bootstrap.

    Args:
        truth: (N,) of 0 and 1.
        scores: (N,), higher means more likely.
        weights: (W, N), not negative.

    Returns:
        (W,) float64; NaN where no positive item has any weight.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    weighted = weights[:, order]
    positives = np.cumsum(weighted * truth[order], 1)[:, last]
    everything = np.cumsum(weighted, 1)[:, last]
    precision = np.divide(positives, everything, out=np.zeros_like(positives), where=everything > 0)
    steps = np.diff(positives, axis=1, prepend=0.0)
    total = positives[:, -1]
    found: Array = np.full(len(weights), np.nan)
    np.divide((precision * steps).sum(1), total, out=found, where=total > 0)
    return found


def _single_label(labels: Array, predicted: Array, probabilities: Array) -> dict[str, Any]:
    likelihood = probabilities[np.arange(len(labels)), labels]
    likelihood = np.maximum(likelihood, np.finfo(np.float16).tiny)
    return {
        "accuracy": float((predicted == labels).mean()),
        "log_loss": float(-np.log(likelihood).mean()),
        "n": len(labels),
    }


def _second_class(labels: Array, predicted: Array) -> dict[str, float]:
    """Return precision, recall and F1 of the second class, which counts as positive."""
    truth, claimed = (labels == 1)[:, None], (predicted == 1)[:, None]
    return {
        "precision": float(_ratio((truth & claimed).sum(0), claimed.sum(0))[0]),
        "recall": float(_ratio((truth & claimed).sum(0), truth.sum(0))[0]),
        "f1": float(_f1(truth, claimed)[0]),
    }


def _levels(
    labels: Array, predicted: Array, probabilities: Array, taxonomy: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return the accuracy at each level of the tree, from the top (1) to the leaves."""
    depth = max(len(path) for path in taxonomy)
    return {
        f"accuracy_level_{level}": float(
            hits_at(level, labels, predicted, probabilities, taxonomy).mean()
        )
        for level in range(1, depth + 1)
    }


def _multi_label(
    labels: Array, predicted: Array, probabilities: Array, classes: Sequence[str]
) -> dict[str, Any]:
    truth, claimed = labels.astype(bool), predicted.astype(bool)
    both = (truth & claimed).sum(0)
    precision, recall = _ratio(both, claimed.sum(0)), _ratio(both, truth.sum(0))
    f1 = _f1(truth, claimed)
    once = np.ones((1, len(labels)))
    average = np.array(
        [
            average_precision(truth[:, column], probabilities[:, column], once)[0]
            for column in range(len(classes))
        ]
    )
    tiny = np.finfo(np.float16).tiny
    likelihood = np.where(truth, probabilities, 1 - probabilities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no item with any label at all
        mean_average = float(np.nanmean(average))
    return {
        "mean_average_precision": mean_average,
        "accuracy": float(hits(truth, claimed).mean()),
        "f1_macro": float(f1.mean()),
        "f1_micro": float(_ratio(2 * both.sum(keepdims=True), claimed.sum() + truth.sum())[0]),
        "log_loss": float(-np.log(np.maximum(likelihood, tiny)).mean()),
        "n": len(labels),
        "per_class": {
            name: {
                "precision": float(precision[column]),
                "recall": float(recall[column]),
                "f1": float(f1[column]),
                "average_precision": float(average[column]),
                "n": int(truth[:, column].sum()),
            }
            for column, name in enumerate(classes)
        },
    }


def _f1(labels: Array, claimed: Array) -> Array:
    """Return the F1 of each column; 0 where a label is neither there nor said."""
    truth = labels.astype(bool)
    return _ratio(2 * (truth & claimed).sum(0), truth.sum(0) + claimed.sum(0))


def _ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, and 0 where there is nothing to divide by (scikit-learn's choice)."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)
