"""Cross-entropy, the default loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    from torch import nn


def build(num_classes: int, *, label_smoothing: float = 0.0) -> nn.Module:
    """Cross-entropy of the softmax, the mean over the batch.

    Labels may be classes (N,), or probabilities (N, C) where images were mixed.

    Args:
        num_classes: not used; the logits tell it.
        label_smoothing: probability, 0 to 1, that is taken from the true class and shared out
            over all classes alike (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567).

    Raises:
        bench.ConfigError: `label_smoothing` lies outside 0 to 1.
    """
    from torch import nn

    if not 0 <= label_smoothing <= 1:
        raise bench.ConfigError(
            f"loss `cross-entropy`: `label_smoothing` is {label_smoothing}; give 0 to 1"
        )
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


LOSS = bench.Loss(name="cross-entropy", build=build, preload=("torch",), default=True)
