"""Mini-batch stochastic gradient descent, without momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench
from bench_optim.kernels import fused

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(model: nn.Module, *, lr: float = 0.1, weight_decay: float = 0.0) -> Optimizer:
    """Stochastic gradient descent on mini-batches, without momentum.

    The rule is w <- w - lr * g, with g the gradient of the batch's mean loss
    (Robbins and Monro, 1951, https://doi.org/10.1214/aoms/1177729586).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate. 0.1 is the customary start for networks with batch
            normalisation (He et al., 2016, https://arxiv.org/abs/1512.03385).
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import SGD

    return SGD(model.parameters(), lr=lr, weight_decay=weight_decay, fused=fused(model))


def suggest(trial: Any) -> dict[str, Any]:
    """Search a decade to either side of the default learning rate."""
    return {
        "lr": trial.suggest_float("lr", 1e-2, 1.0, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
    }


OPTIMIZER = bench.Optimizer(name="sgd", build=build, suggest=suggest, preload=("torch",))
