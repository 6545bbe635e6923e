"""Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 3e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Lion: the sign of a running mean of the gradient.

    The rule is w <- w - lr * sign(beta1 * m + (1 - beta1) * g), then m <- beta2 * m + (1 - beta2) *
    g: every weight moves by the same amount (Chen et al., 2023, https://arxiv.org/abs/2302.06675).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; a seventh of that of `adamw`, for the paper advises 3 to 10 times
            less.
        beta1: share of the mean in the step; the paper's value.
        beta2: memory of the running mean of the gradient; the paper's value.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default of 0; the
            paper has 3 to 10 times that of AdamW.
    """
    from timm.optim.lion import Lion

    return Lion(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 3e-5, 0.003, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.001, 3.0, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="lion", build=build, suggest=suggest, preload=("timm.optim",))
