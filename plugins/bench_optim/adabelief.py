"""AdaBelief."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-16,
    weight_decay: float = 0.0,
) -> Optimizer:
    """AdaBelief: Adam that steps far where gradients are as expected.

    The mean gradient m is divided by the root of the running mean of (g - m)^2, the squared
    surprise, in place of g^2 (Zhuang et al., 2020, https://arxiv.org/abs/2010.07468). Without
    rectification, as timm's `adabelief`.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; the paper's value, and timm's default.
        beta1: memory of the running mean of the gradient; the paper's value.
        beta2: memory of the running mean of the squared surprise; the paper's value.
        eps: added to the surprise and to the denominator; timm's default and that of the paper's
            code.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default of 0.
    """
    from timm.optim.adabelief import AdaBelief

    return AdaBelief(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        rectify=False,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.3, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="adabelief", build=build, suggest=suggest, preload=("timm.optim",))
