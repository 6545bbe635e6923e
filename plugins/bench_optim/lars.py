"""LARS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    trust_coeff: float = 0.001,
    eps: float = 1e-8,
) -> Optimizer:
    """LARS: momentum on gradients that are scaled layer by layer to the size of the weights.

    Each gradient becomes trust_coeff * |w| / (|g| + weight_decay * |w|) * (g + weight_decay * w)
    with the Euclidean norms of a layer's weight or bias, then v <- momentum * v + that and w <- w -
    lr * v (You et al., 2017, https://arxiv.org/abs/1708.03888); where a norm is 0 the gradient
    stays as it is. Made for large batches. All parameters are scaled (timm's `always_adapt`,
    without which those without decay would take steps of plain momentum).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; timm's default.
        momentum: share of the velocity that is kept; the paper's value.
        weight_decay: strength of the L2 penalty, added to the gradient; timm's default of 0.
        trust_coeff: how far a layer may move, relative to its size; the paper's value.
        eps: added to the denominator; timm's default.
    """
    from timm.optim.lars import Lars

    return Lars(
        model.parameters(),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        trust_coeff=trust_coeff,
        eps=eps,
        always_adapt=True,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the velocity's memory and the L2 penalty."""
    return {
        "lr": trial.suggest_float("lr", 0.1, 30.0, log=True),
        "momentum": trial.suggest_float("momentum", 0.8, 0.98),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 0.01, log=True),
    }


OPTIMIZER = bench.Optimizer(name="lars", build=build, suggest=suggest, preload=("timm.optim",))
