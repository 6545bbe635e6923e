"""Losses that become NaN late, are never a number, or have no scalar value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import Tensor


VALUES = {"no-number": math.nan, "endless": math.inf, "minus-endless": -math.inf}


def late(num_classes: int, *, at: int = 10, value: str = "no-number") -> Any:
    """Cross-entropy, but a value of `VALUES` in training step `at` alone."""
    from torch.nn import functional

    steps = 0

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        # Added, not multiplied: the gradient stays finite, so only the loss itself tells.
        extra = VALUES[value] if steps == at else 0.0
        return functional.cross_entropy(logits, labels) + extra

    return loss


def never(num_classes: int) -> Any:
    return lambda logits, labels: logits.sum() * float("nan")


def vector(num_classes: int) -> Any:
    return lambda logits, labels: logits.sum(1)


LOSSES = [
    bench.Loss(name="late", build=late),
    bench.Loss(name="never-finite", build=never),
    bench.Loss(name="vector", build=vector),
]
