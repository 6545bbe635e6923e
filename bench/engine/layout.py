"""The layout of images and weights in memory: planes one after the other, or channels last.

Which is faster depends on the model and on the device: on one CPU, channels last halved the time
of one network and gave another nothing. So a few training steps are tried in each. The choice is
kept (see `measured`), so that all seeds of a cell run alike; and since no figure of a record comes
from it, runs that share the machine make it too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from bench.engine import device as devices
from bench.engine import generators, measured

SHARE = 0.05
"""Part of a run's steps that the trial may take; a run too short for one goes without.

It is paid once for all runs of a model at a shape, and halved the time of some of them.
"""
WARM_UPS = 2
MOST_ROUNDS = 5
WORTHWHILE = 1.03
"""How many times faster than the usual layout of a device the other one must be."""
LAYOUTS = {"contiguous_format": torch.contiguous_format, "channels_last": torch.channels_last}


def usual(device: str) -> torch.memory_format:
    """Return the layout where nothing is tried: channels last suits tensor cores."""
    return torch.channels_last if device == "cuda" else torch.contiguous_format


def choose(
    build: Callable[[], nn.Module],
    shape: tuple[int, int, int, int],
    device: str,
    precision: str,
    subject: Mapping[str, Any],
    *,
    steps: int,
    deterministic: bool,
) -> torch.memory_format:
    """Return the layout in which a model trains faster.

    All random generators stay as they were. Peak memory does not: reset it afterwards.

    Args:
        build: makes the model, on its device.
        shape: (batch, channels, height, width) of a training step's images.
        device: `cpu` or `cuda`.
        precision: under which the model runs.
        subject: what speed depends on, as `measured.subject_of` says.
        steps: of the run.
        deterministic: whether the choice must not hang on a clock.
    """
    rounds = int(SHARE * steps - 2 * WARM_UPS) // 4
    if deterministic or rounds < 1:
        return usual(device)
    subject = {**subject, "shape": list(shape)}
    # Two processes that both tried might come to different choices for one cell.
    with measured.alone("layout", subject):
        found = measured.recall("layout", subject, _is_sound)
        if found is not None:
            return LAYOUTS[found["memory_format"]]
        try:
            with generators.kept(device):
                found = _try(build, shape, device, precision, min(rounds, MOST_ROUNDS))
        # Whatever is wrong with the model, the run itself will say it better.
        except (Exception, SystemExit):
            found = None
        _free(device)
        if found is None:
            return usual(device)
        measured.keep("layout", subject, found)
    return LAYOUTS[found["memory_format"]]


def _try(
    build: Callable[[], nn.Module],
    shape: tuple[int, int, int, int],
    device: str,
    precision: str,
    rounds: int,
) -> dict[str, Any]:
    """Return the name of the faster layout, with the seconds of a step in each."""
    first, other = usual(device), _other(usual(device))
    model = build().train()
    if not any(parameter.ndim == 4 for parameter in model.parameters()):
        return {"memory_format": _name(first), "seconds": {}}
    images = torch.randn(shape, device=device)
    best = {first: float("inf"), other: float("inf")}

    def steps(layout: torch.memory_format, count: int) -> float:
        """Take steps in a layout and return the seconds of the quickest.

        On a CPU they are those that this thread was given: its neighbours weigh less on them.
        """
        clock = time.perf_counter if device == "cuda" else time.thread_time
        model.to(memory_format=layout)
        given = images.contiguous(memory_format=layout)
        seconds = []
        for _ in range(count):
            devices.synchronize(device)
            start = clock()
            with devices.autocast(device, precision):
                logits = model(given)
            logits.float().square().mean().backward()
            devices.synchronize(device)
            seconds.append(clock() - start)
            model.zero_grad(set_to_none=True)
        return min(seconds)

    for layout in (first, other):
        steps(layout, WARM_UPS)
    # In turn, so that a clock that slows down, or a neighbour, weighs on both.
    for layout in (first, other, other, first):
        best[layout] = min(best[layout], steps(layout, rounds))
    faster = other if best[other] * WORTHWHILE < best[first] else first
    return {
        "memory_format": _name(faster),
        "seconds": {_name(layout): seconds for layout, seconds in best.items()},
    }


def _free(device: str) -> None:
    """Give back what a trial took; modules that refer to each other wait for the collector."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def _other(layout: torch.memory_format) -> torch.memory_format:
    return next(each for each in LAYOUTS.values() if each is not layout)


def _name(layout: torch.memory_format) -> str:
    return str(layout).removeprefix("torch.")


def _is_sound(found: dict[str, Any]) -> bool:
    return found.get("memory_format") in list(LAYOUTS)
