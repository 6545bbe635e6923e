"""Mini-batch gradient descent with momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench
from bench_optim.kernels import fused, with_velocities

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module, *, lr: float = 0.02, momentum: float = 0.9, weight_decay: float = 0.0
) -> Optimizer:
    """Mini-batch gradient descent with momentum.

    A velocity sums up past gradients, v <- momentum * v + g, and w <- w - lr * v
    (Polyak, 1964, https://doi.org/10.1016/0041-5553(64)90137-5).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; a fifth of that of `sgd`, for the velocity multiplies a steady
            gradient by 1 / (1 - momentum).
        momentum: share of the velocity that is kept; 0.9 as in Krizhevsky et al., 2012
            (https://doi.org/10.1145/3065386).
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import SGD

    optimizer = SGD(
        model.parameters(),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        fused=fused(model),
    )
    return with_velocities(optimizer)


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the velocity's memory and the L2 penalty."""
    return {
        "lr": trial.suggest_float("lr", 3e-3, 0.3, log=True),
        "momentum": trial.suggest_float("momentum", 0.8, 0.98),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


OPTIMIZER = bench.Optimizer(name="momentum", build=build, suggest=suggest, preload=("torch",))
