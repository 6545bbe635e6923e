"""MARS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 3e-3,
    beta1: float = 0.9,
    beta2: float = 0.99,
    eps: float = 1e-8,
    gamma: float = 0.025,
    weight_decay: float = 0.0,
) -> Optimizer:
    """MARS: AdamW on gradients that are corrected by how they changed.

    c = g + gamma * beta1 / (1 - beta1) * (g - previous g), cut to a Euclidean norm of 1, takes the
    gradient's place in AdamW (Yuan et al., 2024, https://arxiv.org/abs/2411.10438); the previous
    gradient is that of the previous batch, the paper's approximate form. Biases and the scales of
    normalisation take AdamW's own step.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of the paper's code, and timm's default.
        beta1: memory of the running mean of the gradient; timm's default. The paper's is 0.95.
        beta2: memory of the running mean of the squared gradient; the paper's value.
        eps: added to the denominator; the paper's value.
        gamma: strength of the correction; the paper's value.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default of 0.
    """
    from timm.optim.mars import Mars

    return Mars(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        gamma=gamma,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay, the correction and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0003, 0.03, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.3, log=True),
        "gamma": trial.suggest_float("gamma", 0.005, 0.1, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.98),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="mars", build=build, suggest=suggest, preload=("timm.optim",))
