"""AdamW, the default optimizer."""

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
    weight_decay: float = 0.01,
) -> Optimizer:
    """Adam with weight decay kept apart from the gradient.

    Loshchilov and Hutter, 2019 (https://arxiv.org/abs/1711.05101): beside Adam's step each
    weight shrinks by lr * weight_decay * w. As in torch, every parameter decays, biases and the
    scales of normalisation included.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `adam`, so that the two differ in one thing only.
        beta1: memory of the running mean of the gradient; torch's default.
        beta2: memory of the running mean of the squared gradient; torch's default.
        eps: added to the denominator; torch's default.
        weight_decay: shrinkage per unit of learning rate; torch's default.
    """
    from torch.optim import AdamW

    return AdamW(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        fused=fused(model),
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 2e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(
    name="adamw", build=build, suggest=suggest, preload=("torch",), default=True
)
