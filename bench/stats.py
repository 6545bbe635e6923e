"""Intervals, paired tests and tie groups: arrays in, numbers out.

Two kinds of noise are kept apart. Item noise comes from the test images that happen to be there
and shows with a single seed; seed noise comes from initial weights and data order and needs
several. All intervals are two-sided at 95 %.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench import metrics

LEVEL = 0.95
ALPHA = 1 - LEVEL
BLOCK_VALUES = 5_000_000
"""Weights of items that are held at a time, 8 bytes each."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """What is known of `a - b`.

    Attributes:
        p: probability of a difference at least as large if there were none; two-sided.
        test: the name of the test.
    """

    estimate: float
    low: float
    high: float
    p: float
    test: str


def wilson(successes: int, n: int) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927).

    Raises:
        ValueError: `n` is not positive.
    """
    if n <= 0:
        raise ValueError("a proportion of nothing has no interval")
    z = _normal_quantile()
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean with Student's t interval, of two values or more."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        raise ValueError("a t interval needs two values or more")
    half = _t_quantile(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    mean = float(array.mean())
    return Interval(mean, mean - half, mean + half)


def mcnemar(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> Difference:
    """Compare two networks on the same items: which of them are right, (N,) bool each.

    The p-value is that of the exact binomial test on the items where they differ (McNemar 1947);
    the interval is Wald's for paired proportions. It speaks of these two networks, not of the
    methods that made them.
    """
    only_a = int((a & ~b).sum())
    only_b = int((b & ~a).sum())
    n, differing = len(a), only_a + only_b
    estimate = (only_a - only_b) / n
    spread = math.sqrt(max(0.0, differing - (only_a - only_b) ** 2 / n)) / n
    half = _normal_quantile() * spread
    p = min(1.0, 2 * _binomial_cdf(min(only_a, only_b), differing)) if differing else 1.0
    return Difference(estimate, estimate - half, estimate + half, p, "exact McNemar")


def welch(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two methods by the means of their seeds (Welch 1947), two seeds or more each."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(first), len(second)) < 2:
        raise ValueError("Welch's test needs two values or more on each side")
    variances = first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)
    estimate = float(first.mean() - second.mean())
    total = sum(variances)
    if total == 0:
        raise ValueError("Welch's test needs values that vary")
    freedom = total**2 / sum(
        v**2 / (len(x) - 1) for v, x in zip(variances, (first, second), strict=True)
    )
    error = math.sqrt(total)
    half = _t_quantile(freedom) * error
    p = 2 * _t_cdf(freedom, -abs(estimate) / error)
    return Difference(estimate, estimate - half, estimate + half, p, "Welch's t on seed means")


def proportions(successes_a: int, n_a: int, successes_b: int, n_b: int) -> Difference:
    """Compare two proportions of different items by the pooled normal test."""
    a, b = successes_a / n_a, successes_b / n_b
    pooled = (successes_a + successes_b) / (n_a + n_b)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    p = math.erfc(abs(a - b) / error / math.sqrt(2)) if error else 1.0
    half = _normal_quantile() * math.sqrt(a * (1 - a) / n_a + b * (1 - b) / n_b)
    return Difference(a - b, a - b - half, a - b + half, p, "two proportions")


def holm(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the order given.

    Where they were picked out of a larger family of comparisons, `family` is its size.
    """
    count = len(p_values) if family is None else family
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (count - place) * p_values[index]))
        corrected[index] = running
    return corrected


def tie_groups(count: int, p_value: Callable[[int, int], float]) -> list[int]:
    """Return the group of each of `count` rows, which are ordered from best to worst.

    Group 1 is the best row and all that cannot be told from it; the next group starts at the best
    row left. The p-values of one leader against the rows left are Holm-corrected together, as
    part of the comparisons of all pairs: the leader is not given but chosen for being the best,
    which tells five copies of one method apart too often if only its own four pairs count.
    """
    groups = [0] * count
    group = 0
    left = list(range(count))
    while left:
        group += 1
        leader, *others = left
        groups[leader] = group
        pairs = len(left) * len(others) // 2
        corrected = holm([p_value(leader, other) for other in others], pairs)
        left = []
        for other, p in zip(others, corrected, strict=True):
            if p < ALPHA:
                left.append(other)
            else:
                groups[other] = group
    return groups


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


def percentile_interval(estimate: float, samples: npt.NDArray[np.float64]) -> Interval:
    """Return an estimate with the percentile interval of its bootstrap samples (Efron 1979)."""
    low, high = np.quantile(samples, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def paired_bootstrap(estimate: float, differences: npt.NDArray[np.float64]) -> Difference:
    """Compare two networks by bootstrap samples of the difference of their scores.

    The two-sided p-value is twice the smaller part of the samples at either side of zero, one
    sample added to each (Davison and Hinkley 1997, section 4.2).
    """
    low, high = np.quantile(differences, [ALPHA / 2, 1 - ALPHA / 2])
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))
    return Difference(estimate, float(low), float(high), p, "paired bootstrap over items")


def resolvable_gap(accuracy: float, n: int) -> float:
    """Return the smallest difference in accuracy that `n` test items can resolve with one seed.

    The half-width of the interval of a difference of two such proportions, taken as independent;
    networks that mostly err on the same items can be told apart at somewhat less. As Agresti and
    Caffo (2000) have it, each proportion gets one item right and one wrong on top, without which
    the interval of a proportion of 1 would have no width.
    """
    kept = (accuracy * n + 1) / (n + 2)
    return _normal_quantile() * math.sqrt(2 * kept * (1 - kept) / (n + 2))


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


def _normal_quantile() -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + LEVEL / 2))


def _t_quantile(freedom: float) -> float:
    # scipy.special holds what is needed and imports ten times faster than scipy.stats.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))


def _t_cdf(freedom: float, value: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, value))


def _binomial_cdf(successes: int, n: int) -> float:
    from scipy.special import bdtr

    return float(bdtr(successes, n, 0.5))
