"""The one-cycle policy, the default schedule."""

from __future__ import annotations

import math
from typing import Any

import bench


def build(
    steps: int,
    steps_per_epoch: int,
    *,
    warmup: float = 0.3,
    start_factor: float = 1 / 25,
    end_factor: float = 1 / 250_000,
) -> list[float]:
    """Rise to the peak and fall to almost nothing, both along half a cosine.

    Smith and Topin, 2019 (https://arxiv.org/abs/1708.07120), with the defaults and step for step
    the factors of `torch.optim.lr_scheduler.OneCycleLR`: the optimizer's learning rate is the
    peak. Only the learning rate moves; momentum is not cycled.

    Args:
        steps: training steps of the run.
        steps_per_epoch: not used.
        warmup: part of the run that rises, 0 to 1.
        start_factor: factor of the first step.
        end_factor: factor of the last step.

    Returns:
        `steps` factors of the peak learning rate.

    Raises:
        bench.ConfigError: `warmup` lies outside 0 to 1.
    """
    if not 0 <= warmup <= 1:
        raise bench.ConfigError(
            f"schedule `one-cycle`: `warmup` is {warmup}; give a part of the run, 0 to 1"
        )
    # The peak may fall between two steps, as in torch; with few steps even before the first.
    peak = warmup * steps - 1
    last = steps - 1
    factors = []
    for step in range(steps):
        if step <= peak:
            factors.append(_between(start_factor, 1.0, step / peak if peak else 1.0))
        else:
            factors.append(_between(1.0, end_factor, (step - peak) / (last - peak)))
    return factors


def _between(start: float, end: float, progress: float) -> float:
    """Return the value at `progress`, 0 to 1, of half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def suggest(trial: Any) -> dict[str, Any]:
    """Search how long the rate rises, and from what."""
    return {
        "warmup": trial.suggest_float("warmup", 0.05, 0.5),
        "start_factor": trial.suggest_float("start_factor", 0.01, 0.5, log=True),
    }


SCHEDULE = bench.Schedule(name="one-cycle", build=build, suggest=suggest, default=True)
