"""RMSprop as TensorFlow has it."""

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
    alpha: float = 0.9,
    eps: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSprop of TensorFlow: `eps` inside the root, and a mean that begins at 1.

    v <- momentum * v + lr * g / sqrt(n + eps), then w <- w - v, with n the running mean of the
    squared gradient. EfficientNets, MobileNets and Inceptions were trained with it (Tan and Le,
    2019, https://arxiv.org/abs/1905.11946).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; 0.256 for batches of 4,096 (Tan and Le, 2021,
            https://arxiv.org/abs/2104.00298), scaled down to 32.
        alpha: memory of the running mean of the squared gradient; that of EfficientNet.
        eps: added to the squared gradient inside the root; timm's recipe for EfficientNets.
        momentum: share of the velocity that is kept; that of EfficientNet.
        weight_decay: strength of the L2 penalty, added to the gradient; timm's default of 0.
    """
    from timm.optim.rmsprop_tf import RMSpropTF

    return RMSpropTF(
        model.parameters(),
        lr=lr,
        alpha=alpha,
        eps=eps,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the mean's memory and the velocity's."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.1, log=True),
        "alpha": trial.suggest_float("alpha", 0.8, 0.99),
        "momentum": trial.suggest_float("momentum", 0.0, 0.95),
    }


OPTIMIZER = bench.Optimizer(name="rmsproptf", build=build, suggest=suggest, preload=("timm.optim",))
