"""No schedule at all."""

from __future__ import annotations

import bench


def build(steps: int, steps_per_epoch: int) -> list[float]:
    """Keep one learning rate from the first step to the last.

    Args:
        steps: training steps of the run.
        steps_per_epoch: not used.

    Returns:
        `steps` times 1.0.
    """
    return [1.0] * steps


SCHEDULE = bench.Schedule(name="constant", build=build)
