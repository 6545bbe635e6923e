"""ADOPT."""

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
    beta2: float = 0.9999,
    eps: float = 1e-6,
    clip_exp: float = 0.333,
    weight_decay: float = 0.0,
) -> Optimizer:
    """ADOPT: Adam with the gradient scaled before it enters the mean.

    The gradient is divided by the root of the running mean of the squared gradients before it, cut
    to t^clip_exp in size at step t, and then averaged; so it converges with any beta2 (Taniguchi et
    al., 2024, https://arxiv.org/abs/2411.02853). The first step only measures: no weight moves.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; the default of the paper's code and of timm.
        beta1: memory of the running mean of the gradient; the paper's value.
        beta2: memory of the running mean of the squared gradient; the paper's value.
        eps: smallest denominator; the paper's value.
        clip_exp: power of the step's number to which scaled gradients are cut; timm's default. The
            paper's is 0.25.
        weight_decay: strength of the L2 penalty, added to the gradient; timm's default of 0.
    """
    from timm.optim.adopt import Adopt

    return Adopt(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        clip_exp=clip_exp,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.9999),
    }


OPTIMIZER = bench.Optimizer(name="adopt", build=build, suggest=suggest, preload=("timm.optim",))
