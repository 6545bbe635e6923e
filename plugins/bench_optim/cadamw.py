"""Cautious AdamW."""

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
    weight_decay: float = 0.01,
) -> Optimizer:
    """Cautious AdamW: AdamW that leaves weights alone whose step and gradient disagree.

    Where the mean gradient and the present one differ in sign a weight does not move, and the other
    steps of its layer are lengthened in return by the share of those that do (Liang et al., 2024,
    https://arxiv.org/abs/2411.16085). Decay as in `adamw`.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `adamw`, so that the two differ in one thing only.
        beta1: memory of the running mean of the gradient; timm's default.
        beta2: memory of the running mean of the squared gradient; timm's default.
        eps: added to the denominator; timm's default.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default, and that of
            `adamw`.
    """
    from timm.optim.adamw import AdamWLegacy

    return AdamWLegacy(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        caution=True,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.3, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="cadamw", build=build, suggest=suggest, preload=("timm.optim",))
