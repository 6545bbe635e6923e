"""Adadelta."""

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
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adadelta: steps in the units of the weights, from a ratio of two running means.

    The step is sqrt(d + eps) / sqrt(v + eps) * g, with v and d the running means of the squared
    gradients and of the squared steps; it wants no learning rate (Zeiler, 2012,
    https://arxiv.org/abs/1212.5701).

    Args:
        model: the network whose parameters are updated.
        lr: factor of the step; the paper has none, which is 1, torch's default.
        rho: memory of both running means; torch's default.
        eps: added to both means; the first steps are as long as it allows; torch's default and the
            paper's value.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import Adadelta

    return Adadelta(
        model.parameters(),
        lr=lr,
        rho=rho,
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the factor of the step, the memory and `eps`."""
    return {
        "lr": trial.suggest_float("lr", 0.1, 10.0, log=True),
        "rho": trial.suggest_float("rho", 0.8, 0.99),
        "eps": trial.suggest_float("eps", 1e-8, 0.0001, log=True),
    }


OPTIMIZER = bench.Optimizer(name="adadelta", build=build, suggest=suggest, preload=("torch",))
