"""Mini-batch gradient descent with Nesterov's momentum."""

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
    """Mini-batch gradient descent with Nesterov's momentum.

    The velocity v <- momentum * v + g is looked one step ahead, w <- w - lr * (g + momentum * v);
    torch follows the form of Sutskever et al., 2013
    (https://proceedings.mlr.press/v28/sutskever13.html).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `momentum`, so that the two differ in one thing only.
        momentum: share of the velocity that is kept, above 0; 0.9 as for `momentum`.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.

    Raises:
        bench.ConfigError: `momentum` is not above 0, which leaves nothing to look ahead with.
    """
    from torch.optim import SGD

    if momentum <= 0:
        raise bench.ConfigError(
            f"optimizer `nesterov`: `momentum` is {momentum}; give a value above 0, or use `sgd`"
        )
    optimizer = SGD(
        model.parameters(),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=True,
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


OPTIMIZER = bench.Optimizer(name="nesterov", build=build, suggest=suggest, preload=("torch",))
