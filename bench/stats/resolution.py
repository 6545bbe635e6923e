"""What a test set and a number of seeds can resolve, and what it would take to resolve more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.stats.crossed import quantile
from bench.stats.differences import Difference
from bench.stats.distributions import ALPHA, normal_quantile

POWER = 0.8
"""How often what is said to suffice would tell the two apart."""
MOST_SEEDS = 100
"""More are not worth saying."""
MOST_ITEMS = 100
"""Times the items, likewise."""


def resolvable_gap(accuracy: float, n: int) -> float:
    """Return the smallest difference in accuracy that `n` test items can resolve with one seed.

    The half-width of the interval of a difference of two such proportions, taken as independent;
    networks that mostly err on the same items can be told apart at somewhat less. As Agresti and
    Caffo (2000) have it, each proportion gets one item right and one wrong on top, without which
    the interval of a proportion of 1 would have no width.
    """
    kept = (accuracy * n + 1) / (n + 2)
    return normal_quantile() * math.sqrt(2 * kept * (1 - kept) / (n + 2))


@dataclass(frozen=True)
class Need:
    """What would tell two methods apart, were they as far apart as they seem.

    Attributes:
        seeds: of each method; None where no hundred of them would do.
        items: how many times the test items; None where not a hundred times as many would do.
        share: of the variance, what the seeds have now.
    """

    seeds: int | None
    items: float | None
    share: float


def needed(found: Difference, seeds: int, comparisons: int = 1) -> Need | None:
    """Return what would tell two methods apart; None where their noises are not both known.

    The difference found is taken as the true one, and what is named would find it at 5 %,
    corrected for the number of comparisons, in 80 % of cases. Since a difference that was found
    is itself uncertain, so is this.

    Args:
        found: a difference of methods.
        seeds: of each method, or the smaller number.
        comparisons: among which this one is (Bonferroni's correction).
    """
    if not math.isfinite(found.seed_variance) or not math.isfinite(found.item_variance):
        return None
    of_seeds, of_items = found.seed_variance, found.item_variance
    share = of_seeds / (of_seeds + of_items)
    alpha = ALPHA / comparisons

    def resolves(more_seeds: float, more_items: float) -> bool:
        parts = of_seeds / more_seeds, of_items / more_items
        freedom = found.freedom * (seeds * more_seeds - 1) / (seeds - 1)
        errors = quantile(parts[0] / sum(parts), freedom, alpha) + normal_quantile(2 * POWER - 1)
        return abs(found.estimate) >= errors * math.sqrt(sum(parts))

    more = next((k for k in range(seeds + 1, MOST_SEEDS + 1) if resolves(k / seeds, 1)), None)
    # Items lower the part of the seeds' noise that is theirs too, which is left out of account.
    times = next((x / 4 for x in range(5, 4 * MOST_ITEMS + 1) if resolves(1, x / 4)), None)
    return Need(more, times, share)
