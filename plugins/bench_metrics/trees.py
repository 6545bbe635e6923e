"""Metrics of hierarchical tasks, where classes are the leaves of a tree."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

import bench
from bench.metrics import hits_at
from bench_metrics import references
from bench_metrics.needs import paths, shares


def _right_at(answers: bench.Answers, *, level: int = 1) -> npt.NDArray[np.float64]:
    """Accuracy at a level of the tree, from the top (1); a node has the shares of its leaves."""
    taxonomy = paths(answers)
    depth = max(map(len, taxonomy))
    if not 1 <= level <= depth:
        raise bench.DataError(f"its tree has levels 1 to {depth}")
    right = hits_at(level, answers.labels, answers.predicted, shares(answers), taxonomy)
    return right.astype(np.float64)


def _steps(answers: bench.Answers) -> tuple[npt.NDArray[np.int64], ...]:
    """Return how deep the right and the predicted leaves lie, and how far their paths agree."""
    taxonomy = paths(answers)
    depth = np.array([len(path) for path in taxonomy])
    labels, predicted = answers.labels, answers.predicted
    pairs, place = np.unique(np.stack([labels, predicted]), axis=1, return_inverse=True)
    shared = np.array([_common(taxonomy[a], taxonomy[b]) for a, b in pairs.T])
    return depth[labels], depth[predicted], shared[place]


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    steps = 0
    while steps < min(len(a), len(b)) and a[steps] == b[steps]:
        steps += 1
    return steps


def _precision(answers: bench.Answers) -> float:
    """Share of the nodes above and at the predicted leaves that are also above the right ones.

    All items together, the root left out (Kiritchenko, Matwin and Famili 2005; recommended by
    Silla and Freitas 2011).
    """
    _, said, shared = _steps(answers)
    return float(shared.sum() / said.sum())


def _recall(answers: bench.Answers) -> float:
    """Share of the nodes above and at the right leaves that are also above the predicted ones."""
    true, _, shared = _steps(answers)
    return float(shared.sum() / true.sum())


def _f1(answers: bench.Answers) -> float:
    """Harmonic mean of hierarchical precision and recall."""
    true, said, shared = _steps(answers)
    return float(2 * shared.sum() / (true.sum() + said.sum()))


def _distance(answers: bench.Answers) -> npt.NDArray[np.float64]:
    """Edges of the tree between the predicted and the right leaf."""
    true, said, shared = _steps(answers)
    return (true + said - 2 * shared).astype(np.float64)


_TREES = (bench.Task.HIERARCHICAL,)
ACCURACY_LEVEL = bench.Metric(
    name="accuracy_level", per_item=_right_at, tasks=_TREES, reference=references.accuracy_level
)
HIERARCHICAL_PRECISION = bench.Metric(
    name="hierarchical_precision",
    compute=_precision,
    tasks=_TREES,
    reference=functools.partial(references.hierarchical, which="precision"),
)
HIERARCHICAL_RECALL = bench.Metric(
    name="hierarchical_recall",
    compute=_recall,
    tasks=_TREES,
    reference=functools.partial(references.hierarchical, which="recall"),
)
HIERARCHICAL_F1 = bench.Metric(
    name="hierarchical_f1",
    compute=_f1,
    tasks=_TREES,
    reference=functools.partial(references.hierarchical, which="f1"),
)
TREE_DISTANCE = bench.Metric(
    name="tree_distance",
    per_item=_distance,
    tasks=_TREES,
    lower_is_better=True,
    bounds=(0.0, math.inf),
    reference=references.tree_distance,
)
