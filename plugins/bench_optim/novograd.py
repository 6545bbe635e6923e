"""NovoGrad."""

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
    beta1: float = 0.95,
    beta2: float = 0.98,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """NovoGrad: momentum on gradients that each layer divides by their own length.

    v <- beta1 * v + g / (sqrt(n) + eps) + weight_decay * w, then w <- w - lr * v, with n the
    running mean of the squared Euclidean norm of a layer's gradient (Ginsburg et al., 2019,
    https://arxiv.org/abs/1905.11286). It keeps one value for each weight, Adam two.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; timm's default.
        beta1: share of the velocity that is kept; the paper's value.
        beta2: memory of the running mean of the squared norm; the paper's value.
        eps: added to the denominator; timm's default.
        weight_decay: share of the weights that is added to the scaled gradient; timm's default of
            0.
    """
    from timm.optim.nvnovograd import NvNovoGrad

    return NvNovoGrad(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the decay and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.1, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 0.01, log=True),
        "beta1": trial.suggest_float("beta1", 0.85, 0.98),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="novograd", build=build, suggest=suggest, preload=("timm.optim",))
