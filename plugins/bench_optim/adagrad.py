"""AdaGrad."""

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
    lr_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> Optimizer:
    """AdaGrad: gradients divided by the root of the sum of all their squares.

    The rule is w <- w - lr * g / (sqrt(s) + eps), with s the sum of g^2 over all steps, so that
    steps grow shorter by themselves (Duchi et al., 2011,
    https://jmlr.org/papers/v12/duchi11a.html).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; torch's default.
        lr_decay: the learning rate is divided by 1 + lr_decay * steps; torch's default of 0, for
            there is a schedule.
        initial_accumulator_value: the sum before the first step; torch's default.
        eps: added to the denominator; torch's default.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import Adagrad

    return Adagrad(
        model.parameters(),
        lr=lr,
        lr_decay=lr_decay,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, and the sum to begin with."""
    return {
        "lr": trial.suggest_float("lr", 0.001, 0.1, log=True),
        "initial_accumulator_value": trial.suggest_float("initial_accumulator_value", 0.0, 0.1),
    }


OPTIMIZER = bench.Optimizer(name="adagrad", build=build, suggest=suggest, preload=("torch",))
