from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from sklearn.metrics import average_precision_score

from bench import stats

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
scores = st.lists(st.integers(0, 1000), min_size=2, max_size=8).map(lambda x: [v / 1000 for v in x])


# Intervals


@given(counts)
@settings(deadline=None)
def test_wilson_equals_the_reference(count: tuple[int, int]) -> None:
    successes, n = count
    expected = reference.binomtest(successes, n).proportion_ci(method="wilson")
    interval = stats.wilson(successes, n)
    assert interval.mean == successes / n
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= interval.low <= interval.high <= 1
    assert interval.low - 1e-12 <= interval.mean <= interval.high + 1e-12


@pytest.mark.parametrize("n", [0, -1])
def test_a_proportion_of_nothing_has_no_interval(n: int) -> None:
    with pytest.raises(ValueError, match="of nothing"):
        stats.wilson(0, n)


@given(scores)
@settings(deadline=None)
def test_t_interval_equals_the_reference(values: list[float]) -> None:
    interval = stats.t_interval(values)
    assert interval.mean == pytest.approx(np.mean(values))
    expected = (np.mean(values),) * 2
    if len({*values}) > 1:
        error = reference.sem(values)
        expected = reference.t.interval(0.95, len(values) - 1, np.mean(values), error)
    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_a_t_interval_needs_two_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="two values or more"):
        stats.t_interval(values)


@pytest.mark.parametrize("n", [50, 1000])
@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_wilson_covers_the_truth_as_often_as_it_says(n: int, p: float) -> None:
    generator = np.random.default_rng(0)
    intervals = [stats.wilson(int(k), n) for k in generator.binomial(n, p, 2000)]
    covered = np.mean([i.low <= p <= i.high for i in intervals])
    # Within discreteness, which at small n moves coverage by some points, and chance.
    assert 0.92 < covered < 0.98


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_t_intervals_cover_the_truth_as_often_as_they_say(seeds: int) -> None:
    generator = np.random.default_rng(0)
    intervals = [stats.t_interval(v) for v in generator.normal(0.8, 0.01, (2000, seeds))]
    covered = np.mean([i.low <= 0.8 <= i.high for i in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)


# Tests of differences


varying = scores.filter(lambda values: len({*values}) > 1)


@given(varying, varying)
@settings(deadline=None)
def test_welch_equals_the_reference(a: list[float], b: list[float]) -> None:
    expected = reference.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval()
    found = stats.welch(a, b)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.estimate == pytest.approx(np.mean(a) - np.mean(b), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


@given(varying)
@settings(deadline=None)
def test_welch_against_a_constant_is_a_test_of_one_sample(a: list[float]) -> None:
    expected = reference.ttest_1samp(a, 0.5)
    assert stats.welch(a, [0.5] * 3).p == pytest.approx(expected.pvalue, abs=1e-9)
    assert stats.welch([0.5] * 3, a).p == pytest.approx(expected.pvalue, abs=1e-9)


def test_welch_needs_values_that_vary() -> None:
    with pytest.raises(ValueError, match="values that vary"):
        stats.welch([0.5, 0.5], [0.6, 0.6])


@pytest.mark.parametrize(("a", "b"), [([0.1], [0.1, 0.2]), ([0.1, 0.2], [])])
def test_welch_needs_two_seeds_on_each_side(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="two values or more on each side"):
        stats.welch(a, b)


def paired(only_a: int, only_b: int, both: int, none: int) -> tuple[Any, Any]:
    a = np.repeat([True, False, True, False], [only_a, only_b, both, none])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, none])
    return a, b


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
@settings(deadline=None)
def test_mcnemar_equals_the_reference(only_a: int, only_b: int, both: int, none: int) -> None:
    found = stats.mcnemar(*paired(only_a, only_b, both, none))
    n = only_a + only_b + both + none
    expected = 1.0
    if only_a + only_b:
        expected = reference.binomtest(only_a, only_a + only_b).pvalue
    assert found.p == pytest.approx(expected, abs=1e-12)
    assert found.estimate == pytest.approx((only_a - only_b) / n)
    centre = (only_a - only_b) / (n + 2)
    half = 1.959963984540054 * math.sqrt(
        ((only_a + 1 + only_b + 1) / (n + 2) - centre**2) / (n + 2)
    )
    assert found.low == pytest.approx(min(centre - half, found.estimate), abs=1e-9)
    assert found.high == pytest.approx(max(centre + half, found.estimate), abs=1e-9)


@pytest.mark.parametrize(("n", "correlated"), [(50, 0.9), (1000, 0.9), (1000, 0.0), (1000, 0.995)])
def test_the_interval_of_two_networks_covers_as_often_as_it_says(n: int, correlated: float) -> None:
    generator = np.random.default_rng(n)
    held = 0
    for _ in range(1000):
        a = generator.random(n) < 0.9
        b = np.where(generator.random(n) < correlated, a, generator.random(n) < 0.8)
        found = stats.mcnemar(a, b)
        held += found.low <= 0.1 * (1 - correlated) <= found.high
    assert 0.93 < held / 1000 <= 1.0


def test_networks_that_never_differ_have_an_interval_with_width() -> None:
    right = np.ones(100, bool)
    found = stats.mcnemar(right, right)
    assert found.low < 0 < found.high
    assert found.p == 1


def test_mcnemar_turns_with_its_sides() -> None:
    a, b = paired(9, 2, 50, 10)
    one, other = stats.mcnemar(a, b), stats.mcnemar(b, a)
    assert (one.estimate, one.low, one.p) == (-other.estimate, -other.high, other.p)


def test_two_proportions_equal_the_chi_square_test() -> None:
    found = stats.proportions(80, 100, 140, 200)
    table = [[80, 20], [140, 60]]
    assert found.p == pytest.approx(reference.chi2_contingency(table, correction=False).pvalue)
    assert found.estimate == pytest.approx(0.1)
    a, b = 81 / 102, 141 / 202
    half = 1.959963984540054 * math.sqrt(a * (1 - a) / 102 + b * (1 - b) / 202)
    assert (found.low, found.high) == pytest.approx((a - b - half, a - b + half))


@pytest.mark.parametrize("successes", [0, 100])
def test_two_equal_extremes_cannot_be_told_apart(successes: int) -> None:
    assert stats.proportions(successes, 100, successes, 100).p == 1


# Several comparisons


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.04, 0.01, 0.03, 0.005], [0.06, 0.03, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_as_by_hand(values: list[float], expected: list[float]) -> None:
    assert stats.holm(values) == pytest.approx(expected)


def test_holm_within_a_larger_family() -> None:
    assert stats.holm([0.01, 0.001], 6) == pytest.approx([0.05, 0.006])


@given(st.lists(st.floats(0, 1), max_size=8), st.randoms())
@settings(deadline=None)
def test_holm_does_not_depend_on_the_order(values: list[float], random: Any) -> None:
    order = list(range(len(values)))
    random.shuffle(order)
    corrected = stats.holm(values)
    assert stats.holm([values[i] for i in order]) == [corrected[i] for i in order]
    assert all(value <= p <= 1 for value, p in zip(values, corrected, strict=True))


def test_differences_without_a_test_are_never_told_apart() -> None:
    unknown = stats.Difference.untested(0.5)
    network = stats.Difference(0.1, 0, 1, 0.01, stats.Test.MCNEMAR)
    assert stats.correct([unknown, network]) == pytest.approx([1.0, 0.02])


def method(estimate: float, freedom: float, items: float = 0.0) -> stats.Difference:
    variance = 1 + items
    share = 1 / variance
    t = estimate / math.sqrt(variance)
    p = share * 2 * reference.t.sf(t, freedom) + (1 - share) * 2 * reference.norm.sf(t)
    return stats.Difference(estimate, 0, 1, p, stats.Test.CROSSED, 1.0, items, freedom)


@pytest.mark.parametrize("freedom", [2.1, 3.3, 8.0])
@pytest.mark.parametrize("items", [0.0, 1.0])
def test_methods_are_corrected_for_the_largest_of_all(freedom: float, items: float) -> None:
    """Against Dunnett's T3 by drawing: normal values over one estimate of their noise."""
    generator = np.random.default_rng(0)
    each = method(5.0, freedom, items)
    (found,) = stats.correct([each], 10)
    t = 5.0 / math.sqrt(1 + items)
    largest = abs(generator.normal(size=(200_000, 10))).max(1)
    noise = np.sqrt(generator.chisquare(freedom, 200_000) / freedom)
    expected = (np.mean(largest > t * noise) + items * np.mean(largest > t)) / (1 + items)
    assert found == pytest.approx(expected, abs=0.004)
    assert found <= min(1, 10 * each.p)


def test_two_seeds_keep_the_plain_factor() -> None:
    each = method(200.0, 1.5)
    assert stats.correct([each], 10) == pytest.approx([10 * each.p])


def test_a_single_comparison_needs_no_correction() -> None:
    for each in (method(3.0, 4.0), method(2.0, 6.0, 0.5)):
        assert stats.correct([each]) == pytest.approx([each.p], rel=1e-3)


def told_apart(*pairs: tuple[int, int]) -> Callable[[int, int], float]:
    """Return p-values: almost 0 for these pairs, 1 for all others."""
    return lambda i, j: 1e-9 if (i, j) in pairs or (j, i) in pairs else 1.0


@pytest.mark.parametrize(
    ("count", "p_value", "groups"),
    [
        (0, told_apart(), []),
        (1, told_apart(), [1]),
        (3, told_apart(), [1, 1, 1]),
        (3, told_apart((0, 1), (0, 2)), [1, 2, 2]),
        (3, told_apart((0, 1), (0, 2), (1, 2)), [1, 2, 3]),
        (3, told_apart((0, 2), (1, 2)), [1, 1, 2]),
        (4, told_apart((0, 2), (0, 3)), [1, 1, 2, 2]),
        # A row with wide noise ties with the best although one between them does not.
        (4, told_apart((0, 1), (0, 3), (1, 3)), [1, 2, 1, 3]),
        (2, lambda i, j: 0.049, [1, 2]),
        (2, lambda i, j: 0.051, [1, 1]),
        (3, lambda i, j: 0.02, [1, 1, 1]),
        (3, lambda i, j: 0.016, [1, 2, 3]),
    ],
)
def test_tie_groups_as_by_hand(
    count: int, p_value: Callable[[int, int], float], groups: list[int]
) -> None:
    def compare(leader: int, others: Sequence[int]) -> list[stats.Difference]:
        found = [p_value(leader, other) for other in others]
        return [stats.Difference(0.1, 0, 1, p, stats.Test.MCNEMAR) for p in found]

    assert stats.tie_groups(count, compare) == groups


@pytest.mark.parametrize("n", [1000, 10_000])
def test_networks_of_one_seed_are_told_apart_by_their_items(n: int) -> None:
    generator = np.random.default_rng(n)
    gap = stats.resolvable_gap(0.85, n)

    def share_told_apart(other: float) -> float:
        found = [
            stats.mcnemar(generator.random(n) < 0.85, generator.random(n) < other).p < stats.ALPHA
            for _ in range(300)
        ]
        return float(np.mean(found))

    assert share_told_apart(0.85) < 0.07
    assert share_told_apart(0.85 - 2 * gap) > 0.9


def test_the_resolvable_gap_is_that_of_two_proportions() -> None:
    assert stats.resolvable_gap(0.85, 1000) == pytest.approx(0.0313, abs=1e-4)
    assert stats.resolvable_gap(0.5, 10_000) == pytest.approx(0.01386, abs=1e-5)
    # Without a mistake among 100 items, the next one of a hundred is no news yet.
    assert 0.01 < stats.resolvable_gap(1.0, 100) < 0.05


# Mean average precision


def multi_label(count: int, classes: int, levels: int, seed: int = 0) -> tuple[Any, Any]:
    """Return labels (N, C) and scores that lean towards them, with ties where levels are few."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, classes)) < 0.4).astype(np.uint8)
    scores = np.round((0.5 * labels + generator.random(labels.shape)) * levels) / levels
    return labels, scores


def resampled(count: int, resamples: int, seed: int = 0) -> Any:
    """Return how often each item is drawn, as the documented procedure draws them."""
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(0, count, count) for _ in range(resamples))
    return np.stack([np.bincount(each, minlength=count) for each in drawn])


@pytest.mark.parametrize("levels", [3, 10_000])
def test_resampled_average_precision_equals_scikit_learns_with_weights(levels: int) -> None:
    labels, scores = multi_label(30, 3, levels)
    labels[:, 2] = 0
    labels[:2, 2] = 1  # rare, so that some resamples lack it
    found = stats.bootstrap_average_precision(labels, scores, resamples=60)
    assert found.shape == (60,)
    lacking = 0
    for value, weights in zip(found, resampled(30, 60), strict=True):
        present = [column for column in range(3) if (labels[:, column] * weights).any()]
        lacking += len(present) < 3
        expected = [
            average_precision_score(labels[:, column], scores[:, column], sample_weight=weights)
            for column in present
        ]
        assert value == pytest.approx(np.mean(expected), abs=1e-12)
    assert lacking


def test_networks_are_resampled_alike() -> None:
    labels, scores = multi_label(40, 3, 100)
    other = multi_label(40, 3, 100, seed=1)[1]
    first, second, third = (
        stats.bootstrap_average_precision(labels, each, 50) for each in (scores, scores, other)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    alone = stats.bootstrap_average_precision(labels, other, 50)
    assert np.array_equal(alone, third)
    again = stats.bootstrap_average_precision(labels, scores, 50, seed=1)
    assert not np.array_equal(again, first)


def test_a_perfect_ranking_has_no_noise() -> None:
    labels, _ = multi_label(40, 3, 100)
    found = stats.bootstrap_average_precision(labels, labels.astype(float), 50)
    assert found == pytest.approx(np.ones(50))


def test_a_percentile_interval_holds_the_estimate_and_95_percent_of_the_samples() -> None:
    samples = np.random.default_rng(0).normal(0.7, 0.01, 1000)
    interval = stats.percentile_interval(0.7, samples)
    assert ((samples >= interval.low) & (samples <= interval.high)).mean() == pytest.approx(0.95)
    assert interval.mean == 0.7
    assert stats.percentile_interval(0.9, samples).high == 0.9
    assert stats.percentile_interval(0.1, samples).low == 0.1


def paired_by(first: Any, second: Any, estimate: float) -> stats.Difference:
    """Return the comparison of two networks by their bootstrap samples."""
    samples = [stats.Sample.of_resamples([0.0], each[None]) for each in (first, second)]
    return stats.paired(estimate, *samples)


def test_a_paired_bootstrap_tells_a_clear_difference_from_none() -> None:
    generator = np.random.default_rng(0)
    common = generator.normal(0.7, 0.05, 1000)
    clear = paired_by(common + generator.normal(0.1, 0.01, 1000), common, 0.1)
    assert clear.test == "paired bootstrap over items"
    assert clear.p < 1e-9
    assert clear.high - clear.low == pytest.approx(2 * 1.96 * 0.01, rel=0.1)
    none = paired_by(common + generator.normal(0, 0.01, 1000), common, 0.0)
    assert none.p == 1
    assert none.low < 0 < none.high


def test_networks_that_are_the_same_cannot_be_told_apart() -> None:
    same = np.zeros(200)
    assert paired_by(same, same, 0.0).p == 1


def test_the_difference_of_equal_methods_is_rarely_significant() -> None:
    """Of networks that are equally good, about one in twenty pairs may differ, not more."""
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(60):
        labels = (generator.random((60, 2)) < 0.5).astype(np.uint8)
        scores = [0.5 * labels + generator.random(labels.shape) for _ in range(2)]
        first, second = (stats.bootstrap_average_precision(labels, each, 200) for each in scores)
        exact = [average_precision_score(labels, each) for each in scores]
        found += paired_by(first, second, exact[0] - exact[1]).p < 0.05
    assert found <= 8


# The best of k trials

trial_scores = st.lists(st.integers(0, 5).map(lambda v: v / 5), min_size=0, max_size=7)


@given(trial_scores, st.integers(0, 3))
@settings(deadline=None)
def test_the_expected_best_is_the_mean_over_all_subsets(values: list[float], failed: int) -> None:
    everything = values + [0.0] * failed
    if not everything:
        return
    curve = stats.expected_best(values, failed, low=0.0, high=1.0)
    assert len(curve) == len(everything)
    for k, each in enumerate(curve, 1):
        subsets = itertools.combinations(everything, k)  # by place, so ties count as often as seen
        assert each.mean == pytest.approx(np.mean([max(subset) for subset in subsets]), abs=1e-12)
        assert 0 <= each.low <= each.mean <= each.high <= 1


def test_the_expected_best_goes_from_the_mean_to_the_maximum() -> None:
    values = list(np.random.default_rng(0).random(500))
    curve = stats.expected_best(values, low=0.0, high=1.0)
    assert curve[0].mean == pytest.approx(np.mean(values))
    assert curve[-1].mean == pytest.approx(max(values))
    for field in ("mean", "low", "high"):
        line = [getattr(each, field) for each in curve]
        assert line == sorted(line)


def test_the_expected_best_is_unbiased_where_drawing_with_replacement_is_not() -> None:
    generator = np.random.default_rng(1)
    k, n = 5, 6
    draws = generator.random((1500, n))
    means = [stats.expected_best(list(draw))[k - 1].mean for draw in draws]
    # The largest of five uniform numbers has mean 5/6 and, of six draws, an error below 0.004 here.
    assert np.mean(means) == pytest.approx(k / (k + 1), abs=0.012)
    places = np.arange(1, n + 1) / n
    replaced = np.sort(draws, 1) @ (places**k - (places - 1 / n) ** k)
    assert np.mean(replaced) < k / (k + 1) - 0.03


def test_the_band_covers_the_whole_curve_and_narrows_with_trials() -> None:
    generator = np.random.default_rng(2)
    missed = 0
    for _ in range(200):
        curve = stats.expected_best(list(generator.random(15)), low=0.0, high=1.0)
        truth = [k / (k + 1) for k in range(1, 16)]
        missed += any(
            not each.low <= true <= each.high for each, true in zip(curve, truth, strict=True)
        )
    assert missed <= 10
    few, many = (
        stats.expected_best(list(generator.random(n)), low=0.0, high=1.0)[4] for n in (10, 400)
    )
    assert many.high - many.low < 0.15 < few.high - few.low


def test_the_band_of_the_distribution_is_that_of_its_order_statistics() -> None:
    """Of a single draw F is uniform: the band is the middle 95 %, and what follows from it."""
    (only,) = stats.expected_best([0.6], low=0.0, high=1.0)
    assert only.mean == 0.6
    assert only.low == pytest.approx(0.6 * 0.025, abs=0.004)
    assert only.high == pytest.approx(0.025 * 0.6 + 0.975, abs=0.004)


def test_failed_trials_count_as_the_worst_that_can_be() -> None:
    clean = stats.expected_best([0.5, 0.7], low=0.0, high=1.0)
    failing = stats.expected_best([0.5, 0.7], 2, low=0.0, high=1.0)
    assert failing[0].mean == pytest.approx(0.3)
    assert failing[0].mean < clean[0].mean
    assert failing[3].mean == 0.7
    nothing = stats.expected_best([], 3, low=0.0, high=1.0)
    assert [each.mean for each in nothing] == [0.0] * 3


def test_without_bounds_the_band_is_open() -> None:
    curve = stats.expected_best([-0.5, -0.2, -0.1], high=0.0)
    assert curve[2].mean == -0.1
    assert all(each.low == -math.inf for each in curve)
    assert all(each.mean < each.high <= 0 for each in curve)
    assert stats.expected_best([0.5])[0].high == math.inf
    with pytest.raises(ValueError, match="without a worst score"):
        stats.expected_best([-0.5], 1, high=0.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "no best one"), ([1.5], "bounds"), ([math.nan], "finite"), ([0.1, -math.inf], "finite")],
)
def test_what_has_no_expected_best(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stats.expected_best(values, low=0.0, high=1.0)
