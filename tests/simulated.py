"""Networks that are right or wrong by chance, with noise of seeds and of items."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtri

HARD = 2.5
"""How much items differ in difficulty for all methods, beside the noise of one answer, 1."""


def answers(
    generator: np.random.Generator,
    truths: list[float],
    seeds: int,
    n: int,
    *,
    seed_noise: float = 0.01,
    taste: float = 0.0,
) -> list[Any]:
    """Return of each method which items its networks have right, (seeds, n) bool.

    Args:
        generator: of all that is drawn.
        truths: accuracy of each method, the mean over all seeds and items there could be.
        seeds: networks of each method.
        n: items, the same for all.
        seed_noise: standard deviation of the accuracy over seeds.
        taste: how much each method finds other items hard than the others do.
    """
    scale = math.sqrt(1 + HARD**2 + taste**2)
    difficulty = HARD * generator.normal(size=n)
    result = []
    for truth in truths:
        ability = np.clip(generator.normal(truth, seed_noise, seeds), 0.001, 0.999)
        own = difficulty + taste * generator.normal(size=n)
        noise = generator.normal(size=(seeds, n))
        result.append(scale * ndtri(ability)[:, None] + own + noise > 0)
    return result


def most_by_chance(rate: float, simulations: int) -> int:
    """Return how often something of this rate happens at most, but for one case in a thousand."""
    return round(rate * simulations + 3.1 * math.sqrt(rate * (1 - rate) * simulations))
