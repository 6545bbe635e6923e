"""Ranks over datasets, times to a target, and what more seeds or items would resolve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from bench import stats
from bench.stats.several import _range_quantile

# Ranks over datasets


@pytest.mark.parametrize("methods", [2, 3, 5, 10, 40])
def test_the_critical_difference_has_the_quantiles_of_the_studentised_range(methods: int) -> None:
    expected = reference.studentized_range.ppf(0.95, methods, np.inf)
    assert _range_quantile(methods) == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 2**32), st.integers(5, 12), st.integers(2, 6))
@settings(deadline=None, max_examples=40)
def test_ranks_and_friedmans_test_equal_the_reference(
    seed: int, datasets: int, methods: int
) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, (datasets, methods)) / 4
    found = stats.standing(scores)
    ranks = np.stack([reference.rankdata(-row) for row in scores])
    assert found.ranks == pytest.approx(ranks.mean(0))
    if methods == 2 or not ranks.std():
        return  # scipy wants three, and something that varies
    chi = reference.friedmanchisquare(*scores.T).statistic
    left = datasets * (methods - 1) - chi
    if left > 1e-9:
        f = (datasets - 1) * chi / left
        expected = reference.f.sf(f, methods - 1, (methods - 1) * (datasets - 1))
        assert found.p == pytest.approx(expected, abs=1e-9)


def test_the_example_of_demsar() -> None:
    """Four methods on 14 datasets: a critical difference of 1.25 (Demšar 2006, section 3.2.2)."""
    found = stats.standing(np.random.default_rng(0).random((14, 4)))
    assert found.critical == pytest.approx(1.25, abs=0.005)


def test_methods_within_the_critical_difference_form_cliques() -> None:
    scores = np.array([[5.0, 4, 3, 2, 1]] * 6)
    found = stats.standing(scores)
    assert list(found.ranks) == [1, 2, 3, 4, 5]
    assert found.p < 1e-6
    reach = math.floor(found.critical)
    assert found.cliques[0] == tuple(range(reach + 1))
    assert all(len(clique) == reach + 1 for clique in found.cliques)


def test_methods_that_are_equal_everywhere_form_one_clique() -> None:
    found = stats.standing(np.ones((5, 3)))
    assert (found.p, found.cliques) == (1.0, ((0, 1, 2),))


@pytest.mark.parametrize("shape", [(4, 3), (5, 1)])
def test_few_datasets_have_no_standing(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="5 datasets and two methods"):
        stats.standing(np.zeros(shape))


def test_a_missing_score_has_no_rank() -> None:
    scores = np.zeros((5, 2))
    scores[1, 1] = math.nan
    with pytest.raises(ValueError, match="every method on every dataset"):
        stats.standing(scores)


# Time to a target


def test_times_as_by_hand() -> None:
    found = stats.reaching([3.0, None, 1.0])
    assert (found.reached, found.runs) == (2, 3)
    assert found.share == stats.wilson(2, 3)
    assert (found.median, found.low, found.high) == (3.0, 1.0, math.inf)
    assert found.level == pytest.approx(0.75)
    assert stats.reaching([2.0, 4.0]).median == 3.0
    assert stats.reaching([None, 4.0]).median == math.inf


def test_nine_runs_leave_out_the_extremes() -> None:
    found = stats.reaching([float(time) for time in range(9)])
    # P(B < 2) of nine coins is 10 / 512.
    assert (found.low, found.high, found.level) == (1.0, 7.0, pytest.approx(1 - 20 / 512))


def test_one_run_says_nothing_of_others() -> None:
    found = stats.reaching([2.0])
    assert (found.low, found.median, found.high, found.level) == (2.0, 2.0, 2.0, 0.0)


def test_no_runs_have_no_time() -> None:
    with pytest.raises(ValueError, match="without runs"):
        stats.reaching([])


@pytest.mark.parametrize("runs", [2, 3, 5, 6, 9, 20])
@pytest.mark.parametrize("budget", [1.2, 3.0, math.inf])
def test_the_interval_holds_the_median_as_often_as_it_says(runs: int, budget: float) -> None:
    """Also where runs end before they get there, though the median is at 1."""
    generator = np.random.default_rng([runs, int(10 * min(budget, 100))])
    held, level, simulations = 0, 0.0, 1500
    for _ in range(simulations):
        times = np.exp(generator.normal(0, 0.5, runs))
        found = stats.reaching([time if time <= budget else None for time in times])
        held += found.low <= 1 <= found.high
        level = found.level
    error = math.sqrt(level * (1 - level) / simulations)
    assert held / simulations == pytest.approx(level, abs=3.5 * error)
    assert level >= 0.95 or runs < 6


# What would be needed


def difference(seeds: float, items: float, estimate: float = 0.01) -> stats.Difference:
    return stats.Difference(
        estimate, -1, 1, 0.5, stats.Test.CROSSED, seeds**2, items**2, freedom=4.0
    )


def test_seeds_help_where_they_are_the_noise() -> None:
    need = stats.needed(difference(0.01, 0.0), 3)
    assert need.share == 1.0
    assert need.items is None
    assert need.seeds is not None
    # With many seeds 1.96 + 0.84 standard errors are the gap.
    assert 3 * 2.8**2 <= need.seeds <= 3 * 2.8**2 + 3


def test_items_help_where_they_are_the_noise() -> None:
    need = stats.needed(difference(1e-6, 0.01), 3)
    assert need.seeds is None
    assert need.items == pytest.approx(2.8**2, abs=0.3)
    assert need.share < 0.01


def test_more_comparisons_need_more() -> None:
    one, many = (stats.needed(difference(0.01, 0.0), 3, count).seeds for count in (1, 66))
    assert one is not None
    assert many is not None
    assert many > one


def test_nothing_helps_a_gap_of_nothing() -> None:
    need = stats.needed(difference(0.01, 0.01, 1e-9), 3)
    assert (need.seeds, need.items) == (None, None)


def test_what_is_needed_would_tell_apart_as_often_as_it_says() -> None:
    """Of methods with seed noise only, as far apart as thought."""
    need = stats.needed(difference(0.01, 0.0), 3)
    assert need.seeds is not None
    generator = np.random.default_rng(0)
    spread = 0.01 * math.sqrt(3) / math.sqrt(2)
    found = [
        stats.welch(
            generator.normal(0.01, spread, need.seeds), generator.normal(0, spread, need.seeds)
        ).p
        < 0.05
        for _ in range(600)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)
