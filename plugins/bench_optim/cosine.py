"""Cosine annealing."""

from __future__ import annotations

import math
from typing import Any

import bench


def build(steps: int, steps_per_epoch: int, *, end_factor: float = 0.0) -> list[float]:
    """Fall from the first step on, along half a cosine.

    Loshchilov and Hutter, 2017 (https://arxiv.org/abs/1608.03983), without restarts: at step t
    the factor is end_factor + (1 - end_factor) * (1 + cos(pi * t / steps)) / 2, as in
    `torch.optim.lr_scheduler.CosineAnnealingLR` with T_max = steps.

    Args:
        steps: training steps of the run.
        steps_per_epoch: not used.
        end_factor: factor that would follow the last step.

    Returns:
        `steps` factors of the learning rate, the first of them 1.0.
    """
    return [
        end_factor + (1 - end_factor) * (1 + math.cos(math.pi * step / steps)) / 2
        for step in range(steps)
    ]


def suggest(trial: Any) -> dict[str, Any]:
    """Search where the fall ends."""
    return {"end_factor": trial.suggest_float("end_factor", 0.0, 0.1)}


SCHEDULE = bench.Schedule(name="cosine", build=build, suggest=suggest)
