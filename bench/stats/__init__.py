"""Intervals, paired tests, tie groups, what could be resolved: arrays in, numbers out.

Two kinds of noise are kept apart. Item noise comes from the test images that happen to be there
and shows with a single seed; seed noise comes from initial weights and data order and needs
several. All intervals are two-sided at 95 %. docs/statistics.md has their coverage by simulation.
"""

from __future__ import annotations

from bench.stats.best import expected_best
from bench.stats.crossed import Sample, crossed, largest_p, paired
from bench.stats.differences import (
    Difference,
    Test,
    mcnemar,
    proportions,
    welch,
)
from bench.stats.distributions import ALPHA, LEVEL, normal_quantile, normal_tails
from bench.stats.intervals import Interval, percentile_interval, t_interval, wilson
from bench.stats.reaching import Reaching, reaching
from bench.stats.resampling import bootstrap, bootstrap_average_precision
from bench.stats.resolution import MOST_ITEMS, MOST_SEEDS, Need, needed, resolvable_gap
from bench.stats.several import FEWEST_DATASETS, Standing, standing
from bench.stats.ties import correct, holm, pairs, tie_groups

__all__ = [
    "ALPHA",
    "FEWEST_DATASETS",
    "LEVEL",
    "MOST_ITEMS",
    "MOST_SEEDS",
    "Difference",
    "Interval",
    "Need",
    "Reaching",
    "Sample",
    "Standing",
    "Test",
    "bootstrap",
    "bootstrap_average_precision",
    "correct",
    "crossed",
    "expected_best",
    "holm",
    "largest_p",
    "mcnemar",
    "needed",
    "normal_quantile",
    "normal_tails",
    "paired",
    "pairs",
    "percentile_interval",
    "proportions",
    "reaching",
    "resolvable_gap",
    "standing",
    "t_interval",
    "tie_groups",
    "welch",
    "wilson",
]
