"""Schedules each of which breaks one rule."""

from __future__ import annotations

import math
import random

import bench

BENCH_API = 1


def warm(steps, steps_per_epoch, *, warmup=0.3):
    """Rise, then stay; sound."""
    if not 0 <= warmup < 1:
        raise bench.ConfigError(f"schedule `warm`: `warmup` is {warmup}; give 0 to below 1")
    return [min(1.0, (step + 1) / max(1, round(warmup * steps))) for step in range(steps)]


def too_few(steps, steps_per_epoch):
    """Give a factor for each epoch."""
    return [0.9**epoch for epoch in range(steps // steps_per_epoch)]


def endless(steps, steps_per_epoch):
    """Divide by how far there is still to go."""
    return [math.inf if step == steps - 1 else 1 / (steps - 1 - step) for step in range(steps)]


def last_epoch(steps, steps_per_epoch):
    """Look at an epoch that may not be there."""
    return lambda finished: 1.0 if finished[-1].val_loss < 1 else 0.1


def below_zero(steps, steps_per_epoch):
    """Fall on and on."""
    return [1 - 1.1 * step / steps for step in range(steps)]


def nothing(steps, steps_per_epoch):
    """Keep the rate at 0."""
    return [0.0] * steps


def jittered(steps, steps_per_epoch):
    """Draw factors."""
    return [random.uniform(0.5, 1.0) for _ in range(steps)]


def long_runs_only(steps, steps_per_epoch):
    """Fall from the first step to the last, which may be the same."""
    return [1 - step / (steps - 1) for step in range(steps)]


def counting(steps, steps_per_epoch):
    """Count calls."""
    calls = []

    def factor(finished):
        calls.append(len(finished))
        return 0.9 ** len(calls)

    return factor


def emptying(steps, steps_per_epoch):
    """Take epochs out of the list."""

    def factor(finished):
        best = 1.0
        while finished:
            best = min(best, finished.pop().val_loss)
        return 1.0 if best < 1 else 0.5

    return factor


def all_of_it(trial):
    return {"warmup": trial.suggest_float("warmup", 0.1, 1.0)}


def as_text(trial):
    return {"warmup": trial.suggest_categorical("warmup", ["short", "long"])}


@bench.hookimpl
def register_schedules():
    return [
        bench.Schedule(name="sound", build=warm),
        bench.Schedule(name="too-few", build=too_few),
        bench.Schedule(name="endless", build=endless),
        bench.Schedule(name="last-epoch", build=last_epoch),
        bench.Schedule(name="below-zero", build=below_zero),
        bench.Schedule(name="nothing", build=nothing),
        bench.Schedule(name="jittered", build=jittered),
        bench.Schedule(name="long-runs-only", build=long_runs_only),
        bench.Schedule(name="counting", build=counting),
        bench.Schedule(name="emptying", build=emptying),
        bench.Schedule(name="suggests-all-of-it", build=warm, suggest=all_of_it),
        bench.Schedule(name="suggests-text", build=warm, suggest=as_text),
    ]
