"""Step decay."""

from __future__ import annotations

from typing import Any

import bench


def build(
    steps: int,
    steps_per_epoch: int,
    *,
    drops: int = 2,
    factor: float = 0.1,
    every: float | None = None,
) -> list[float]:
    """Drop the learning rate at equal distances, by a tenth each time.

    The run is cut into `drops` + 1 equal parts. With the defaults this is the classic recipe for
    ImageNet, 90 epochs with a tenfold drop after 30 and 60 (He et al., 2016,
    https://arxiv.org/abs/1512.03385, as torchvision's reference script has it), made independent
    of the number of epochs.

    Args:
        steps: training steps of the run.
        steps_per_epoch: training steps of an epoch.
        drops: how often the learning rate drops, 0 or more; it may do so inside an epoch.
        factor: what each drop multiplies the learning rate by.
        every: epochs from one drop to the next, in place of `drops`, as in
            `torch.optim.lr_scheduler.StepLR`.

    Returns:
        `steps` factors of the learning rate, the first of them 1.0.

    Raises:
        bench.ConfigError: `drops` is below 0, or `every` not above 0.
    """
    if drops < 0:
        raise bench.ConfigError(f"schedule `step`: `drops` is {drops}; give 0 or more")
    if every is None:
        return [float(factor) ** (step * (drops + 1) // steps) for step in range(steps)]
    if every <= 0:
        raise bench.ConfigError(f"schedule `step`: `every` is {every}; give epochs, more than 0")
    # Whole steps: a quotient of floats may fall short of the whole number that it stands for.
    size = max(1, round(every * steps_per_epoch))
    return [float(factor) ** (step // size) for step in range(steps)]


def suggest(trial: Any) -> dict[str, Any]:
    """Search how often the rate drops, and how far."""
    return {
        "drops": trial.suggest_int("drops", 1, 4),
        "factor": trial.suggest_float("factor", 0.05, 0.5, log=True),
    }


SCHEDULE = bench.Schedule(name="step", build=build, suggest=suggest)
