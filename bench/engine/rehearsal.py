"""One batch of every cell, on real data and its final device, before anything long starts."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
from torch import Tensor

from bench.engine import device as devices
from bench.engine import evaluation, pipeline, sizing
from bench.engine.setup import Setup, blaming, set_up
from bench.engine.updates import micro_batches
from bench.errors import PluginError
from bench.records import RunSpec

CHEAP_SECONDS = 1.0
CHEAP_STEPS = 4
"""A first step that takes less than a second is followed by others, to time one that is warm."""


def rehearse(spec: RunSpec, workers: int) -> dict[str, Any]:
    """Take a training step and evaluate a batch; return the sizes and times found.

    Raises:
        PluginError: a component returned the wrong thing; the message names its plugin.
    """
    setup = set_up(spec, workers, rehearsal=True)
    where, job, data = setup.where, setup.job, setup.data
    if not job.gradients.parameters:
        raise PluginError(f"{where['model']} has no trainable parameters")
    classes = len(data.question.classes)
    seconds = _steps(setup, spec)
    few = min(len(data.val), evaluation.batch_size(data.val))
    start = time.perf_counter()
    with torch.inference_mode(), devices.autocast(job.device, job.precision):
        job.model.eval()
        with blaming(where["model"]):
            logits = job.model(data.val.gather(torch.arange(few)))
    sizing.check_logits(logits, few, classes, where["model"])
    devices.synchronize(job.device)
    # A device has its part of what is evaluated, as it has of a batch.
    evaluated = (time.perf_counter() - start) / spec.devices
    if job.selection.monitor is not None:
        said = evaluation.predict(job.model, data.val, job.question, job.device, job.precision)
        job.selection.check(said.metrics())
    return {
        "input_size": data.size,
        "task": str(data.question.task),
        "normalized_by": data.normalized_by,
        "weights": str(setup.fit) if setup.fit else None,
        "placement": data.train.images.name,
        "counts": data.counts,
        "lacking": data.lacking,
        "classes": classes,
        "parameters": sum(p.numel() for p in job.model.parameters()),
        "step_seconds": min(seconds),
        "evaluation_seconds_per_image": evaluated / few,
        "steps_per_epoch": data.steps_per_epoch,
        "val_items": data.counts["val"],
        "test_items": data.counts.get("test", 0),
    }


def _steps(setup: Setup, spec: RunSpec) -> list[float]:
    """Take the first steps of a run, checked, and return the seconds of each.

    Of several devices one is tried, with its part of each batch.
    """
    data, where, job = setup.data, setup.where, setup.job
    order = pipeline.epoch_order(len(data.train), data.batch_size, spec.seed, 1)
    order = order.tensor_split(spec.devices, 1)[0]
    seconds: list[float] = []
    # With all that is ever to be trained: what takes the most memory is to be tried.
    job.freezing.begin(job.epochs)
    job.freezing.train_mode()
    with blaming(where["schedule"]):
        job.rates.begin([])
    with contextlib.closing(data.train.epoch(order.repeat(2, 1)[:CHEAP_STEPS], 1)) as batches:
        # One step is enough to see that it works; the others are timed warm.
        while not seconds or seconds[0] <= CHEAP_SECONDS:
            devices.synchronize(job.device)
            start = time.perf_counter()
            with blaming(where["augmentation"]):
                batch = next(batches, None)
            if batch is None:
                break
            job.optimizer.zero_grad(set_to_none=True)
            for share, images, targets, _ in micro_batches(job.micro_batch, *batch):
                loss = _checked_loss(setup, images, targets, is_first=not seconds)
                with blaming(where["model"]):
                    (loss * share).backward()
            job.gradients.adjust()
            with blaming(where["optimizer"]):
                job.optimizer.step()
            devices.synchronize(job.device)
            seconds.append(time.perf_counter() - start)
    return seconds


def _checked_loss(setup: Setup, images: Tensor, targets: Tensor, *, is_first: bool) -> Tensor:
    """Return the loss of a batch, once it is known to be one."""
    job, where = setup.job, setup.where
    with devices.autocast(job.device, job.precision):
        with blaming(where["model"]):
            logits = job.model(images)
        sizing.check_logits(logits, len(images), len(job.question.classes), where["model"])
        with blaming(where["loss"]):
            loss = job.loss(logits, targets)
    if is_first:
        # Before the first update only: a rate that is too high is no fault of a plugin.
        _check_finite(logits, where["model"])
        _check_loss(loss, where["loss"])
    return loss


def _check_finite(logits: Tensor, where: str) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise PluginError(f"{where} returned NaN or infinite logits for real images")


def _check_loss(loss: Any, where: str) -> None:
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise PluginError(f"{where} returned {shape}; a scalar tensor is needed")
    if not bool(torch.isfinite(loss)):
        raise PluginError(f"{where} returned {loss.item()} on the first batch")
