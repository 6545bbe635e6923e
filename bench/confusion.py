"""What a run's stored predictions say of each class, and which classes it takes for which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.metrics import average_precision
from bench.specs import Answers, Task


@dataclass(frozen=True)
class Confusion:
    """One way of being wrong.

    Attributes:
        count: items of class `true` that were taken for `said`.
        n: items of class `true`.
    """

    true: str
    said: str
    count: int
    n: int


def matrix(answers: Answers) -> npt.NDArray[np.int64]:
    """Return the confusion matrix, (C, C), truth by prediction; of tasks with one label."""
    width = len(answers.names)
    place = answers.labels.astype(np.int64) * width + answers.predicted
    counts: npt.NDArray[np.int64] = np.bincount(place, minlength=width * width)
    return counts.reshape(width, width)


def by_class(answers: Answers) -> list[dict[str, Any]]:
    """Return precision, recall, F1 and the number of items `n` of each class, in their order.

    0 where there is nothing to divide by, as scikit-learn has it. In a multi-label task also the
    `average_precision` of each label, NaN where no item has it.
    """
    if answers.task is Task.MULTI_LABEL:
        truth, claimed = answers.labels.astype(bool), answers.predicted.astype(bool)
        both, true, said = (truth & claimed).sum(0), truth.sum(0), claimed.sum(0)
    else:
        counts = matrix(answers)
        both, true, said = counts.diagonal(), counts.sum(1), counts.sum(0)
    columns: dict[str, Any] = {
        "precision": _ratio(both, said),
        "recall": _ratio(both, true),
        "f1": _ratio(2 * both, true + said),
    }
    if answers.task is Task.MULTI_LABEL and answers.probabilities is not None:
        once, shares = np.ones((1, len(answers.ids))), answers.probabilities.astype(np.float64)
        columns["average_precision"] = [
            average_precision(answers.labels[:, k], shares[:, k], once)[0]
            for k in range(len(answers.names))
        ]
    return [
        {"class": name, **{key: float(c[k]) for key, c in columns.items()}, "n": int(true[k])}
        for k, name in enumerate(answers.names)
    ]


def most_frequent(answers: Answers, limit: int) -> list[Confusion]:
    """Return the most frequent confusions of a task with one label an image, at most `limit`.

    Of equally frequent ones those of the rarer class come first.
    """
    counts = matrix(answers)
    n = counts.sum(1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    true, said = np.nonzero(wrong)
    order = np.lexsort((said, true, n[true], -wrong[true, said]))[:limit]
    names = answers.names
    return [
        Confusion(names[a], names[b], int(wrong[a, b]), int(n[a]))
        for a, b in zip(true[order], said[order], strict=True)
    ]


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    ratio: npt.NDArray[np.float64] = np.zeros(len(part))
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
