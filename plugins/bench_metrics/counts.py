"""Metrics of what was said, without its probability."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

import bench
from bench_metrics import references


def _right(answers: bench.Answers) -> npt.NDArray[np.float64]:
    """Share of the items of which all that was said is right."""
    return answers.right.astype(np.float64)


def _balanced(answers: bench.Answers) -> float:
    """Mean of the recalls of the classes that occur."""
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        # scikit-learn's remark that classes were said which no item has.
        warnings.simplefilter("ignore", UserWarning)
        return float(balanced_accuracy_score(answers.labels, answers.predicted))


def _matthews(answers: bench.Answers) -> float:
    """Matthews' correlation of truth and prediction; 0 where either is constant."""
    from sklearn.metrics import matthews_corrcoef

    with warnings.catch_warnings():
        # scikit-learn's remark that there is one class alone.
        warnings.simplefilter("ignore", UserWarning)
        return float(matthews_corrcoef(answers.labels, answers.predicted))


def _wrong_labels(answers: bench.Answers) -> npt.NDArray[np.float64]:
    """Share of the labels that are wrongly said or not said."""
    return np.asarray((answers.labels != answers.predicted).mean(1), np.float64)


ACCURACY = bench.Metric(
    name="accuracy",
    per_item=_right,
    aliases=("exact_match",),
    reference=references.accuracy,
)
BALANCED_ACCURACY = bench.Metric(
    name="balanced_accuracy",
    compute=_balanced,
    tasks=bench.SINGLE_LABEL,
    reference=references.balanced_accuracy,
)
MATTHEWS = bench.Metric(
    name="matthews",
    compute=_matthews,
    aliases=("mcc",),
    tasks=bench.SINGLE_LABEL,
    bounds=(-1.0, 1.0),
    reference=references.matthews,
)
HAMMING_LOSS = bench.Metric(
    name="hamming_loss",
    per_item=_wrong_labels,
    tasks=(bench.Task.MULTI_LABEL,),
    lower_is_better=True,
    reference=references.hamming_loss,
)
