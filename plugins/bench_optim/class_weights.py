"""Weights of classes, for losses that make up for rare ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def class_weights(class_counts: Sequence[int], balance: float) -> list[float]:
    """Return a weight for each class, n_c^-balance but for a factor.

    The factor makes the mean over the training images 1, so that the learning rate keeps its
    meaning. With a balance of 1 every class has the same share in the loss: the weights are
    n / (C * n_c), as scikit-learn's `compute_class_weight` has them with `balanced`.

    Args:
        class_counts: training images of each class. A class without any gets 0: no image has it.
        balance: from 0, all alike, to 1.
    """
    raw = [float(count) ** -balance if count else 0.0 for count in class_counts]
    total = sum(weight * count for weight, count in zip(raw, class_counts, strict=True))
    return [weight * sum(class_counts) / total for weight in raw]


def weigher(class_counts: Sequence[int], balance: float, where: str) -> Callable[[Tensor], Tensor]:
    """Return a function that turns labels into one-hot rows, each times its class's weight.

    It takes classes (N,), or probabilities (N, C), which are weighted class by class; it returns
    float32 (N, C).

    Args:
        class_counts: training images of each class.
        balance: see `class_weights`.
        where: the loss, for the message.

    Raises:
        bench.ConfigError: `balance` lies outside 0 to 1.
    """
    import torch
    from torch.nn import functional

    if not 0 <= balance <= 1:
        raise bench.ConfigError(f"loss `{where}`: `balance` is {balance}; give 0 to 1")
    values = class_weights(class_counts, balance)

    # Copied to a device once: a copy in every step would make the device wait.
    @functools.cache
    def weights(device: torch.device) -> Tensor:
        held = torch.tensor(values, dtype=torch.float32)
        if device.type == "cuda":  # from pinned memory, for which the device need not be waited for
            return held.pin_memory().to(device, non_blocking=True)
        return held.to(device)

    def weigh(labels: Tensor) -> Tensor:
        if labels.ndim == 1:
            labels = functional.one_hot(labels, len(values))
        return labels.float() * weights(labels.device)

    return weigh
