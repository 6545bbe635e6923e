from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from simulated import answers, most_by_chance

from bench import stats
from bench.stats.crossed import quantile, tails

NOISES = [(0.0, 1.0), (0.003, 1.0), (0.01, 0.0), (0.01, 1.0)]
"""Seed noise, and how much methods differ in the items that they find hard."""


def crossed(a: Any, b: Any) -> stats.Difference:
    return stats.crossed(stats.Sample.of_items(a), stats.Sample.of_items(b))


def test_the_parts_of_the_variance_are_those_of_the_formula() -> None:
    a, b = answers(np.random.default_rng(0), [0.8, 0.7], 3, 200, taste=1.0)
    found = crossed(a, b)
    welch = reference.ttest_ind(a.mean(1), b.mean(1), equal_var=False)
    assert found.estimate == pytest.approx(a.mean() - b.mean())
    assert found.freedom == pytest.approx(welch.df)
    assert found.seed_variance == pytest.approx(
        a.mean(1).var(ddof=1) / 3 + b.mean(1).var(ddof=1) / 3
    )
    own = 0.0
    for side in (a.astype(float), b.astype(float)):
        left = side - side.mean(0) - side.mean(1, keepdims=True) + side.mean()
        own += (left**2).sum() / (2 * 199) / (3 * 200)
    items = (a.mean(0) - b.mean(0)).var(ddof=1) / 200
    assert found.item_variance == pytest.approx(items - own, rel=1e-4)
    error = math.sqrt(found.seed_variance + found.item_variance)
    share = found.seed_variance / error**2
    t = abs(found.estimate) / error
    p = share * 2 * reference.t.sf(t, welch.df) + (1 - share) * 2 * reference.norm.sf(t)
    assert found.p == pytest.approx(p)


def test_without_noise_of_items_it_is_welchs_test() -> None:
    a, b = np.array([[0.1], [0.4], [0.3]]), np.array([[0.6], [0.9]])
    alike = np.ones(50)
    found, welch = crossed(a * alike, b * alike), stats.welch(a[:, 0], b[:, 0])
    assert (found.low, found.high, found.p) == pytest.approx((welch.low, welch.high, welch.p))


@given(st.floats(0.001, 1), st.floats(1, 50), st.floats(1e-6, 0.9))
@settings(deadline=None)
def test_the_interval_ends_where_the_p_value_is_at_its_level(
    share: float, freedom: float, alpha: float
) -> None:
    assert tails(quantile(share, freedom, alpha), share, freedom) == pytest.approx(alpha, rel=1e-4)


def test_it_turns_with_its_sides() -> None:
    a, b = answers(np.random.default_rng(1), [0.8, 0.7], 4, 300)
    one, other = crossed(a, b), crossed(b, a)
    assert (one.estimate, one.low, one.p) == pytest.approx((-other.estimate, -other.high, other.p))


def test_bootstrap_samples_of_a_mean_say_what_its_items_say() -> None:
    generator = np.random.default_rng(2)
    a, b = answers(generator, [0.8, 0.75], 3, 500, taste=1.0)
    weights = generator.multinomial(500, np.full(500, 1 / 500), 4000)
    samples = [
        stats.Sample.of_resamples(side.mean(1), side.astype(float) @ weights.T / 500)
        for side in (a, b)
    ]
    found, expected = stats.crossed(*samples), crossed(a, b)
    assert found.estimate == pytest.approx(expected.estimate)
    assert found.item_variance == pytest.approx(expected.item_variance, rel=0.1)
    assert found.p == pytest.approx(expected.p, rel=0.3)


@pytest.mark.parametrize("seeds", [(1, 3), (3, 1)])
def test_it_needs_two_seeds_on_each_side(seeds: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    sides = [answers(generator, [0.8], count, 50)[0] for count in seeds]
    with pytest.raises(ValueError, match="two seeds or more"):
        crossed(*sides)


def test_methods_that_do_not_vary_are_networks() -> None:
    same = np.ones((2, 50), bool)
    with pytest.raises(ValueError, match="networks"):
        crossed(same, same)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_the_largest_p_value_is_never_below_the_one_found(seed: int, a: int, b: int) -> None:
    generator = np.random.default_rng(seed)
    truths = generator.uniform(0.3, 0.99, 2)
    taste = generator.uniform(0, 2)
    (first,), (second,) = (
        answers(generator, [truth], count, 60, taste=taste)
        for truth, count in zip(truths, (a, b), strict=True)
    )
    scores = [list(side.mean(1)) for side in (first, second)]
    most = stats.largest_p(scores[0], scores[1], 60)
    if min(a, b) > 1 and max(len({*each}) for each in scores) > 1:
        assert crossed(first, second).p <= most + 1e-12
        assert stats.welch(*scores).p <= most + 1e-12
    else:
        assert stats.mcnemar(first[0], second[0]).p <= most + 1e-12


# By simulation


@pytest.mark.parametrize(("seed_noise", "taste"), NOISES)
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_two_methods_that_are_equally_good_are_seldom_told_apart(
    seeds: int, seed_noise: float, taste: float
) -> None:
    generator = np.random.default_rng([seeds, int(1000 * seed_noise), int(taste)])
    simulations = 300
    wrong = missed = 0
    for _ in range(simulations):
        pair = answers(generator, [0.85] * 2, seeds, 1000, seed_noise=seed_noise, taste=taste)
        found = crossed(*pair)
        wrong += found.p < 0.05
        missed += not found.low <= 0 <= found.high
    assert wrong == missed
    assert wrong <= most_by_chance(0.05, simulations)


def test_seed_means_alone_do_not_see_that_methods_find_other_items_hard() -> None:
    generator = np.random.default_rng(0)
    by_seeds = by_both = 0
    for _ in range(200):
        a, b = answers(generator, [0.85] * 2, 10, 1000, seed_noise=0.003, taste=1.0)
        by_seeds += stats.welch(a.mean(1), b.mean(1)).p < 0.05
        by_both += crossed(a, b).p < 0.05
    assert by_both <= most_by_chance(0.05, 200)
    assert by_seeds > 40


@pytest.mark.parametrize(("n", "least"), [(1000, 0.12), (10_000, 0.4)])
def test_combined_tests_of_networks_name_false_winners_where_seeds_vary(
    n: int, least: float
) -> None:
    """Pooling the items on which networks of each seed differ compares these networks."""
    generator = np.random.default_rng(n)
    wrong = 0
    for _ in range(150):
        a, b = answers(generator, [0.85] * 2, 3, n)
        wrong += stats.mcnemar(a.ravel(), b.ravel()).p < 0.05
    assert wrong / 150 > least


def groups_of(methods: list[Any]) -> list[int]:
    samples = [stats.Sample.of_items(each) for each in methods]
    samples.sort(key=lambda each: -each.scores.mean())

    def compare(leader: int, others: Any) -> list[stats.Difference]:
        return [stats.crossed(samples[leader], samples[other]) for other in others]

    return stats.tie_groups(len(samples), compare)


def told_apart(seeds: int, n: int, simulations: int) -> int:
    """Return how often five copies of one method are told apart."""
    generator = np.random.default_rng([seeds, n])
    return sum(
        max(groups_of(answers(generator, [0.85] * 5, seeds, n))) > 1 for _ in range(simulations)
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_copies_of_one_method_are_seldom_told_apart(seeds: int) -> None:
    assert told_apart(seeds, 1000, 200) <= most_by_chance(0.05, 200)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("n", [1000, 10_000])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_of_a_thousand_simulations_at_most_alpha_tell_copies_apart(seeds: int, n: int) -> None:
    assert told_apart(seeds, n, 1000) <= stats.ALPHA * 1000


@pytest.mark.parametrize("n", [1000, 10_000])
@pytest.mark.parametrize("copies", [1, 4])
def test_a_pair_twice_the_resolvable_gap_apart_is_told_apart(copies: int, n: int) -> None:
    generator = np.random.default_rng(n)
    # Seed noise of a point limits what seeds resolve where items resolve less.
    gap = max(stats.resolvable_gap(0.85, n), 0.0196)
    truths = [0.85] + [0.85 - 2 * gap] * copies
    simulations = 60 if n == 1000 else 15
    found = [groups_of(answers(generator, truths, 5, n)) for _ in range(simulations)]
    assert np.mean([group > 1 for groups in found for group in groups[1:]]) > 0.9
