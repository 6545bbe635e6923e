"""NAdam."""

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
    momentum_decay: float = 4e-3,
    weight_decay: float = 0.0,
) -> Optimizer:
    """NAdam: Adam whose momentum looks one step ahead.

    As in Adam the step is lr * m / (sqrt(v) + eps), with m and v the running means of the gradient
    and of its square; but m is taken as it will be after the next step, a mixture of the present
    mean and the present gradient (Dozat, 2016,
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; torch's default and that of `adam`.
        beta1: memory of the running mean of the gradient; torch's default.
        beta2: memory of the running mean of the squared gradient; torch's default.
        eps: added to the denominator; torch's default.
        momentum_decay: how fast the share of the mean rises from beta1 / 2 to beta1, per step;
            torch's default, the paper's.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import NAdam

    return NAdam(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        momentum_decay=momentum_decay,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="nadam", build=build, suggest=suggest, preload=("torch",))
