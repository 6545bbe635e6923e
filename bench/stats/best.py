"""The best of k trials that a search of n would have come to."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bench.stats.distributions import ALPHA
from bench.stats.intervals import Interval


def expected_best(
    values: Sequence[float], failed: int = 0, *, low: float = -math.inf, high: float = math.inf
) -> list[Interval]:
    """Return what the best of k trials is expected to score, for k = 1 to all of them.

    The estimate is the mean of the maximum over all subsets of k of the n trials, without
    putting back: unbiased, as Tang et al. (2020, "Showing Your Work Doesn't Always Work") correct
    Dodge et al. (2019, "Show Your Work"), whose estimate draws with replacement and is too low.
    Trials must be exchangeable, as those of a random search are.

    The band holds for all k together, whatever the distribution. Bootstrap intervals are too
    narrow here (Tang et al.): no resample beats the best trial seen. As Lourie, Cho and He (2024,
    "Show Your Work with Confidence") do, the curve is taken of a band about the distribution of
    the scores, of equal precision at each order statistic (Learned-Miller and DeStefano 2008).

    Args:
        values: the finite scores of the trials that have one; more is better.
        failed: trials without a score. Their budget is spent, so they count as trials that came to
            `low`: leaving them out would flatter whatever fails often.
        low: what no score can be below; without such a bound the band has none either.
        high: what no score can exceed; likewise.

    Raises:
        ValueError: there is no trial, a score outside the bounds, or a failed trial where no
            score is the worst, so that the expected best would be minus infinity.
    """
    if any(not (math.isfinite(value) and low <= value <= high) for value in values):
        raise ValueError("scores must be finite and within their bounds")
    if failed and not math.isfinite(low):
        raise ValueError("without a worst score, failed trials have none to count as")
    n = len(values) + failed
    if n == 0:
        raise ValueError("of no trials there is no best one")
    ordered = np.concatenate([np.full(failed, low), np.sort(np.asarray(values, np.float64))])
    below, above = _distribution_band(n)
    curve = []
    for k in range(1, n + 1):
        # Each score with the probability that it is the largest: in the estimate, if the scores
        # are as high as the band allows, and if they are as low.
        mean = _weighted(ordered, _largest_of(n, k))
        most = _weighted(np.append(ordered, high), np.diff(np.append(below, 1) ** k, prepend=0))
        least = _weighted(np.insert(ordered, 0, low), np.diff(np.append(above, 1) ** k, prepend=0))
        curve.append(Interval(mean, min(least, mean), max(most, mean)))
    return curve


def _largest_of(n: int, k: int) -> npt.NDArray[np.float64]:
    """Return how likely each of n ordered values is the largest of k drawn: C(i-1, k-1) / C(n, k).

    By the ratio of neighbours, since the binomials themselves do not fit a float.
    """
    places = np.arange(n, 1, -1)
    ratios = np.maximum(places - k, 0) / (places - 1)
    return k / n * np.cumprod(np.append(1.0, ratios))[::-1]


def _weighted(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    """Return a weighted sum in which an infinite bound without weight counts for nothing."""
    used = weights > 0
    return float((values[used] * weights[used]).sum())


@functools.cache
def _distribution_band(n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return bounds of the distribution function at each of n ordered draws, (n,) both.

    At the i-th draw it is distributed as Beta(i, n + 1 - i). The level of each such interval is
    the one at which all n hold together with 95 %, found by simulation.
    """
    from scipy.special import betainc, betaincinv

    places = np.arange(1, n + 1)
    draws = max(1000, min(10_000, 1_000_000 // n))
    uniform = np.sort(np.random.default_rng(0).random((draws, n)), axis=1)
    tails = betainc(places, n + 1 - places, uniform)
    level = np.quantile(np.minimum(tails, 1 - tails).min(1), ALPHA)
    low, high = (betaincinv(places, n + 1 - places, tail) for tail in (level, 1 - level))
    return low, high
