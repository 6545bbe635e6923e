"""Intervals of one estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.stats.distributions import ALPHA, normal_quantile, t_quantile


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927).

    Raises:
        ValueError: `n` is not positive.
    """
    if n <= 0:
        raise ValueError("a proportion of nothing has no interval")
    z = normal_quantile()
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean with Student's t interval, of two values or more."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        raise ValueError("a t interval needs two values or more")
    half = t_quantile(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    mean = float(array.mean())
    return Interval(mean, mean - half, mean + half)


def percentile_interval(estimate: float, samples: npt.NDArray[np.float64]) -> Interval:
    """Return an estimate with the percentile interval of its bootstrap samples (Efron 1979)."""
    low, high = np.quantile(samples, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))
