"""What the methods beside it say of the seed noise of a method.

Two or three seeds hardly tell how much a method varies with them: with k = 3 a t test has two
degrees of freedom, and no difference is large enough once a dozen rows are compared with each
other. But a table has many rows. Smyth (2004, "Linear models and empirical Bayes methods", section
6) takes their variances s_i² (d_i degrees of freedom) as drawn about a common one, s_0², as
scaled inverse chi-squares with d_0 degrees of freedom: the less they differ, the larger d_0. Each
is then known from d_0 + d_i degrees of freedom, as

    (d_0 s_0² + d_i s_i²) / (d_0 + d_i)

Here a variance is only ever raised: a method that varies more than its neighbours keeps what it
showed, as its neighbours may be of another kind. And the degrees of freedom are never more than
those of all rows together. docs/statistics.md has what comes of it in simulations in which the
rows' noise differs widely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

SMALLEST = 1e-5
"""Of the median variance, below which one counts as this: it may be zero by chance."""


@dataclass(frozen=True)
class SeedNoise:
    """What the rows of a table vary by with the seed.

    Attributes:
        variance: s_0², of the scores of single seeds.
        freedom: d_0, infinite where the rows' variances differ no more than chance has it.
        pooled: the degrees of freedom of all rows together.
    """

    variance: float
    freedom: float
    pooled: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> Self | None:
        """Return what the scores of some methods tell, or None where it is nothing.

        Args:
            rows: of each method its scores, one a seed; with fewer than two it tells nothing.
        """
        several = [np.asarray(row, np.float64) for row in rows if len(row) > 1]
        variances = np.array([row.var(ddof=1) for row in several])
        if len(several) < 3 or not variances.any():
            return None
        freedoms = np.array([len(row) - 1.0 for row in several])
        floor = SMALLEST * float(np.median(variances[variances > 0]))
        return cls(*_fitted(np.maximum(variances, floor), freedoms), int(freedoms.sum()))

    def moderated(self, variance: float, freedom: float) -> tuple[float, float]:
        """Return a method's variance and its degrees of freedom, its neighbours counted in."""
        if math.isinf(self.freedom):
            return max(variance, self.variance), float(self.pooled)
        total = self.freedom + freedom
        shared = (self.freedom * self.variance + freedom * variance) / total
        return max(variance, shared), min(total, self.pooled)


def _fitted(
    variances: npt.NDArray[np.float64], freedoms: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Return s_0² and d_0 by the moments of the logarithms of the variances."""
    from scipy.special import digamma, polygamma

    logs = np.log(variances) - digamma(freedoms / 2) + np.log(freedoms / 2)
    mean = float(logs.mean())
    # What the logarithms vary by beyond what a chi-square of d_i degrees of freedom does.
    spread = float(logs.var(ddof=1)) - float(polygamma(1, freedoms / 2).mean())
    if spread <= 0:
        return math.exp(mean), math.inf
    freedom = 2 * _trigamma_inverse(spread)
    return math.exp(mean + float(digamma(freedom / 2)) - math.log(freedom / 2)), freedom


def _trigamma_inverse(value: float) -> float:
    """Return where the trigamma function has a value, by Newton's method (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    found = 0.5 + 1 / value
    for _ in range(50):
        now = float(polygamma(1, found))
        step = now * (1 - now / value) / float(polygamma(2, found))
        found += step
        if -step < 1e-8 * found:
            break
    return found
