"""Metrics of the probabilities themselves."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

import bench
from bench_metrics import references
from bench_metrics.needs import shares

_LEAST = float(np.finfo(np.float16).tiny)
"""What a probability counts as at least, as in the log loss that runs are selected by."""


def _surprise(answers: bench.Answers) -> npt.NDArray[np.float64]:
    """Log loss, the mean of minus the logarithm of what the truth was given."""
    exact = shares(answers)
    if answers.task is bench.Task.MULTI_LABEL:
        given = np.where(answers.labels == 1, exact, 1 - exact)
    else:
        given = exact[np.arange(len(exact)), answers.labels][:, None]
    return np.asarray(-np.log(np.maximum(given, _LEAST)).mean(1), np.float64)


def _squared(answers: bench.Answers) -> npt.NDArray[np.float64]:
    """Brier score: squared error of the probabilities, summed over classes (Brier 1950).

    Of two classes it is that of the second alone, from 0 to 1, as scikit-learn has it; in a
    multi-label task the mean over labels.
    """
    exact = shares(answers)
    if answers.task is bench.Task.MULTI_LABEL:
        errors = ((exact - answers.labels) ** 2).mean(1)
    elif answers.task is bench.Task.BINARY:
        errors = (exact[:, 1] - answers.labels) ** 2
    else:
        errors = ((exact - np.eye(exact.shape[1])[answers.labels]) ** 2).sum(1)
    return np.asarray(errors, np.float64)


def _calibration(answers: bench.Answers, *, bins: int = 15) -> float:
    """Average how far accuracy is from confidence, in bins of equal width.

    The mean over items of the gap in their bin, bins closed above (Naeini, Cooper and Hauskrecht
    2015; Guo et al. 2017, "On Calibration of Modern Neural Networks", who take 15 bins). It is not
    free of bias: few items in a bin leave a gap by chance.
    """
    if bins < 1:
        raise bench.ConfigError(f"metric `ece`: `bins` is {bins}; give 1 or more")
    confidence = shares(answers).max(1)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=answers.right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


LOG_LOSS = bench.Metric(
    name="log_loss",
    per_item=_surprise,
    lower_is_better=True,
    bounds=(0.0, math.inf),
    reference=references.log_loss,
)
BRIER = bench.Metric(
    name="brier",
    per_item=_squared,
    lower_is_better=True,
    bounds=(0.0, 2.0),
    reference=references.brier,
)
ECE = bench.Metric(
    name="ece",
    compute=_calibration,
    aliases=("expected_calibration_error",),
    description="Expected calibration error: how far accuracy is from confidence, in bins.",
    tasks=bench.SINGLE_LABEL,
    lower_is_better=True,
    reference=references.ece,
)
