"""Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench
from bench_optim.kernels import fused

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam: steps scaled by running means of the gradient and of its square.

    Kingma and Ba, 2015 (https://arxiv.org/abs/1412.6980), from which all defaults come but `lr`.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; twice the paper's 0.001, since a warm-up leads to it and a decay
            away from it.
        beta1: memory of the running mean of the gradient.
        beta2: memory of the running mean of the squared gradient.
        eps: added to the denominator.
        weight_decay: strength of the L2 penalty, added to the gradient; see `adamw` for decay
            that is kept apart from it.
    """
    from torch.optim import Adam

    return Adam(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        fused=fused(model),
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and both memories."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 2e-2, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="adam", build=build, suggest=suggest, preload=("torch",))
