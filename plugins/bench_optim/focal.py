"""Focal loss of the softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import bench
from bench_optim.class_weights import weigher

if TYPE_CHECKING:
    from torch import Tensor


def build(
    num_classes: int, class_counts: Sequence[int], *, gamma: float = 2.0, balance: float = 0.0
) -> Callable[[Tensor, Tensor], Tensor]:
    """Focal loss, a cross-entropy that heeds images the less, the surer they are.

    Lin et al., 2017 (https://arxiv.org/abs/1708.02002), with the softmax in place of their
    sigmoid: the mean over the batch of (1 - p)^gamma * -log(p), p being the probability of the
    true class. Where images were mixed, labels are probabilities (N, C): the loss is that of each
    class, times its share.

    Args:
        num_classes: not used; the counts tell it.
        class_counts: training images of each class.
        gamma: how strongly sure images are passed over, 0 or more; 0 is cross-entropy, 2 the
            paper's choice.
        balance: how far rare classes are made up for, 0 to 1, as for `cross-entropy`; the
            paper's alpha, from the counts.

    Raises:
        bench.ConfigError: `gamma` is below 0, or `balance` lies outside 0 to 1.
    """
    import torch
    from torch.nn import functional

    if gamma < 0:
        raise bench.ConfigError(f"loss `focal`: `gamma` is {gamma}; give 0 or more")
    weigh = weigher(class_counts, balance, "focal")
    # A root is infinitely steep at 0, which a sure image reaches.
    least = torch.finfo(torch.float32).tiny

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        # float32 also under bfloat16 autocast: 1 - p is a difference of like numbers.
        log_p = functional.log_softmax(logits.float(), dim=-1)
        unsure = -torch.expm1(log_p)
        each = unsure.clamp_min(least) ** gamma * -log_p
        return (weigh(labels) * each).sum(1).mean()

    return loss


def suggest(trial: Any) -> dict[str, Any]:
    """Search how strongly sure images are passed over, from cross-entropy to twice the paper's."""
    return {"gamma": trial.suggest_float("gamma", 0.0, 4.0)}


LOSS = bench.Loss(name="focal", build=build, suggest=suggest, preload=("torch",))
