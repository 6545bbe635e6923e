"""Reduction of the learning rate where validation no longer improves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import bench


def build(
    steps: int,
    steps_per_epoch: int,
    *,
    factor: float = 0.1,
    patience: int = 2,
    threshold: float = 1e-4,
    cooldown: int = 0,
    min_factor: float = 0.0,
) -> Callable[[Sequence[bench.EpochMetrics]], float]:
    """Reduce the learning rate when the val loss has stopped falling.

    Epoch for epoch as `torch.optim.lr_scheduler.ReduceLROnPlateau` with mode `min` and
    threshold_mode `rel`, and with its defaults but for `patience`: torch's 10 would come too late
    in a run of 10 epochs.

    Args:
        steps: not used.
        steps_per_epoch: not used.
        factor: what each reduction multiplies the learning rate by, between 0 and 1.
        patience: epochs in a row without improvement that are put up with; the next one brings
            the reduction.
        threshold: part of the lowest val loss so far by which a lower one has to undercut it.
        cooldown: epochs after a reduction that do not count as lacking improvement.
        min_factor: the lowest factor, 0 to 1.

    Returns:
        A function of the finished epochs: the factor of the next one.

    Raises:
        bench.ConfigError: a param lies outside its range.
    """
    _check("factor", factor, 0 < factor < 1, "a value between 0 and 1")
    _check("patience", patience, patience >= 0, "0 or more")
    _check("threshold", threshold, 0 <= threshold < 1, "0 to below 1")
    _check("cooldown", cooldown, cooldown >= 0, "0 or more")
    _check("min_factor", min_factor, 0 <= min_factor <= 1, "0 to 1")

    def next_factor(finished: Sequence[bench.EpochMetrics]) -> float:
        current, best = 1.0, math.inf
        waited = resting = 0
        for epoch in finished:
            waited += 1
            if epoch.val_loss < best * (1 - threshold):
                best, waited = epoch.val_loss, 0
            if resting:
                resting, waited = resting - 1, 0
            if waited > patience:
                current, waited, resting = max(current * factor, min_factor), 0, cooldown
        return current

    return next_factor


def _check(name: str, value: float, is_right: bool, wanted: str) -> None:
    if not is_right:
        raise bench.ConfigError(f"schedule `reduce-on-plateau`: `{name}` is {value}; give {wanted}")


def suggest(trial: Any) -> dict[str, Any]:
    """Search how far the rate drops, and after how long a wait."""
    return {
        "factor": trial.suggest_float("factor", 0.05, 0.7, log=True),
        "patience": trial.suggest_int("patience", 0, 4),
    }


SCHEDULE = bench.Schedule(name="reduce-on-plateau", build=build, suggest=suggest)
