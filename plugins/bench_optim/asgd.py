"""Averaged stochastic gradient descent, as torch has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 0.1,
    lambd: float = 1e-4,
    alpha: float = 0.75,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Take the steps of averaged SGD; the average itself is left to `--averaging`.

    The rule is w <- (1 - lambd * e) * w - e * g with e = lr / (1 + lambd * lr * t)^alpha (Polyak
    and Juditsky, 1992, https://doi.org/10.1137/0330046, as in Bottou, 2010,
    https://doi.org/10.1007/978-3-7908-2604-3_16). torch keeps the mean of the weights beside the
    network and puts it nowhere, so what is evaluated here are the weights of the steps; for
    averaged ones add `--averaging ema` or `--averaging swa`. A learning rate of the schedule takes
    effect one step later than with other optimizers.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `sgd`, so that the two differ in one thing only. torch's
            default is 0.01.
        lambd: shrinkage of the weights per unit of learning rate, and how fast e falls; torch's
            default.
        alpha: power with which e falls; torch's default.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import ASGD

    return ASGD(
        model.parameters(),
        lr=lr,
        lambd=lambd,
        alpha=alpha,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and its decay."""
    return {
        "lr": trial.suggest_float("lr", 0.01, 1.0, log=True),
        "lambd": trial.suggest_float("lambd", 1e-6, 0.01, log=True),
        "alpha": trial.suggest_float("alpha", 0.5, 1.0),
    }


OPTIMIZER = bench.Optimizer(name="asgd", build=build, suggest=suggest, preload=("torch",))
