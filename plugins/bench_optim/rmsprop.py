"""RMSprop."""

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
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSprop: gradients divided by a running root mean square.

    Hinton's lecture 6 of 2012
    (https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; Keras' default, and a tenth of torch's: the first steps,
            where the running mean is still near zero, are up to ten times longer.
        alpha: memory of the running mean of the squared gradient; torch's default.
        eps: added to the root; torch's default.
        momentum: share of a velocity of scaled gradients that is kept; torch's default of none.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import RMSprop

    return RMSprop(
        model.parameters(),
        lr=lr,
        alpha=alpha,
        eps=eps,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the running mean's memory and the velocity's."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "alpha": trial.suggest_float("alpha", 0.9, 0.999),
        "momentum": trial.suggest_float("momentum", 0.0, 0.9),
    }


OPTIMIZER = bench.Optimizer(name="rmsprop", build=build, suggest=suggest, preload=("torch",))
