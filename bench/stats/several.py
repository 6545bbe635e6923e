"""Methods compared over several datasets: mean ranks and their critical difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.stats.distributions import ALPHA

FEWEST_DATASETS = 5
"""Of which mean ranks are compared; of fewer they say next to nothing (Demšar 2006)."""


@dataclass(frozen=True)
class Standing:
    """Mean ranks of methods over datasets.

    Attributes:
        ranks: (m,) of each method the mean of its ranks, 1 being the best; equals share one.
        datasets: how many.
        p: of the Friedman test that all methods are alike, in Iman and Davenport's form.
        critical: mean ranks that differ by less cannot be told apart (Nemenyi at 5 %).
        cliques: places of methods that cannot be told apart, best first, the largest sets only.
    """

    ranks: npt.NDArray[np.float64]
    datasets: int
    p: float
    critical: float
    cliques: tuple[tuple[int, ...], ...]


def standing(scores: npt.NDArray[np.float64]) -> Standing:
    """Compare methods by their ranks on several datasets (Demšar 2006).

    The Friedman test (1937) as corrected by Iman and Davenport (1980), then Nemenyi's critical
    difference (1963). Wilcoxon's signed-rank test with Holm's correction is what many advise
    instead (Benavoli, Corani and Mangili 2016), but on five datasets its smallest p-value is 1/16.

    Args:
        scores: (datasets, methods), more is better; five datasets and two methods at least.

    Raises:
        ValueError: there are fewer, or a score is missing.
    """
    datasets, methods = scores.shape
    if datasets < FEWEST_DATASETS or methods < 2:
        raise ValueError(
            f"mean ranks are of {FEWEST_DATASETS} datasets and two methods or more, not of "
            f"{datasets} and {methods}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("mean ranks need a score of every method on every dataset")
    ranks = np.stack([_ranks(row) for row in scores])
    mean = ranks.mean(0)
    critical = _range_quantile(methods) * math.sqrt(methods * (methods + 1) / (12 * datasets))
    return Standing(mean, datasets, _friedman(ranks), critical, _cliques(mean, critical))


def _ranks(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ranks from the best, 1; equals have the mean of the ranks they take up."""
    above = (scores[None, :] > scores[:, None]).sum(1)
    equal = (scores[None, :] == scores[:, None]).sum(1)
    return np.asarray(above + (equal + 1) / 2, np.float64)


def _friedman(ranks: npt.NDArray[np.float64]) -> float:
    """Return the p-value of the Friedman test, in Iman and Davenport's form."""
    from scipy.special import fdtrc

    datasets, methods = ranks.shape
    between = datasets * float(((ranks.mean(0) - ranks.mean()) ** 2).sum())
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if total == 0:
        return 1.0  # equal everywhere
    left = total - between
    if left <= 1e-12 * total:
        return 0.0  # the same order on every dataset
    freedom = methods - 1, (methods - 1) * (datasets - 1)
    return float(fdtrc(*freedom, (datasets - 1) * between / left))


def _range_quantile(methods: int) -> float:
    """Return the 95 % quantile of the range of so many standard normal values.

    That of the studentised range with infinite degrees of freedom, by bisection over the integral
    of its distribution (Tukey 1953), which `scipy.stats` takes a second to import for.
    """
    from scipy.special import ndtr

    grid = np.linspace(-8, 8, 4001)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = (ndtr(grid) - ndtr(grid - middle)) ** (methods - 1)
        below = methods * float(np.trapezoid(density * inside, grid))
        low, high = (middle, high) if below < 1 - ALPHA else (low, middle)
    return (low + high) / 2


def _cliques(mean: npt.NDArray[np.float64], critical: float) -> tuple[tuple[int, ...], ...]:
    """Return the largest sets of methods whose mean ranks lie within the critical difference."""
    order: Sequence[int] = [int(place) for place in np.argsort(mean, kind="stable")]
    ordered = mean[order]
    ends = [int((ordered - first <= critical).sum()) for first in ordered]
    # Each begins later than the one before: it is a part of that unless it also ends later.
    longer = [start for start, end in enumerate(ends) if start == 0 or end > ends[start - 1]]
    return tuple(tuple(order[start : ends[start]]) for start in longer if ends[start] - start > 1)
