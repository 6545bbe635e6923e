"""What a test set and a number of seeds can resolve, and what it would take to resolve more."""

from __future__ import annotations

import bisect
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
        seeds: of each method; None where `MOST_SEEDS` would not do.
        items: how many times the test items; None where `MOST_ITEMS` would not do, or nothing is
            known of their noise.
        share: of the variance, what the seeds have now; NaN where nothing is known of items.
    """

    seeds: int | None
    items: float | None
    share: float


def needed(found: Difference, seeds: int, comparisons: int = 1) -> Need:
    """Return what would tell two methods apart, more seeds or more items.

    The difference found is taken as the true one, and what is named would find it at 5 %,
    corrected for the number of comparisons, in 80 % of cases. Since a difference that was found
    is itself uncertain, so is this.

    Args:
        found: a difference of methods.
        seeds: of each method, or the smaller number.
        comparisons: among which this one is (Bonferroni's correction).
    """
    of_seeds = found.seed_variance
    of_items = 0.0 if math.isnan(found.item_variance) else found.item_variance
    alpha = ALPHA / comparisons

    def resolves(more_seeds: float, more_items: float) -> bool:
        parts = of_seeds / more_seeds, of_items / more_items
        freedom = found.freedom * (seeds * more_seeds - 1) / (seeds - 1)
        errors = quantile(parts[0] / sum(parts), freedom, alpha) + normal_quantile(2 * POWER - 1)
        return abs(found.estimate) >= errors * math.sqrt(sum(parts))

    ks = range(seeds + 1, MOST_SEEDS + 1)
    more = bisect.bisect_left(ks, True, key=lambda k: resolves(k / seeds, 1))
    # That more items lower some of the noise of seeds as well is left out of account.
    quarters = range(5, 4 * MOST_ITEMS + 1)
    times = bisect.bisect_left(quarters, True, key=lambda quarter: resolves(1, quarter / 4))
    return Need(
        ks[more] if more < len(ks) else None,
        quarters[times] / 4 if times < len(quarters) and of_items else None,
        math.nan if math.isnan(found.item_variance) else of_seeds / (of_seeds + of_items),
    )
