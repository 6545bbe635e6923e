"""MADGRAD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 1e-2,
    momentum: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Optimizer:
    """MADGRAD: steps from the first weights, along the weighted sum of all gradients.

    With l = lr * sqrt(t), s the sum of l * g and n that of l * g^2, the weights move towards z =
    w_0 - s / (n^(1/3) + eps) by w <- momentum * w + (1 - momentum) * z (Defazio and Jelassi, 2021,
    https://arxiv.org/abs/2101.11075). A learning rate that falls weighs later gradients less; it
    does not make the weights stand still.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; the default of the paper's code and of timm.
        momentum: share of the velocity that is kept; timm's default and the paper's value.
        eps: added to the denominator, and to the learning rate; timm's default.
        weight_decay: strength of the L2 penalty, added to the gradient; timm's default of 0; the
            paper advises little or none.
    """
    from timm.optim.madgrad import MADGRAD

    return MADGRAD(
        model.parameters(),
        lr=lr,
        momentum=momentum,
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and the share of the weights that is kept."""
    return {
        "lr": trial.suggest_float("lr", 0.0003, 0.1, log=True),
        "momentum": trial.suggest_float("momentum", 0.8, 0.98),
    }


OPTIMIZER = bench.Optimizer(name="madgrad", build=build, suggest=suggest, preload=("timm.optim",))
