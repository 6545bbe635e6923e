"""LaProp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 4e-4,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-15,
    weight_decay: float = 0.0,
) -> Optimizer:
    """LaProp: Adam with the gradient scaled before it enters the mean.

    The step is lr times the running mean of g / (sqrt(v) + eps), v the running mean of the squared
    gradient, this one included (Ziyin et al., 2020, https://arxiv.org/abs/2002.04839).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of the paper's code, and timm's default.
        beta1: memory of the running mean of the scaled gradient; the paper's value.
        beta2: memory of the running mean of the squared gradient; timm's default.
        eps: added to the denominator; the paper's value.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default of 0.
    """
    from timm.optim.laprop import LaProp

    return LaProp(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.3, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="laprop", build=build, suggest=suggest, preload=("timm.optim",))
