"""Focal loss of each label's sigmoid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import Tensor


def build(
    num_classes: int, *, gamma: float = 2.0, alpha: float = 0.25
) -> Callable[[Tensor, Tensor], Tensor]:
    """Focal loss of each label's sigmoid, the mean over images and labels.

    Lin et al., 2017 (https://arxiv.org/abs/1708.02002), from which the defaults come: a binary
    cross-entropy times (1 - p)^gamma, p being the probability of what is true of a label, and
    times alpha where it is present, 1 - alpha where not. It is what
    `torchvision.ops.sigmoid_focal_loss` computes; but a label between 0 and 1, as in a mixed
    image, has that share of both losses.

    Args:
        num_classes: not used; the labels tell it.
        gamma: how strongly sure labels are passed over, 0 or more.
        alpha: weight of the labels that are present, 0 to 1; with 0.5 both count alike.

    Raises:
        bench.ConfigError: `gamma` is below 0, or `alpha` lies outside 0 to 1.
    """
    from torch.nn import functional

    if gamma < 0:
        raise bench.ConfigError(f"loss `binary-focal`: `gamma` is {gamma}; give 0 or more")
    if not 0 <= alpha <= 1:
        raise bench.ConfigError(f"loss `binary-focal`: `alpha` is {alpha}; give 0 to 1")

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        # float32 also under bfloat16 autocast.
        logits, labels = logits.float(), labels.float()
        log_present, log_absent = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        # Powers by way of the logarithm: a root is infinitely steep where a probability is 0.
        present = (gamma * log_absent).exp() * -log_present
        absent = (gamma * log_present).exp() * -log_absent
        return (alpha * labels * present + (1 - alpha) * (1 - labels) * absent).mean()

    return loss


def suggest(trial: Any) -> dict[str, Any]:
    """Search around the paper's table of both params."""
    return {
        "gamma": trial.suggest_float("gamma", 0.0, 4.0),
        "alpha": trial.suggest_float("alpha", 0.1, 0.9),
    }


LOSS = bench.Loss(
    name="binary-focal",
    build=build,
    suggest=suggest,
    preload=("torch",),
    tasks=(bench.Task.MULTI_LABEL,),
)
