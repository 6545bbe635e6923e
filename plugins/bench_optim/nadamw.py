"""NAdamW."""

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
    """NAdamW: AdamW whose momentum looks one step ahead.

    The mean gradient m is taken as beta1 * m + (1 - beta1) * g; the decay is kept apart from the
    gradient, as in `adamw` (Dahl et al., 2023, section on baselines,
    https://arxiv.org/abs/2306.07179; table 1 of Choi et al., 2019,
    https://arxiv.org/abs/1910.05446).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `adamw`, so that the two differ in one thing only.
        beta1: memory of the running mean of the gradient; timm's default.
        beta2: memory of the running mean of the squared gradient; timm's default.
        eps: added to the denominator; timm's default.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default.
    """
    from timm.optim.nadamw import NAdamW

    return NAdamW(
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


OPTIMIZER = bench.Optimizer(name="nadamw", build=build, suggest=suggest, preload=("timm.optim",))
