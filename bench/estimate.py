"""How long runs will take, said before anything heavy is imported.

The best source is the past: the same model on the same data and device. Without one, a cost
model adds up what a training step spends on arithmetic, on layers and on weights. Its rates were
fitted to measurements on one machine and are scaled by a short matrix product on this one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench import hardware
from bench.records import Mode, Purpose, RunRecord, RunSpec, RunStatus
from bench.selection import TEST_PART
from bench.specs import DatasetHints, ModelHints

UNKNOWN_DATA = DatasetHints(train=10_000, test=2_000, image_size=64)
UNKNOWN_MODEL = ModelHints(family="unknown", parameters=10_000_000, macs=10**9, layers=100)
START_SECONDS = {"cpu": 18.0, "cuda": 22.0}
"""Importing torch and a model library in the worker server, once an experiment."""
REHEARSAL_STEPS = 3


@dataclass(frozen=True)
class Rates:
    """What a training step costs, in seconds.

    Attributes:
        per_mac: arithmetic, for a multiply-accumulate of the forward pass of one image.
        per_layer: dispatch of forward, backward and update, for a module with weights.
        per_parameter: the optimizer's update.
        per_step: what every step costs, however small the network.
        evaluation: share of a training image's cost that an evaluation takes.
    """

    per_mac: float
    per_layer: float
    per_parameter: float
    per_step: float
    evaluation: float


# CPU: fitted to steps of batch 32 of fourteen networks, from a small CNN to VGG-16 and a ViT, on
# two cores (AMD EPYC, torch 2.15, AdamW); none was off by more than a factor of 1.8. The rates of
# a GPU are set by what is known of launch times and bandwidth; no fit was made.
REFERENCE_GFLOPS = 103.0
REFERENCE_THREADS = 2
RATES = {
    "cpu": Rates(5.0e-11, 6.5e-4, 8.3e-9, 4e-3, 0.3),
    "cuda": Rates(6.0e-14, 1.5e-4, 2e-11, 1e-3, 0.3),
}


class History:
    """Of earlier runs: train seconds per image, by what they are like; how far parts have come."""

    def __init__(self, records: Iterable[RunRecord]) -> None:
        self._seconds: dict[tuple[object, ...], float] = {}
        self._paused: dict[str, list[int]] = {}
        for record in records:
            images_per_second = record.timing.get("images_per_second")
            if record.status is RunStatus.OK and images_per_second:
                self._seconds[_likeness(record.spec)] = 1 / images_per_second
            if record.status is RunStatus.OK and record.spec.until is not None:
                self._paused.setdefault(record.spec.whole_id, []).append(record.spec.until)

    def seconds_per_image(self, spec: RunSpec) -> float | None:
        """Return what a training image cost in the latest run that was like this one."""
        return self._seconds.get(_likeness(spec))

    def epochs_done(self, spec: RunSpec) -> int:
        """Return the epochs of a run that a finished part of it has trained."""
        paused = self._paused.get(spec.whole_id, ())
        return max((until for until in paused if until <= spec.last_epoch), default=0)


def estimate_seconds(
    spec: RunSpec,
    model: ModelHints | None,
    data: DatasetHints | None,
    history: History,
    done: int = 0,
) -> float:
    """Return the estimated seconds of a run in a warm worker.

    Args:
        spec: the run, or a part of it that pauses.
        model: what is known of the model.
        data: what is known of the dataset's size.
        history: of earlier runs.
        done: epochs that its saved state has behind it.
    """
    data = data or UNKNOWN_DATA
    train, val, test = _counts(spec, data)
    batch = min(int(spec.protocol["batch_size"]), train)
    per_image = history.seconds_per_image(spec)
    if per_image is None:
        # Each device has its part of a batch; what they tell each other is not in the model.
        part = math.ceil(batch / spec.devices)
        per_image = step_seconds(spec, model or UNKNOWN_MODEL, data, part) / batch
    # Evaluation runs in large batches, so that dispatch hardly counts.
    large = step_seconds(spec, model or UNKNOWN_MODEL, data, 256) / 256
    per_evaluation = min(per_image, large) * RATES[spec.device].evaluation
    epochs = spec.last_epoch - done
    test = test if spec.purpose is Purpose.FINAL else 0
    rehearsal = REHEARSAL_STEPS * batch * per_image
    # Ranks import torch anew for each run.
    launch = START_SECONDS[spec.device] if spec.devices > 1 else 0.0
    evaluation = (epochs * val + test) * per_evaluation
    return epochs * train * per_image + evaluation + rehearsal + launch


def step_seconds(spec: RunSpec, model: ModelHints, data: DatasetHints, batch: int) -> float:
    """Return the estimated seconds of one training step, by the cost model."""
    rates = RATES[spec.device]
    size = spec.image_size or data.image_size
    # The smallest size that was tried is 32: below it nothing is known of a need.
    if model.smallest_size and model.smallest_size > 32:
        size = max(size, model.smallest_size)
    native = model.input_size or 224
    macs = (model.macs or UNKNOWN_MODEL.macs or 0) * (size / native) ** 2
    layers = model.layers or UNKNOWN_MODEL.layers or 0
    parameters = model.parameters or UNKNOWN_MODEL.parameters or 0
    arithmetic = macs * batch * rates.per_mac * _few_threads(spec)
    fixed = rates.per_step + layers * rates.per_layer + parameters * rates.per_parameter
    return (arithmetic + fixed) * _slowness(spec.device)


def total_seconds(seconds: Iterable[float], device: str, workers: int) -> float:
    """Return the estimate of a whole experiment: worker start, then runs side by side."""
    work = list(seconds)
    if not work:
        return 0.0
    # On a CPU workers share the cores: together they do little more than one with all of them.
    side_by_side = workers if device == "cuda" else min(workers, math.sqrt(workers))
    return START_SECONDS[device] + max(sum(work) / side_by_side, max(work))


def _counts(spec: RunSpec, data: DatasetHints) -> tuple[int, int, int]:
    limit = spec.protocol["limit"] or math.inf
    train, val, test = data.train, data.val, data.test
    if spec.protocol["fractions"]:
        everything = train + val + test
        train, val, test = (round(everything * part) for part in spec.protocol["fractions"])
    elif not test:
        test = round(train * TEST_PART)
        train -= test
    train, test = int(min(train, limit)), int(min(test, limit))
    if not val:
        val = max(1, round(train * spec.protocol["val"]))
        train -= val
    return max(1, train), int(min(val, limit)), test


def _likeness(spec: RunSpec) -> tuple[object, ...]:
    protocol = spec.protocol
    sizes = (protocol["batch_size"], protocol["input_size"], protocol["precision"])
    return (
        spec.dataset.name,
        spec.model.name,
        repr(dict(spec.model.params)),
        spec.device,
        spec.devices,
        *sizes,
    )


def _few_threads(spec: RunSpec) -> float:
    """Return how much slower arithmetic is with this run's threads than with the reference's.

    With the square root, since small networks gain less than half from each doubling.
    """
    if spec.device != "cpu":
        return 1.0
    fixed = 1 if spec.mode is Mode.DETERMINISTIC else hardware.cpu_count()
    return math.sqrt(REFERENCE_THREADS / (spec.protocol["threads"] or fixed))


@functools.cache
def _slowness(device: str) -> float:
    """Return how much slower than the reference machine this one is."""
    return REFERENCE_GFLOPS / hardware.measure_gflops() if device == "cpu" else 1.0
