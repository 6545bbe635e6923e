"""Stochastic gradient descent in its first form: one image, one update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench
from bench_optim.kernels import fused

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(model: nn.Module, *, lr: float = 0.01) -> Optimizer:
    """Stochastic gradient descent on one image at a time (pins `batch_size=1`).

    The rule is w <- w - lr * g, with g the gradient of a single image's loss
    (Robbins and Monro, 1951, https://doi.org/10.1214/aoms/1177729586). An epoch takes as many
    updates as there are images, so it is much slower than with mini-batches.

    Args:
        model: the network whose parameters are updated. Batch normalisation sees one image at
            a time; layers that normalise a single value per channel cannot be trained so.
        lr: peak learning rate; a tenth of that of `sgd`, for the noisier gradient.
    """
    from torch.optim import SGD

    return SGD(model.parameters(), lr=lr, fused=fused(model))


def suggest(trial: Any) -> dict[str, Any]:
    """Search about a decade to either side of the default learning rate."""
    return {"lr": trial.suggest_float("lr", 1e-3, 5e-2, log=True)}


OPTIMIZER = bench.Optimizer(
    name="sgd-vanilla",
    build=build,
    suggest=suggest,
    pins={"batch_size": 1},
    preload=("torch",),
)
