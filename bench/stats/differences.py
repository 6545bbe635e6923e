"""Two of a kind compared: networks by their items, methods by their seeds."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.stats.distributions import (
    binomial_cdf,
    normal_quantile,
    normal_tails,
    t_quantile,
    t_tails,
)


class Test(enum.StrEnum):
    """How a difference was tested, and so what its interval and its p-value speak of."""

    CROSSED = "seeds and items crossed"
    """Methods: other seeds and other items of the same kind."""
    WELCH = "Welch's t on seed means"
    """Methods on these very items: other seeds."""
    MCNEMAR = "exact McNemar"
    """Two networks: other items."""
    PROPORTIONS = "two proportions"
    """Two networks that were, or may have been, asked different items."""
    PAIRED = "paired z over items"
    """Two networks: other items."""
    BOOTSTRAP = "paired bootstrap over items"
    """Two networks: other items."""
    NONE = "none"
    """One value on a side and nothing that its noise could be known from."""

    @property
    def of_methods(self) -> bool:
        """Whether other seeds are spoken of, and not just the networks at hand."""
        return self in (Test.CROSSED, Test.WELCH)

    @property
    def of_items(self) -> bool:
        """Whether other items are spoken of, and not just the test set at hand."""
        return self not in (Test.WELCH, Test.NONE)


@dataclass(frozen=True)
class Difference:
    """What is known of `a - b`.

    Attributes:
        estimate: the difference.
        low: the lower end of its 95 % interval; NaN where there is no test.
        high: the upper end.
        p: probability of a difference at least as large if there were none; two-sided; NaN where
            there is no test.
        test: how it was tested.
        seed_variance: the part of its variance that more seeds lower; NaN where it is unknown.
        item_variance: the part that only more items lower; NaN where it is unknown.
        freedom: degrees of freedom of the seeds' part.
    """

    estimate: float
    low: float
    high: float
    p: float
    test: Test
    seed_variance: float = math.nan
    item_variance: float = math.nan
    freedom: float = math.inf

    @classmethod
    def untested(cls, estimate: float) -> Difference:
        """Return a difference of which nothing else is known."""
        return cls(estimate, math.nan, math.nan, math.nan, Test.NONE)


def mcnemar(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> Difference:
    """Compare two networks on the same items: which of them are right, (N,) bool each.

    The p-value is that of the exact binomial test on the items where they differ (McNemar 1947).
    The interval is Wald's for paired proportions with one item more in which each is right alone
    (Bonett and Price 2012): without them it has no width where the networks never differ. Both
    speak of these two networks, not of the methods that made them.
    """
    only_a = int((a & ~b).sum())
    only_b = int((b & ~a).sum())
    n, differing = len(a), only_a + only_b
    estimate = (only_a - only_b) / n
    centre = (only_a - only_b) / (n + 2)
    variance = max(0.0, (differing + 2) / (n + 2) - centre**2) / (n + 2)
    half = normal_quantile() * math.sqrt(variance)
    low, high = min(centre - half, estimate), max(centre + half, estimate)
    p = min(1.0, 2 * binomial_cdf(min(only_a, only_b), differing)) if differing else 1.0
    return Difference(estimate, low, high, p, Test.MCNEMAR, item_variance=variance)


def welch(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two methods by the means of their seeds (Welch 1947), two seeds or more each.

    Raises:
        ValueError: there are fewer values, or none of them varies.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(first), len(second)) < 2:
        raise ValueError("Welch's test needs two values or more on each side")
    estimate = float(first.mean() - second.mean())
    variance, freedom = seed_variance(first, second)
    if variance == 0:
        raise ValueError("Welch's test needs values that vary")
    error = math.sqrt(variance)
    half = t_quantile(freedom) * error
    p = t_tails(freedom, estimate / error)
    return Difference(
        estimate,
        estimate - half,
        estimate + half,
        p,
        Test.WELCH,
        seed_variance=variance,
        freedom=freedom,
    )


def seed_variance(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the variance of the difference of two means, and its degrees of freedom.

    Those of Satterthwaite (1946), as Welch's test has them; none where nothing varies.
    """
    parts = [float(each.var(ddof=1)) / len(each) for each in (a, b)]
    total = sum(parts)
    if total == 0:
        return 0.0, math.nan
    shares = (part / total for part in parts)
    return total, 1 / sum(s**2 / (len(x) - 1) for s, x in zip(shares, (a, b), strict=True))


def proportions(successes_a: int, n_a: int, successes_b: int, n_b: int) -> Difference:
    """Compare two proportions of different items by the pooled normal test.

    The interval is that of Agresti and Caffo (2000): Wald's, each proportion with one item right
    and one wrong on top.
    """
    a, b = successes_a / n_a, successes_b / n_b
    pooled = (successes_a + successes_b) / (n_a + n_b)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    p = normal_tails((a - b) / error) if error else 1.0
    kept = [(s + 1) / (n + 2) for s, n in ((successes_a, n_a), (successes_b, n_b))]
    variance = sum(q * (1 - q) / (n + 2) for q, n in zip(kept, (n_a, n_b), strict=True))
    half = normal_quantile() * math.sqrt(variance)
    centre = kept[0] - kept[1]
    low, high = min(centre - half, a - b), max(centre + half, a - b)
    return Difference(a - b, low, high, p, Test.PROPORTIONS, item_variance=variance)
