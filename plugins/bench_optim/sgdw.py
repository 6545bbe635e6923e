"""SGDW."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 0.02,
    momentum: float = 0.9,
    weight_decay: float = 0.01,
) -> Optimizer:
    """SGDW: Nesterov's momentum with weight decay kept apart from the gradient.

    Beside the step of `nesterov` each weight shrinks by lr * weight_decay * w (Loshchilov and
    Hutter, 2019, https://arxiv.org/abs/1711.05101). With Nesterov's momentum, as timm's `sgdw`.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `nesterov`, so that the two differ in one thing only.
        momentum: share of the velocity that is kept; 0.9 as for `momentum`.
        weight_decay: each weight also shrinks by lr * weight_decay * w; 0.01 as for `adamw`;
            without any it would be `nesterov`.
    """
    from timm.optim.sgdw import SGDW

    return SGDW(
        model.parameters(),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=True,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the velocity's memory and the decay."""
    return {
        "lr": trial.suggest_float("lr", 0.003, 0.3, log=True),
        "momentum": trial.suggest_float("momentum", 0.8, 0.98),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.1, log=True),
    }


OPTIMIZER = bench.Optimizer(name="sgdw", build=build, suggest=suggest, preload=("timm.optim",))
