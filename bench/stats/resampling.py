"""Bootstrap over the items of a test set, for metrics that are no mean over items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench import metrics

BLOCK_VALUES = 5_000_000
"""Weights of items that are held at a time, 8 bytes each."""


def bootstrap_average_precision(
    labels: npt.NDArray[np.uint8],
    scores: npt.NDArray[np.floating],
    resamples: int = 1000,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Return the mean average precision of bootstrap resamples of the items, (resamples,).

    The resamples depend on the seed and the number of items alone, so the samples of two networks
    are paired. Of large sets fewer are drawn, at least 200.

    Args:
        labels: (N, C) of 0 and 1; those that a resample lacks do not count in it.
        scores: (N, C); higher means more likely.
        resamples: how many.
        seed: of the resamples.
    """
    count, classes = labels.shape
    resamples = int(min(resamples, max(200, 20_000_000 // (count * classes))))
    generator = np.random.default_rng(seed)
    present = np.flatnonzero(labels.any(0))
    result = np.zeros(resamples)
    block = max(1, BLOCK_VALUES // count)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = (generator.integers(0, count, count) for _ in range(rows))
        weights = np.stack([np.bincount(each, minlength=count) for each in drawn]).astype(float)
        each = np.stack(
            [metrics.average_precision(labels[:, c], scores[:, c], weights) for c in present]
        )
        known = np.isfinite(each)
        total = np.where(known, each, 0.0).sum(0)
        result[start : start + rows] = total / np.maximum(known.sum(0), 1)
    return result


def bootstrap(
    measure: Callable[[npt.NDArray[np.int64]], float],
    count: int,
    resamples: int = 200,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Return any metric of bootstrap resamples of the items, (resamples,).

    The resamples depend on the seed and the number of items alone, so the samples of two networks
    are paired. They are for a variance, of which two hundred give a standard error within 5 %.

    Args:
        measure: the metric of the items at these places, (count,), some more than once; one that a
            resample does not have may be NaN and gets the mean of the others.
        count: of the items.
        resamples: how many.
        seed: of the resamples.

    Raises:
        ValueError: no resample has the metric.
    """
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(0, count, count) for _ in range(resamples))
    found = np.array([measure(places) for places in drawn], np.float64)
    known = np.isfinite(found)
    if not known.any():
        raise ValueError("no resample of the items has this metric")
    return np.where(known, found, found[known].mean())
