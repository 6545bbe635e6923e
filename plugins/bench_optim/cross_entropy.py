"""Cross-entropy, the default loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import bench
from bench_optim.class_weights import weigher

if TYPE_CHECKING:
    from torch import Tensor


def build(
    num_classes: int,
    class_counts: Sequence[int],
    *,
    label_smoothing: float = 0.0,
    balance: float = 0.0,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy of the softmax, the mean over the batch.

    Labels may be classes (N,), or probabilities (N, C) where images were mixed.

    With `balance` the loss is sum(w_i l_i) / N, where w_i is the weight of image i's class and
    the mean weight of the training images is 1. torch's `weight` divides by the weights of the
    batch instead, which makes an image count for less beside heavy ones, and smooths labels
    towards the heavy classes; here an image's whole loss, smoothed or mixed, has its weight.

    Args:
        num_classes: length of the logits.
        class_counts: training images of each class.
        label_smoothing: probability, 0 to 1, that is taken from the true class and shared out
            over all classes alike (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567).
        balance: how far rare classes are made up for: 0 not at all; 1 all classes count alike,
            each by n / (C * n_c), scikit-learn's `balanced`; between them by n_c^-balance.

    Raises:
        bench.ConfigError: `label_smoothing` or `balance` lies outside 0 to 1.
    """
    from torch import nn
    from torch.nn import functional

    if not 0 <= label_smoothing <= 1:
        raise bench.ConfigError(
            f"loss `cross-entropy`: `label_smoothing` is {label_smoothing}; give 0 to 1"
        )
    if balance == 0:
        return nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    weigh = weigher(class_counts, balance, "cross-entropy")

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        targets = weigh(labels)
        shared = targets.sum(1, keepdim=True) / num_classes
        targets = (1 - label_smoothing) * targets + label_smoothing * shared
        # float32 also under bfloat16 autocast; rows of targets need not add up to 1 in torch.
        return functional.cross_entropy(logits.float(), targets)

    return loss


def suggest(trial: Any) -> dict[str, Any]:
    """Search how much labels are smoothed."""
    return {"label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.3)}


LOSS = bench.Loss(
    name="cross-entropy", build=build, suggest=suggest, preload=("torch",), default=True
)
