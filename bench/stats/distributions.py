"""The level of all intervals, and the quantiles and tails behind them.

`scipy.special` holds what is needed and imports ten times faster than `scipy.stats`. The quantile
of the normal, which is all that reading ranked rows needs, comes without either.
"""

from __future__ import annotations

LEVEL = 0.95
"""Of all intervals, which are two-sided."""
ALPHA = 1 - LEVEL


def normal_quantile(level: float = LEVEL) -> float:
    """Return how many standard errors to each side hold a normal value at a level."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + level / 2)


def normal_tails(value: float) -> float:
    """Return how likely a standard normal value is at least so far from zero."""
    from scipy.special import ndtr

    return 2 * float(ndtr(-abs(value)))


def t_quantile(freedom: float, level: float = LEVEL) -> float:
    """Return how many standard errors to each side hold a Student's t value at a level."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def t_tails(freedom: float, value: float) -> float:
    """Return how likely a Student's t value is at least so far from zero."""
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -abs(value)))


def binomial_cdf(successes: int, n: int) -> float:
    """Return how likely a fair coin shows at most so many heads in `n` throws."""
    from scipy.special import bdtr

    return float(bdtr(successes, n, 0.5))
