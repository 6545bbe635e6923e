"""AdamP."""

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
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    wd_ratio: float = 0.01,
    delta: float = 0.1,
) -> Optimizer:
    """AdamP: Adam without the part of a step that only lengthens weights.

    Where a weight does not depend on its length, as before a normalisation, which is told by a
    gradient at nearly right angles to it, Adam's step loses its component along the weight (Heo et
    al., 2021, https://arxiv.org/abs/2006.08217). With Nesterov's momentum, as timm's `adamp`.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `adam`, so that the two differ in one thing only.
        beta1: memory of the running mean of the gradient; timm's default.
        beta2: memory of the running mean of the squared gradient; timm's default.
        eps: added to the denominator; timm's default.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default of 0.
        wd_ratio: factor of the decay of those weights; timm's `adamp`.
        delta: cosine, times the root of their number, below which an angle is nearly right; the
            paper's value.
    """
    from timm.optim.adamp import AdamP

    return AdamP(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        wd_ratio=wd_ratio,
        delta=delta,
        nesterov=True,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.3, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="adamp", build=build, suggest=suggest, preload=("timm.optim",))
