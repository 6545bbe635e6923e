"""A run's parts: named by its spec, resolved through the plugins, checked, and on their device."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.engine import data, sizing
from bench.engine import device as devices
from bench.engine.data import RunData
from bench.engine.training import LossFunction
from bench.errors import BenchError, ConfigError, PluginError
from bench.records import RunSpec
from bench.registry import Offer, Registry, load_registry, suits
from bench.specs import Model
from bench.text import one_line


@dataclass
class Setup:
    """A run's parts, resolved and placed on its device. There is no test split among them.

    Attributes:
        factors: the learning rate's factor for each step.
        data: the images to learn from and to select on.
        where: each component and its plugin, for messages.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: LossFunction
    factors: list[float]
    data: RunData
    device: str
    precision: str
    threads: int
    where: dict[str, str]


def set_up(spec: RunSpec, workers: int, *, rehearsal: bool) -> Setup:
    """Resolve and check a run's parts and place them on its device.

    Args:
        spec: the run.
        workers: how many runs share the machine.
        rehearsal: whether a few images are enough.

    Raises:
        PluginError: a component made the wrong thing; the message names its plugin.
        DataError: there are too few images to train and select on.
    """
    protocol = spec.protocol
    offers = {kind: offer_of(spec, kind) for kind in spec.components}
    where = {
        kind: f"{kind} `{offer.name}` of plugin {offer.plugin.label}"
        for kind, offer in offers.items()
    }
    device = devices.resolve(spec.device)
    precision = devices.precision_of(protocol["precision"], device)
    threads = devices.set_up(device, spec.seed, spec.mode, protocol["threads"], workers)
    devices.reset_peak_memory(device)

    seen = data.view(spec, where["dataset"])
    classes, channels = len(seen.chosen.classes), seen.channels
    if not suits(offers["loss"], seen.chosen.task):
        raise ConfigError(
            f"{where['loss']} is not for a {seen.chosen.task} task, as {where['dataset']} is; "
            "leave `--loss` out"
        )
    component = offers["model"].component
    assert isinstance(component, Model)
    build = functools.partial(component.build, **spec.model.params)
    wanted = spec.image_size or seen.wanted_size
    native = component.hints.input_size if component.hints else None
    size = _input_size(spec, build, classes, channels, wanted, native, where["model"])
    shape = (channels, size, size)
    kind = data.image_kind(protocol, channels)
    transforms = _made("augmentation", offers, where, shape, kind, **spec.augmentation.params)
    run_data = data.place(
        spec, seen, size, device, offers["model"], list(transforms), rehearsal=rehearsal
    )

    # Seeded again: how often a generator was used until here depends on the worker's past.
    devices.seed_everything(spec.seed)
    with blaming(where["model"]):
        model = build(classes, shape)
    if not isinstance(model, nn.Module):
        raise PluginError(f"{where['model']} built {type(model).__name__}, not torch.nn.Module")
    model = model.to(device).to(memory_format=devices.memory_format(device))
    optimizer = _made("optimizer", offers, where, model, **spec.optimizer.params)
    if not isinstance(optimizer, torch.optim.Optimizer):
        made = type(optimizer).__name__
        raise PluginError(f"{where['optimizer']} built {made}, not torch.optim.Optimizer")
    steps = run_data.steps_per_epoch * protocol["epochs"]
    factors = _made(
        "schedule", offers, where, steps, run_data.steps_per_epoch, **spec.schedule.params
    )
    loss = _made("loss", offers, where, classes, **spec.loss.params)
    if isinstance(loss, nn.Module):
        loss = loss.to(device)
    return Setup(
        model=model,
        optimizer=optimizer,
        loss=loss,
        factors=_checked_factors(factors, steps, where["schedule"]),
        data=run_data,
        device=device,
        precision=precision,
        threads=threads,
        where=where,
    )


_sizes: dict[str, int] = {}


def _input_size(
    spec: RunSpec,
    build: Callable[..., nn.Module],
    classes: int,
    channels: int,
    wanted: int,
    native: int | None,
    where: str,
) -> int:
    """Return the input size, probed once a worker for each model and shape."""
    question = repr((spec.model, classes, channels, wanted))
    if question not in _sizes:
        _sizes[question] = sizing.choose_input_size(build, classes, channels, wanted, native, where)
    return _sizes[question]


def _made(
    kind: str, offers: dict[str, Offer], where: dict[str, str], *args: Any, **params: Any
) -> Any:
    """Call a plugin's factory; what it raises names the plugin."""
    with blaming(where[kind]):
        return offers[kind].component.factory(*args, **params)


@contextlib.contextmanager
def blaming(where: str) -> Iterator[None]:
    """Name a component and its plugin in whatever its code raises."""
    try:
        yield
    except (BenchError, torch.OutOfMemoryError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if "can't allocate memory" in str(error):
            raise
        traceback.print_exc()
        raise PluginError(f"{where}: {one_line(f'{type(error).__name__}: {error}')}") from error


def _checked_factors(factors: Any, steps: int, where: str) -> list[float]:
    try:
        checked = [float(factor) for factor in factors]
    except (TypeError, ValueError) as error:
        raise PluginError(f"{where} returned no sequence of numbers") from error
    if len(checked) != steps:
        raise PluginError(f"{where} returned {len(checked)} factors for {steps} steps")
    if not np.isfinite(checked).all():
        raise PluginError(f"{where} returned a NaN or infinite factor")
    return checked


def offer_of(spec: RunSpec, kind: str) -> Offer:
    """Return the component that a run names, from the plugins of this worker."""
    return _registry().of(kind, spec.components[kind])


@functools.cache
def _registry() -> Registry:
    return load_registry()
