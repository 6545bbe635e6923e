"""Mean squared error of probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    from torch import Tensor


def build(num_classes: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Mean squared error between softmax probabilities and one-hot labels.

    The mean is over images and classes: the Brier score (1950,
    https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2) divided by the number of
    classes. Its gradients are smaller than those of cross-entropy, and vanish where the network
    is confidently wrong, so it wants a higher learning rate of optimizers that do not rescale.

    Args:
        num_classes: length of the one-hot labels; where images were mixed, labels are
            probabilities (N, C) already.
    """
    from torch.nn import functional

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        # float32 also under bfloat16 autocast: squares of small differences need the digits.
        probabilities = functional.softmax(logits.float(), dim=-1)
        if labels.ndim == 1:
            labels = functional.one_hot(labels, num_classes)
        targets = labels.to(probabilities.dtype)
        return functional.mse_loss(probabilities, targets)

    return loss


LOSS = bench.Loss(name="mse", build=build, preload=("torch",))
