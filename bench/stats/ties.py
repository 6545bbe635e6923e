"""Several comparisons at once: corrections for their number, and tie groups."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bench.stats.differences import Difference
from bench.stats.distributions import ALPHA

FEWEST_FREEDOM = 2.0
"""Degrees of freedom beyond which comparisons may share their noise; two seeds have fewer."""
ONE_NOISE = 66
"""Comparisons that are taken to share their noise: those of a dozen rows."""
_NODES = 64
"""Of the integral over the noise: four digits of a p-value of 0.05."""


def holm(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the order given.

    Where they were picked out of a larger family of comparisons, `family` is its size.
    """
    return _step_down(p_values, family, lambda index, count: count * p_values[index])


def correct(found: Sequence[Difference], family: int | None = None) -> list[float]:
    """Return the p-values of differences, corrected for their number.

    Holm's procedure (1979): the smallest p-value is corrected for all comparisons, the next for
    one less, and so on. Networks are corrected by the factor (Bonferroni); methods by what Dunnett
    (1980) calls T3, which is made for unequal noise known from few seeds: with C comparisons, the
    largest of C normal values over one common estimate of their noise. With three seeds and a
    dozen rows the factor alone asks for gaps of twice the size. The more rows there are, the less
    they share one noise: of more than a dozen, each dozen is corrected so, and their number by the
    factor. With two seeds each comparison's noise goes its own way even then, and the factor stays.

    Args:
        found: differences; those without a test have a corrected p-value of 1.
        family: of how many comparisons they were picked.
    """
    p_values = [1.0 if math.isnan(each.p) else each.p for each in found]

    def corrected(index: int, count: int) -> float:
        each = found[index]
        if each.test.of_methods and each.freedom > FEWEST_FREEDOM:
            parts = max(1.0, math.sqrt(count / ONE_NOISE))  # the pairs go by the square of rows
            return min(count * p_values[index], parts * _largest_of(count / parts, each))
        return count * p_values[index]

    return _step_down(p_values, family, corrected)


def pairs(count: int) -> int:
    """Return how many pairs there are of `count` rows."""
    return count * (count - 1) // 2


def tie_groups(
    count: int, compare: Callable[[int, Sequence[int]], Sequence[Difference]]
) -> list[int]:
    """Return the group of each of `count` rows, which are ordered from best to worst.

    Group 1 is the best row and all that cannot be told from it; the next group starts at the best
    row left. The p-values of one leader against the rows left are corrected together, as part of
    the comparisons of all pairs: the leader is not given but chosen for being the best, which
    tells five copies of one method apart too often if only its own four pairs count.

    Args:
        count: how many rows.
        compare: a leader with others, all by their places.
    """
    groups = [0] * count
    group = 0
    left = list(range(count))
    while left:
        group += 1
        leader, *others = left
        groups[leader] = group
        corrected = correct(compare(leader, others) if others else [], pairs(len(left)))
        left = []
        for other, p in zip(others, corrected, strict=True):
            if p < ALPHA:
                left.append(other)
            else:
                groups[other] = group
    return groups


def _step_down(
    p_values: Sequence[float], family: int | None, corrected: Callable[[int, int], float]
) -> list[float]:
    count = len(p_values) if family is None else family
    result = [0.0] * len(p_values)
    running = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, corrected(index, count - place)))
        result[index] = running
    return result


def _largest_of(count: float, found: Difference) -> float:
    """Return how likely one of `count` comparisons without a difference comes as far as this one.

    The noise of seeds is as uncertain as its degrees of freedom say and that of items is known, in
    the shares that they have of the variance, as in `bench.stats.crossed`.
    """
    items = 0.0 if math.isnan(found.item_variance) else found.item_variance
    variance = found.seed_variance + items
    value = abs(found.estimate) / math.sqrt(variance)
    share = found.seed_variance / variance
    sizes, weights = _noise(found.freedom)
    known = float(_beyond(np.array([value]), count)[0])
    return share * float(_beyond(value * sizes, count) @ weights) + (1 - share) * known


def _beyond(values: npt.NDArray[np.float64], count: float) -> npt.NDArray[np.float64]:
    """Return how likely the largest of `count` normal values is beyond each of these."""
    from scipy.special import ndtr

    tails = np.minimum(2 * ndtr(-values), 1 - 1e-16)
    return np.asarray(-np.expm1(count * np.log1p(-tails)))


def _noise(freedom: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return sizes that an estimated standard error has, over the true one, and their weights."""
    from scipy.special import gammaincinv

    places, weights = _quadrature()
    return np.sqrt(2 * gammaincinv(freedom / 2, places) / freedom), weights


@functools.cache
def _quadrature() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return nodes and weights of Gauss and Legendre's integral from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2
