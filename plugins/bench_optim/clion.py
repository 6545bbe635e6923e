"""Cautious Lion."""

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
    """Cautious Lion: Lion that leaves weights alone whose step and gradient disagree.

    What `cadamw` does to AdamW, done to `lion` (Liang et al., 2024,
    https://arxiv.org/abs/2411.16085).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `lion`, so that the two differ in one thing only.
        beta1: share of the mean in the step; that of `lion`.
        beta2: memory of the running mean of the gradient; that of `lion`.
        weight_decay: each weight also shrinks by lr * weight_decay * w; that of `lion`.
    """
    from timm.optim.lion import Lion

    return Lion(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        weight_decay=weight_decay,
        caution=True,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 3e-5, 0.003, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.001, 3.0, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="clion", build=build, suggest=suggest, preload=("timm.optim",))
