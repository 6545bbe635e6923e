"""Binary cross-entropy, the default loss of multi-label tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import Tensor


def build(num_classes: int, *, label_smoothing: float = 0.0) -> Callable[[Tensor, Tensor], Tensor]:
    """Binary cross-entropy of each label's sigmoid, the mean over images and labels.

    In a task with one label an image, each class is a label that is present or not (one against
    the rest, as in Beyer et al., 2020, https://arxiv.org/abs/2006.07159). Only training differs:
    predictions are read by softmax there, as with any loss.

    Args:
        num_classes: length of the labels made of classes (N,); labels (N, C) are taken as they
            are.
        label_smoothing: part of the way from 0 and 1 to a half that targets are moved, 0 to 1;
            none by default.

    Raises:
        bench.ConfigError: `label_smoothing` lies outside 0 to 1.
    """
    from torch.nn import functional

    if not 0 <= label_smoothing <= 1:
        raise bench.ConfigError(
            f"loss `binary-cross-entropy`: `label_smoothing` is {label_smoothing}; give 0 to 1"
        )

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if labels.ndim == 1:
            labels = functional.one_hot(labels, num_classes)
        # float32 also under bfloat16 autocast, which would round a smoothed target.
        targets = labels.float() * (1 - label_smoothing) + label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits.float(), targets)

    return loss


def suggest(trial: Any) -> dict[str, Any]:
    """Search how much labels are smoothed."""
    return {"label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.3)}


LOSS = bench.Loss(
    name="binary-cross-entropy",
    build=build,
    suggest=suggest,
    preload=("torch",),
    default=True,
    tasks=tuple(bench.Task),
    default_tasks=(bench.Task.MULTI_LABEL,),
)
