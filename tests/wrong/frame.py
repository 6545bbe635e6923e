"""A plugin whose components do to the checker what they can; and a sound one among them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import bench

BENCH_API = 1


def sound(steps: int, steps_per_epoch: int) -> list[float]:
    """The full rate throughout."""
    return [1.0] * steps


def kills_its_parent(steps: int, steps_per_epoch: int) -> list[float]:
    """The end of the process that started this one."""
    os.kill(os.getppid(), signal.SIGKILL)
    return [1.0] * steps


def loops(steps: int, steps_per_epoch: int) -> list[float]:
    """A loop in C that lets nobody in."""
    return [float(sum(range(10**12)))]


def leaves_a_child(steps: int, steps_per_epoch: int) -> list[float]:
    """The end of this process, but not of the one that it has forked."""
    if os.fork() == 0:
        time.sleep(600)
    os._exit(4)


def reads_stdin(steps: int, steps_per_epoch: int) -> list[float]:
    """A question to whoever sits there."""
    answer = os.read(0, 10)
    return [1.0 + len(answer)] * steps


def deep(steps: int, steps_per_epoch: int) -> Any:
    """A call that ends nowhere."""
    return deep(steps, steps_per_epoch)


@bench.hookimpl
def register_schedules() -> Iterator[bench.Schedule]:
    for build in (sound, kills_its_parent, loops, leaves_a_child, reads_stdin, deep):
        yield bench.Schedule(name=build.__name__.replace("_", "-"), build=build)


def load(data_dir: Any, *, path: str = "") -> bench.Splits:
    """Arrays from a file."""
    import numpy as np

    arrays = np.load(path)
    return bench.Splits(train=(arrays["images"], arrays["labels"]))


@bench.hookimpl
def register_datasets() -> Iterator[bench.Dataset]:
    yield bench.Dataset(
        name="arrays",
        load=load,
        locate=lambda data_dir, *, path="": [path],
        address=os.path.abspath,
    )
