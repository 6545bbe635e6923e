"""Time to a target over seeds, some of which may never get there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.stats.distributions import LEVEL, binomial_cdf
from bench.stats.intervals import Interval, wilson


@dataclass(frozen=True)
class Reaching:
    """How often runs of a method reach a target, and how long the middle one takes.

    Attributes:
        reached: how many did.
        runs: how many there are.
        share: of runs that reach it, with Wilson's interval.
        median: of the times; infinite where half of the runs or more never get there.
        low: the lower end of its interval.
        high: the upper end; infinite where runs that never got there leave it open.
        level: how often such an interval holds the median, at least.
    """

    reached: int
    runs: int
    share: Interval
    median: float
    low: float
    high: float
    level: float


def reaching(times: Sequence[float | None]) -> Reaching:
    """Return what is known of the time to a target from runs with different seeds.

    A run that never got there took longer than any that did: its time counts as infinite, which
    holds as long as all runs had the same budget. The interval of the median goes from one order
    statistic to another, which presumes nothing of the distribution (Conover 1999, section 3.2):
    the median of n runs lies between the j-th and the (n + 1 - j)-th with a probability of
    1 - 2 P(B < j), B being binomial with n and 1/2. The narrowest of 95 % or more is taken; five
    runs or fewer have none, so theirs goes from the fastest to the slowest and `level` says how
    little that is.

    Args:
        times: of each run, in any unit; None where it never got there.

    Raises:
        ValueError: there is no run.
    """
    count = len(times)
    if count == 0:
        raise ValueError("without runs there is no time to a target")
    ordered = sorted(math.inf if time is None else float(time) for time in times)
    reached = sum(map(math.isfinite, ordered))
    place = 1
    while place + 1 <= (count + 1) // 2 and _level(place + 1, count) >= LEVEL:
        place += 1
    middle = (ordered[(count - 1) // 2], ordered[count // 2])
    return Reaching(
        reached,
        count,
        wilson(reached, count),
        sum(middle) / 2,
        ordered[place - 1],
        ordered[count - place],
        max(0.0, _level(place, count)),
    )


def _level(place: int, count: int) -> float:
    """Return how often the place-th from either end enclose the median."""
    return 1 - 2 * binomial_cdf(place - 1, count)
