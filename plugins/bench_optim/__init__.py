"""The built-in optimizers, learning-rate schedules and losses: one file for each."""

from __future__ import annotations

import bench
from bench_optim import (
    adabelief,
    adadelta,
    adafactor,
    adagrad,
    adam,
    adamax,
    adamp,
    adamw,
    adan,
    adopt,
    asgd,
    binary_cross_entropy,
    binary_focal,
    cadamw,
    clion,
    constant,
    cosine,
    cross_entropy,
    focal,
    lamb,
    laprop,
    lars,
    lion,
    madgrad,
    mars,
    momentum,
    mse,
    muon,
    nadam,
    nadamw,
    nesterov,
    novograd,
    one_cycle,
    radam,
    reduce_on_plateau,
    rmsprop,
    rmsproptf,
    sgd,
    sgd_vanilla,
    sgdp,
    sgdw,
    step,
)

BENCH_API = 1


@bench.hookimpl
def register_optimizers() -> list[bench.Optimizer]:
    """Return the built-in optimizers."""
    return [
        sgd.OPTIMIZER,
        sgd_vanilla.OPTIMIZER,
        momentum.OPTIMIZER,
        nesterov.OPTIMIZER,
        sgdw.OPTIMIZER,
        sgdp.OPTIMIZER,
        asgd.OPTIMIZER,
        lars.OPTIMIZER,
        adam.OPTIMIZER,
        adamw.OPTIMIZER,
        nadam.OPTIMIZER,
        nadamw.OPTIMIZER,
        radam.OPTIMIZER,
        adamax.OPTIMIZER,
        adabelief.OPTIMIZER,
        adamp.OPTIMIZER,
        adan.OPTIMIZER,
        adopt.OPTIMIZER,
        laprop.OPTIMIZER,
        mars.OPTIMIZER,
        cadamw.OPTIMIZER,
        lamb.OPTIMIZER,
        novograd.OPTIMIZER,
        rmsprop.OPTIMIZER,
        rmsproptf.OPTIMIZER,
        adagrad.OPTIMIZER,
        adadelta.OPTIMIZER,
        adafactor.OPTIMIZER,
        madgrad.OPTIMIZER,
        lion.OPTIMIZER,
        clion.OPTIMIZER,
        muon.OPTIMIZER,
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
