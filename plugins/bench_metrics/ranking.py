"""Metrics of the order that probabilities give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import bench
from bench_metrics import references
from bench_metrics.needs import one_against_rest, shares


def _among_first(answers: bench.Answers, *, k: int = 5) -> npt.NDArray[np.float64]:
    """Share of the items whose class is among the k likeliest.

    Of equal probabilities, which float16 makes of near ones, the later class goes first, as in
    scikit-learn's `top_k_accuracy_score`.
    """
    if k < 1:
        raise bench.ConfigError(f"metric `top_k`: `k` is {k}; give 1 or more")
    likeliest = np.argsort(shares(answers), axis=1, kind="stable")[:, ::-1][:, :k]
    return np.asarray((likeliest == answers.labels[:, None]).any(1), np.float64)


def _among_five(answers: bench.Answers) -> npt.NDArray[np.float64]:
    """Share of the items whose class is among the five likeliest."""
    return _among_first(answers, k=5)


def _roc_auc(answers: bench.Answers) -> float:
    """Area under the ROC curve, the mean over classes, each against the rest.

    Classes that every item or none has count in no mean; of two classes it is that of the second.
    """
    from sklearn.metrics import roc_auc_score

    areas = [
        roc_auc_score(truth, scores)
        for truth, scores in one_against_rest(answers)
        if truth.any() and not truth.all()
    ]
    return float(np.mean(areas)) if areas else float("nan")


def _average_precision(answers: bench.Answers) -> float:
    """Average precision without interpolation, the mean over classes, each against the rest.

    Classes that no item has count in no mean; of two classes it is that of the second. In a
    multi-label task it is the mAP that ranks.
    """
    from sklearn.metrics import average_precision_score

    found = [
        average_precision_score(truth, scores)
        for truth, scores in one_against_rest(answers)
        if truth.any()
    ]
    return float(np.mean(found)) if found else float("nan")


TOP_K = bench.Metric(
    name="top_k", per_item=_among_first, tasks=bench.SINGLE_LABEL, reference=references.top_k
)
TOP5 = bench.Metric(
    name="top5", per_item=_among_five, tasks=bench.SINGLE_LABEL, reference=references.top_k
)
ROC_AUC = bench.Metric(name="roc_auc", compute=_roc_auc, reference=references.roc_auc)
AVERAGE_PRECISION = bench.Metric(
    name="average_precision",
    compute=_average_precision,
    aliases=("mean_average_precision", "map"),
    reference=references.average_precision,
)
