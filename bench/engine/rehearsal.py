"""One batch of every cell, on real data and its final device, before anything long starts."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from bench.engine import device as devices
from bench.engine import evaluation, pipeline, sizing
from bench.engine.setup import blaming, set_up
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
    where = setup.where
    if not any(parameter.requires_grad for parameter in setup.model.parameters()):
        raise PluginError(f"{where['model']} has no trainable parameters")
    order = pipeline.epoch_order(len(setup.train), setup.batch_size, spec.seed, 1)
    seconds: list[float] = []
    for indices in order.repeat(2, 1)[:CHEAP_STEPS].to(setup.device):
        devices.synchronize(setup.device)
        start = time.perf_counter()
        setup.model.train()
        with devices.autocast(setup.device, setup.precision):
            with blaming(where["model"]):
                logits = setup.model(setup.train.gather(indices))
            sizing.check_logits(logits, len(indices), setup.classes, where["model"])
            with blaming(where["loss"]):
                loss = setup.loss(logits, setup.train.labels[indices])
        if not seconds:
            # Before the first update only: a rate that is too high is no fault of a plugin.
            _check_finite(logits, where["model"])
            _check_loss(loss, where["loss"])
        setup.optimizer.zero_grad(set_to_none=True)
        with blaming(where["model"]):
            loss.backward()
        with blaming(where["optimizer"]):
            setup.optimizer.step()
        devices.synchronize(setup.device)
        seconds.append(time.perf_counter() - start)
        # One step is enough to see that it works; the others are timed warm.
        if seconds[0] > CHEAP_SECONDS:
            break
    few = min(len(setup.val), evaluation.batch_size(setup.val))
    start = time.perf_counter()
    with torch.inference_mode(), devices.autocast(setup.device, setup.precision):
        setup.model.eval()
        with blaming(where["model"]):
            logits = setup.model(setup.val.gather(torch.arange(few, device=setup.device)))
    sizing.check_logits(logits, few, setup.classes, where["model"])
    devices.synchronize(setup.device)
    return {
        "input_size": setup.train.size,
        "parameters": sum(p.numel() for p in setup.model.parameters()),
        "step_seconds": min(seconds),
        "evaluation_seconds_per_image": (time.perf_counter() - start) / few,
        "steps_per_epoch": setup.steps_per_epoch,
        "val_items": setup.val_items,
        "test_items": setup.test_items,
    }


def _check_finite(logits: Tensor, where: str) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise PluginError(f"{where} returned NaN or infinite logits for real images")


def _check_loss(loss: Any, where: str) -> None:
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise PluginError(f"{where} returned {shape}; a scalar tensor is needed")
    if not bool(torch.isfinite(loss)):
        raise PluginError(f"{where} returned {loss.item()} on the first batch")
