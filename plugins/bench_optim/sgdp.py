"""SGDP."""

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
    weight_decay: float = 0.0,
    wd_ratio: float = 0.1,
    delta: float = 0.1,
    eps: float = 1e-8,
) -> Optimizer:
    """SGDP: Nesterov's momentum without the part of a step that only lengthens weights.

    What `adamp` does to Adam, done to `nesterov` (Heo et al., 2021,
    https://arxiv.org/abs/2006.08217).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `nesterov`, so that the two differ in one thing only.
        momentum: share of the velocity that is kept; the paper's value.
        weight_decay: each weight also shrinks by lr * weight_decay / (1 - momentum) * w; timm's
            default of 0.
        wd_ratio: factor of the decay where the step lost a part; timm's default.
        delta: cosine, times the root of their number, below which an angle is nearly right; the
            paper's value.
        eps: added to norms; timm's default.
    """
    from timm.optim.sgdp import SGDP

    return SGDP(
        model.parameters(),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        wd_ratio=wd_ratio,
        delta=delta,
        eps=eps,
        nesterov=True,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the velocity's memory and the decay."""
    return {
        "lr": trial.suggest_float("lr", 0.003, 0.3, log=True),
        "momentum": trial.suggest_float("momentum", 0.8, 0.98),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 0.01, log=True),
    }


OPTIMIZER = bench.Optimizer(name="sgdp", build=build, suggest=suggest, preload=("timm.optim",))
