"""RAdam."""

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
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Rectified Adam: Adam that distrusts its scale while few gradients are known.

    While the squared gradient's running mean rests on too few gradients (the first five steps), the
    step is lr times the mean gradient, unscaled; after them Adam's step, times a factor that rises
    to 1 (Liu et al., 2020, https://arxiv.org/abs/1908.03265). It does for Adam what a warm-up does;
    the default schedule has one besides.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; torch's default.
        beta1: memory of the running mean of the gradient; torch's default.
        beta2: memory of the running mean of the squared gradient; torch's default.
        eps: added to the denominator; torch's default.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import RAdam

    return RAdam(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="radam", build=build, suggest=suggest, preload=("torch",))
