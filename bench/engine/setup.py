"""A run's parts: named by its spec, resolved through the plugins, checked, and on their device."""

from __future__ import annotations

import contextlib
import functools
import math
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import datastore
from bench.engine import device as devices
from bench.engine import evaluation, pipeline, sizing
from bench.engine.training import LossFunction
from bench.errors import BenchError, DataError, PluginError
from bench.records import RunSpec
from bench.registry import Offer, Registry, load_registry
from bench.specs import Model
from bench.text import one_line


@dataclass
class Setup:
    """A run's parts, resolved and placed on its device. There is no test split among them.

    Attributes:
        factors: the learning rate's factor for each step.
        statistics: mean and std that images are normalised by.
        val_origin: where val comes from, for the record.
        batch_size: at most the number of training images.
        val_items: of the whole val split, also in a rehearsal.
        test_items: of the test split, which is not open yet.
        where: each component and its plugin, for messages.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: LossFunction
    factors: list[float]
    train: pipeline.Batches
    val: pipeline.Batches
    statistics: tuple[Tensor, Tensor]
    class_names: tuple[str, ...]
    val_origin: str
    batch_size: int
    steps_per_epoch: int
    val_items: int
    test_items: int
    device: str
    precision: str
    threads: int
    where: dict[str, str]

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)


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

    stored = datastore.open_stored(spec.fingerprint)
    classes = len(stored.classes)
    channels = stored.image_shape[2]
    images, labels = stored.open("train")
    seed, limit = protocol["split_seed"], protocol["limit"]
    train_ids = pipeline.take(labels, limit or len(labels), seed)
    if "val" in stored.counts:
        val_images, val_labels = stored.open("val")
        val_ids = pipeline.take(val_labels, limit or len(val_labels), seed)
        val_origin = "official"
    else:
        val_images, val_labels = images, labels
        train_ids, val_ids = pipeline.hold_out(labels, train_ids, protocol["val"], seed)
        val_origin = f"{protocol['val']:g} of train, stratified, seed {seed}"
    if not len(train_ids) or not len(val_ids):
        raise DataError(
            f"{where['dataset']}: {len(train_ids) + len(val_ids)} image(s) are too few to train "
            "and select on; a higher `--limit` or more images are needed"
        )
    statistics = pipeline.statistics(images, train_ids, protocol["normalize"])

    component = offers["model"].component
    assert isinstance(component, Model)
    build = functools.partial(component.build, **spec.model.params)
    wanted = protocol["input_size"] or max(stored.image_shape[:2])
    native = component.hints.input_size if component.hints else None
    size = _input_size(spec, build, classes, channels, wanted, native, where["model"])

    batch_size = min(protocol["batch_size"], len(train_ids))
    steps_per_epoch = math.ceil(len(train_ids) / batch_size)
    val_items = len(val_ids)
    if rehearsal:
        # Two batches show what the whole set would: the rest need not be placed on the device.
        train_ids, val_ids = train_ids[: 2 * batch_size], val_ids[: evaluation.EVALUATION_BATCH]

    def place(x: datastore.Images, y: datastore.Labels, ids: pipeline.Indices) -> pipeline.Batches:
        layout = devices.memory_format(device)
        return pipeline.to_batches(x, y, ids, size, statistics, device, layout)

    # Seeded again: how often a generator was used until here depends on the worker's past.
    devices.seed_everything(spec.seed)
    model = _built(where["model"], build, classes, (channels, size, size))
    if not isinstance(model, nn.Module):
        raise PluginError(f"{where['model']} built {type(model).__name__}, not torch.nn.Module")
    model = model.to(device).to(memory_format=devices.memory_format(device))
    optimizer = _built(
        where["optimizer"], offers["optimizer"].component.factory, model, **spec.optimizer.params
    )
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__name__
        raise PluginError(f"{where['optimizer']} built {kind}, not torch.optim.Optimizer")
    steps = steps_per_epoch * protocol["epochs"]
    factors = _built(
        where["schedule"],
        offers["schedule"].component.factory,
        steps,
        steps_per_epoch,
        **spec.schedule.params,
    )
    loss = _built(where["loss"], offers["loss"].component.factory, classes, **spec.loss.params)
    if isinstance(loss, nn.Module):
        loss = loss.to(device)
    return Setup(
        model=model,
        optimizer=optimizer,
        loss=loss,
        factors=_checked_factors(factors, steps, where["schedule"]),
        train=place(images, labels, train_ids),
        val=place(val_images, val_labels, val_ids),
        statistics=statistics,
        class_names=stored.classes,
        val_origin=val_origin,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        val_items=val_items,
        test_items=min(limit or stored.counts["test"], stored.counts["test"]),
        device=device,
        precision=precision,
        threads=threads,
        where=where,
    )


def open_test(spec: RunSpec, setup: Setup) -> pipeline.Batches:
    """Return the test split, prepared as the training images were; called once, at the end."""
    stored = datastore.open_stored(spec.fingerprint)
    images, labels = stored.open("test")
    limit = spec.protocol["limit"] or len(labels)
    ids = pipeline.take(labels, limit, spec.protocol["split_seed"])
    layout = devices.memory_format(setup.device)
    return pipeline.to_batches(
        images, labels, ids, setup.train.size, setup.statistics, setup.device, layout
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


def _built(where: str, factory: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """Call a plugin's factory; what it raises names the plugin."""
    with blaming(where):
        return factory(*args, **params)


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
    ref = spec.components[kind]
    return _registry().get(kind, f"{ref.name}@{ref.plugin}")


@functools.cache
def _registry() -> Registry:
    return load_registry()
