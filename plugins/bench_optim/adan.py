"""Adan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 2e-3,
    beta1: float = 0.98,
    beta2: float = 0.92,
    beta3: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adan: Nesterov's momentum from the differences of successive gradients.

    With m the running mean of the gradient and d that of its change from step to step, the step is
    lr * (m + beta2 * d) / (sqrt(n) + eps), n the running mean of (g + beta2 * change)^2 (Xie et
    al., 2022, https://arxiv.org/abs/2208.06677). It keeps four values for each weight, Adam two.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `adamw`. timm's default is 0.001, and the paper's values are
            larger than those of AdamW beside it.
        beta1: memory of the running mean of the gradient; the paper's value.
        beta2: memory of the running mean of the change; the paper's value.
        beta3: memory of the running mean of the square; the paper's value.
        eps: added to the denominator; the paper's value.
        weight_decay: the weights are divided by 1 + lr * weight_decay; timm's default of 0.
    """
    from timm.optim.adan import Adan

    return Adan(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2, beta3),
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and the memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0002, 0.02, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.3, log=True),
        "beta1": trial.suggest_float("beta1", 0.9, 0.99),
        "beta2": trial.suggest_float("beta2", 0.85, 0.95),
        "beta3": trial.suggest_float("beta3", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="adan", build=build, suggest=suggest, preload=("timm.optim",))
