from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from bench.stats.moderation import SeedNoise, _trigamma_inverse


def rows(seeds: int, sds: list[float], seed: int = 0) -> list[list[float]]:
    generator = np.random.default_rng(seed)
    return [list(generator.normal(0.8, sd, seeds)) for sd in sds]


@pytest.mark.parametrize("value", [1e-8, 1e-3, 0.1, 1.0, 5.0, 1e3, 1e9])
def test_the_trigamma_function_is_inverted(value: float) -> None:
    assert float(polygamma(1, _trigamma_inverse(value))) == pytest.approx(value, rel=1e-3)


def test_the_prior_of_drawn_variances_is_found_again() -> None:
    generator = np.random.default_rng(1)
    variances = 4.0 * 6 / generator.chisquare(6, 4000)
    drawn = [list(generator.normal(0, math.sqrt(v), 5)) for v in variances]
    noise = SeedNoise.of(drawn)
    assert noise is not None
    assert noise.freedom == pytest.approx(6, rel=0.15)
    assert noise.variance == pytest.approx(4, rel=0.05)
    assert noise.pooled == 16_000


def test_rows_that_vary_alike_are_pooled() -> None:
    noise = SeedNoise.of(rows(3, [1.0] * 200))
    assert noise is not None
    assert noise.freedom > 30
    variance, freedom = noise.moderated(0.01, 2)
    assert variance == pytest.approx(1, rel=0.2)
    assert freedom > 30


def test_rows_that_vary_differently_keep_most_of_their_own() -> None:
    noise = SeedNoise.of(rows(3, [10.0**power for power in range(-6, 6)]))
    assert noise is not None
    assert noise.freedom < 0.5
    assert noise.moderated(1.0, 2)[1] < 2.5


@given(st.floats(0, 1e3), st.integers(1, 30), st.integers(0, 50))
def test_a_variance_is_never_lowered_and_no_more_is_known_than_all_rows_tell(
    variance: float, freedom: int, seed: int
) -> None:
    noise = SeedNoise.of(rows(3, [0.5, 1.0, 2.0, 4.0], seed))
    assert noise is not None
    found, known = noise.moderated(variance, freedom)
    assert found >= variance
    assert found > 0
    assert known <= noise.pooled == 8


@pytest.mark.parametrize("given_rows", [[], rows(1, [1.0] * 9), rows(3, [1.0, 1.0])])
def test_few_rows_tell_nothing(given_rows: list[list[float]]) -> None:
    assert SeedNoise.of(given_rows) is None


def test_rows_that_do_not_vary_tell_nothing() -> None:
    assert SeedNoise.of([[0.5, 0.5]] * 5) is None
