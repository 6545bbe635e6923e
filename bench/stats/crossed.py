"""Two methods compared where both seeds and items are a sample: crossed random effects.

Let a method be trained with k seeds and asked n items. The mean of its scores varies with the seeds
(initial weights, order of the data) and with the items. Two methods are asked the same items, so
what is easy for both cancels, but not what one of them finds easier than the other does. The
variance of the difference of two means D is

    Var D = S + I,    S = s_a² / k_a + s_b² / k_b,    I = max(0, V / n - E_a - E_b)

where s² is the variance of a method's scores over its seeds; V the variance over items of the
difference of their mean scores (over seeds); and E = e² / (k n), with e² the mean square of what
is left of a method's seeds × items table once the means of its rows and columns are taken out. E is
in s² already, and V / n has it once more: it is taken out of I (the method of moments; Searle,
Casella and McCulloch 1992, chapter 4).

S is known from few seeds, I from many items. The two-sided tail of t = |D| / √(S + I) is taken in
the shares that S and I have of the variance: of Student's t with Welch's degrees of freedom for S,
of the normal for I. With S alone that is Welch's test, with I alone a paired z test.
Satterthwaite's degrees of freedom for the sum are too many where two or three seeds happen to
agree: docs/decisions/0013.

The same holds of a metric that is no mean over items, with bootstrap samples of the items in the
place of items: their variance is that of a mean already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.stats.differences import Difference, Test, seed_variance
from bench.stats.distributions import (
    ALPHA,
    binomial_cdf,
    normal_quantile,
    normal_tails,
    t_quantile,
    t_tails,
)

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What the runs of a method scored, as far as comparing it needs that.

    Attributes:
        scores: (k,), one for each seed.
        items: (M,) float32; of each item, or each bootstrap sample of the items, the mean over
            seeds.
        divisor: what the variance of `items` is divided by: n for items, 1 for bootstrap samples.
        own: what the items' variance has of the noise of seeds, E in the notation above.
    """

    scores: Array
    items: npt.NDArray[np.float32]
    divisor: int
    own: float

    @classmethod
    def of_items(cls, values: npt.NDArray[np.generic]) -> Sample:
        """Return the sample of a method from its scores of each item, (k, n)."""
        return cls._condensed(np.asarray(values, np.float64).mean(1), values, values.shape[1])

    @classmethod
    def of_resamples(cls, scores: Sequence[float], values: npt.NDArray[np.generic]) -> Sample:
        """Return the sample of a method from its bootstrap samples, (k, M).

        Args:
            scores: of all items, one for each seed.
            values: of the same resamples for all seeds and methods.
        """
        return cls._condensed(np.asarray(scores, np.float64), values, 1)

    @classmethod
    def _condensed(cls, scores: Array, values: npt.NDArray[np.generic], divisor: int) -> Sample:
        table = np.asarray(values, np.float64)
        seeds, count = table.shape
        items = table.mean(0)
        own = 0.0
        if seeds > 1:
            left = table - items - table.mean(1)[:, None] + items.mean()
            own = float((left**2).sum()) / ((seeds - 1) * (count - 1)) / (seeds * divisor)
        return cls(scores, items.astype(np.float32), divisor, own)


def crossed(a: Sample, b: Sample) -> Difference:
    """Compare two methods that were asked the same items, two seeds or more each.

    Raises:
        ValueError: there are fewer seeds, or they are all alike.
    """
    if min(len(a.scores), len(b.scores)) < 2:
        raise ValueError("both noises are known from two seeds or more on each side")
    seeds, freedom = seed_variance(a.scores, b.scores)
    if seeds == 0:
        # Networks that differ may score the same by chance; without noise of seeds they would vary
        # by that of their items.
        seeds, freedom = a.own + b.own, len(a.scores) + len(b.scores) - 2
    if seeds == 0:
        raise ValueError("methods whose seeds are all alike are networks to compare")
    items = item_variance(a, b)
    estimate = float(a.scores.mean() - b.scores.mean())
    error = math.sqrt(seeds + items)
    share = seeds / (seeds + items)
    half = error * quantile(share, freedom)
    p = tails(estimate / error, share, freedom)
    return Difference(
        estimate, estimate - half, estimate + half, p, Test.CROSSED, seeds, items, freedom
    )


def item_variance(a: Sample, b: Sample) -> float:
    """Return the part of the variance of a difference that is of the items alone."""
    apart = a.items - b.items
    found = float(apart.var(ddof=1, dtype=np.float64)) / a.divisor
    return max(0.0, found - a.own - b.own)


def tails(value: float, share: float, freedom: float) -> float:
    """Return the two-sided p-value of a difference in standard errors.

    Args:
        value: the difference over its standard error.
        share: of the variance, what the seeds have.
        freedom: degrees of freedom of that share.
    """
    return share * t_tails(freedom, value) + (1 - share) * normal_tails(value)


def quantile(share: float, freedom: float, alpha: float = ALPHA) -> float:
    """Return the standard errors at which the p-value is `alpha`, by bisection."""
    low, high = normal_quantile(1 - alpha), t_quantile(freedom, 1 - alpha)
    for _ in range(60):
        middle = (low + high) / 2
        if tails(middle, share, freedom) > alpha:
            low = middle
        else:
            high = middle
        if high - low < 1e-9 * high:
            break
    return (low + high) / 2


def paired(estimate: float, a: Sample, b: Sample) -> Difference:
    """Compare two networks, of one seed each, by a metric of the same items.

    Interval and p-value are those of a normal: by the differences of the items for a metric that is
    their mean, else with the standard deviation of the differences of the bootstrap samples (Efron
    and Tibshirani 1993, section 13.3). Counting samples beyond zero could give no p-value below
    two in a thousand resamples, which no pair of a dozen rows survives once corrected for all.
    """
    variance = item_variance(a, b)
    error = math.sqrt(variance)
    half = normal_quantile() * error
    p = normal_tails(estimate / error) if error else float(estimate == 0)
    test = Test.BOOTSTRAP if a.divisor == 1 else Test.PAIRED
    return Difference(estimate, estimate - half, estimate + half, p, test, item_variance=variance)


def largest_p(a: Sequence[float], b: Sequence[float], n: int) -> float:
    """Return the largest p-value that two accuracies can have, whatever the items.

    The variance of the items' differences is at most the share of items that either network has
    wrong, and Student's t has the heavier tails. With one seed the networks differ at most on all
    of these items.

    Args:
        a: one accuracy for each seed.
        b: of the other method.
        n: items.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    several = min(len(first), len(second)) > 1
    variance, freedom = seed_variance(first, second) if several else (0.0, math.nan)
    if variance == 0:
        wrong = [round(n * (1 - float(each[0]))) for each in (first, second)]
        only_a, only_b = min(wrong[1], n - wrong[0]), min(wrong[0], n - wrong[1])
        return min(1.0, 2 * binomial_cdf(min(only_a, only_b), only_a + only_b))
    if n < 2:
        return 1.0  # of the noise of a single item nothing is known
    estimate = float(first.mean() - second.mean())
    items = max(0.0, 2 - float(first.mean() + second.mean()) - estimate**2) / (n - 1)
    return t_tails(freedom, estimate / math.sqrt(variance + items))
