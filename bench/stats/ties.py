"""Several comparisons at once: Holm's correction, and groups that cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.stats.distributions import ALPHA


def holm(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the order given.

    Where they were picked out of a larger family of comparisons, `family` is its size.
    """
    count = len(p_values) if family is None else family
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (count - place) * p_values[index]))
        corrected[index] = running
    return corrected


def pairs(count: int) -> int:
    """Return how many pairs there are of `count` rows."""
    return count * (count - 1) // 2


def tie_groups(count: int, p_values: Callable[[int, Sequence[int]], Sequence[float]]) -> list[int]:
    """Return the group of each of `count` rows, which are ordered from best to worst.

    Group 1 is the best row and all that cannot be told from it; the next group starts at the best
    row left. The p-values of one leader against the rows left are Holm-corrected together, as
    part of the comparisons of all pairs: the leader is not given but chosen for being the best,
    which tells five copies of one method apart too often if only its own four pairs count.

    Args:
        count: how many rows.
        p_values: of a leader against others, all by their places.
    """
    groups = [0] * count
    group = 0
    left = list(range(count))
    while left:
        group += 1
        leader, *others = left
        groups[leader] = group
        corrected = holm(p_values(leader, others) if others else [], pairs(len(left)))
        left = []
        for other, p in zip(others, corrected, strict=True):
            if p < ALPHA:
                left.append(other)
            else:
                groups[other] = group
    return groups
