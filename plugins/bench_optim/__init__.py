"""The built-in optimizers, learning-rate schedules and losses: one file for each."""

from __future__ import annotations

import bench
from bench_optim import (
    adam,
    adamw,
    binary_cross_entropy,
    binary_focal,
    constant,
    cosine,
    cross_entropy,
    focal,
    momentum,
    mse,
    nesterov,
    one_cycle,
    reduce_on_plateau,
    rmsprop,
    sgd,
    sgd_vanilla,
    step,
)


@bench.hookimpl
def register_optimizers() -> list[bench.Optimizer]:
    """Return the built-in optimizers."""
    return [
        sgd.OPTIMIZER,
        sgd_vanilla.OPTIMIZER,
        momentum.OPTIMIZER,
        nesterov.OPTIMIZER,
        adam.OPTIMIZER,
        adamw.OPTIMIZER,
        rmsprop.OPTIMIZER,
    ]


@bench.hookimpl
def register_schedules() -> list[bench.Schedule]:
    """Return the built-in learning-rate schedules."""
    return [
        one_cycle.SCHEDULE,
        constant.SCHEDULE,
        cosine.SCHEDULE,
        step.SCHEDULE,
        reduce_on_plateau.SCHEDULE,
    ]


@bench.hookimpl
def register_losses() -> list[bench.Loss]:
    """Return the built-in losses."""
    return [
        cross_entropy.LOSS,
        focal.LOSS,
        mse.LOSS,
        binary_cross_entropy.LOSS,
        binary_focal.LOSS,
    ]
