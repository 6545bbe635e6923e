"""Binary cross-entropy, the default loss of multi-label tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    from torch import Tensor


def build(num_classes: int, *, label_smoothing: float = 0.0) -> Callable[[Tensor, Tensor], Tensor]:
    """Binary cross-entropy of each label's sigmoid, the mean over images and labels.

    Args:
        num_classes: not used; the labels tell it.
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
        # float32 also under bfloat16 autocast, which would round a smoothed target.
        targets = labels.float() * (1 - label_smoothing) + label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits.float(), targets)

    return loss


LOSS = bench.Loss(
    name="binary-cross-entropy",
    build=build,
    preload=("torch",),
    default=True,
    tasks=(bench.Task.MULTI_LABEL,),
)
