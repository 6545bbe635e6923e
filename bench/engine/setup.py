"""A run's parts: named by its spec, resolved through the plugins, checked, and on their device."""

from __future__ import annotations

import contextlib
import functools
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench import origins
from bench.engine import data, drawing, layout, measured, memory, sizing, starting
from bench.engine import device as devices
from bench.engine.averaging import averaging_of
from bench.engine.data import RunData
from bench.engine.distributed import Group
from bench.engine.freezing import Groups, freezing_of, layers_of, set_rates
from bench.engine.rates import LearningRates, RatePlan, checked_schedule
from bench.engine.starting import Fit
from bench.engine.stopping import Selection
from bench.engine.training import Training
from bench.engine.updates import Gradients
from bench.errors import BenchError, ConfigError, PluginError
from bench.records import Mode, RunSpec
from bench.registry import Offer, Registry, load_registry, suits
from bench.specs import Loss, Model, Weights
from bench.text import one_line

SELECTED_BY = ("select", "monitor", "patience", "min_delta")
"""The protocol fields that say which epoch is tested, and when training stops."""
SLOWER = ("backbone_rate", "layer_decay")
"""The protocol fields that say how fast layers below the head are trained."""


@dataclass
class Setup:
    """A run's parts, resolved and placed on its device. There is no test split among them.

    Attributes:
        job: what is trained, and how.
        data: the images to learn from and to select on.
        threads: CPU threads.
        where: each component and its plugin, for messages.
        subject: what the speed of the model depends on.
        fit: what became of the weights that training starts from; None where these are random.
    """

    job: Training
    data: RunData
    threads: int
    where: dict[str, str]
    subject: dict[str, Any]
    fit: Fit | None = None


def set_up(spec: RunSpec, workers: int, *, rehearsal: bool, group: Group | None = None) -> Setup:
    """Resolve and check a run's parts and place them on its device.

    Args:
        spec: the run.
        workers: how many runs share the machine.
        rehearsal: whether a few images are enough.
        group: the processes that train together; this one alone by default.

    Raises:
        ConfigError: a batch cannot be shared among the devices.
        PluginError: a component made the wrong thing; the message names its plugin.
        DataError: there are too few images to train and select on.
    """
    protocol, group = spec.protocol, group or Group()
    offers = {kind: offer_of(spec, kind) for kind in spec.components}
    where = {
        kind: f"{kind} `{spec.components[kind].name}` of plugin {offer.plugin.label}"
        for kind, offer in offers.items()
    }
    device = devices.resolve(spec.device)
    precision = devices.precision_of(protocol["precision"], device)
    threads = devices.set_up(
        device, spec.seed, spec.mode, protocol["threads"], workers * spec.devices
    )

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
    started = _weights(spec, offers, where, component, shape)
    subject = measured.subject_of(spec, offers["model"], classes, device, precision, threads)
    batch = min(protocol["batch_size"], len(seen.chosen.train))
    steps = protocol["epochs"] * math.ceil(len(seen.chosen.train) / batch)
    part = _part(batch, protocol["micro_batch"], spec.devices)
    memory_format = group.from_first(
        lambda: layout.choose(
            lambda: build(classes, shape).to(device),
            (part, *shape),
            *(device, precision, subject),
            steps=steps,
            deterministic=spec.mode is Mode.DETERMINISTIC,
        )
    )
    memory.reset_peak_memory(device)
    run_data = data.place(
        *(spec, seen, size, device, offers["model"], list(transforms), memory_format),
        rehearsal=rehearsal,
    )

    # Seeded again: how often a generator was used until here depends on the worker's past.
    devices.seed_everything(spec.seed)
    with blaming(where["model"]):
        model = build(classes, shape)
    if not isinstance(model, nn.Module):
        raise PluginError(f"{where['model']} built {type(model).__name__}, not torch.nn.Module")
    fit: Fit | None = None
    groups: Groups = []
    if started is not None:
        head = starting.head_of(build, classes, shape)
        same = spec.origin["classes"] in ([], list(seen.chosen.classes))
        fit, groups = _begin(model, component, started, head, where, same_classes=same)
    model = model.to(device).to(memory_format=memory_format)
    if protocol["batch_norm"] == "sync":
        group.synchronise_norms(model)
    elif batch // spec.devices == 1 < spec.devices:
        _check_norms(model, batch, spec.devices)
    job = _training(spec, offers, where, model, groups, run_data, device, precision, group)
    job.item_weights = drawing.weights_of(spec, seen.chosen, where["dataset"])
    return Setup(
        fit=fit,
        job=job,
        data=run_data,
        threads=threads,
        where=where,
        subject=subject,
    )


def _training(
    spec: RunSpec,
    offers: dict[str, Offer],
    where: dict[str, str],
    model: nn.Module,
    groups: Groups,
    run_data: RunData,
    device: str,
    precision: str,
    group: Group,
) -> Training:
    """Make what changes a model's weights; `groups` are its layers if it starts from weights."""
    protocol = spec.protocol
    optimizer = _made("optimizer", offers, where, model, **spec.optimizer.params)
    if not isinstance(optimizer, torch.optim.Optimizer):
        made = type(optimizer).__name__
        raise PluginError(f"{where['optimizer']} built {made}, not torch.optim.Optimizer")
    if groups:
        set_rates(optimizer, model, groups, **{name: protocol[name] for name in SLOWER})
    each = run_data.steps_per_epoch
    steps = each * protocol["epochs"]
    schedule = _made("schedule", offers, where, steps, each, **spec.schedule.params)
    plan = RatePlan(
        schedule=checked_schedule(schedule, steps, where["schedule"]),
        steps_per_epoch=each,
        warmup_steps=round(protocol["warmup"] * each),
        where=where["schedule"],
    )
    component = offers["loss"].component
    assert isinstance(component, Loss)
    known = component.arguments(run_data.class_counts)
    loss = _made("loss", offers, where, *known, **spec.loss.params)
    if isinstance(loss, nn.Module):
        loss = loss.to(device)
    return Training(
        model=model,
        optimizer=optimizer,
        loss=loss,
        rates=LearningRates(optimizer, plan),
        gradients=Gradients.of(model, protocol),
        averaging=averaging_of(model, protocol),
        freezing=freezing_of(model, groups, protocol, started=bool(groups)),
        selection=Selection(**{name: protocol[name] for name in SELECTED_BY}),
        question=run_data.question,
        epochs=protocol["epochs"],
        batch_size=run_data.batch_size,
        seed=spec.seed,
        device=device,
        precision=precision,
        until=spec.until,
        micro_batch=protocol["micro_batch"],
        log_steps=protocol["log_steps"],
        group=group,
    )


def _weights(
    spec: RunSpec,
    offers: dict[str, Offer],
    where: dict[str, str],
    model: Model,
    input_shape: tuple[int, int, int],
) -> Mapping[str, Tensor] | None:
    """Return the tensors that training starts from; None for random ones."""
    if spec.weights is None:
        return None
    component = offers["weights"].component
    assert isinstance(component, Weights)
    files = [Path(name) for name in spec.origin["files"]]
    if origins.digest_of(files) != spec.origin["digest"]:
        raise ConfigError(
            f"{where['weights']} changed since the run was planned; the same command plans it anew"
        )
    named = model.with_params(spec.model.params)
    made = _made("weights", offers, where, named, input_shape, files, **spec.weights.params)
    tensors = isinstance(made, Mapping) and all(isinstance(v, Tensor) for v in made.values())
    if not tensors:
        raise PluginError(f"{where['weights']} returned no tensors by name")
    return made  # type: ignore[no-any-return]


def _begin(
    network: nn.Module,
    model: Model,
    started: Mapping[str, Tensor],
    head: frozenset[str],
    where: dict[str, str],
    *,
    same_classes: bool,
) -> tuple[Fit, Groups]:
    """Give a network the weights that it starts from; return what fitted, and its layers."""
    with blaming(where["weights"]):
        fit = starting.take_over(
            *(network, started, head),
            same_classes=same_classes,
            where=where["weights"],
            model=model.name,
        )
    with blaming(where["model"]):
        # What starts at random is trained as the head is.
        return fit, layers_of(network, model.layers, head.union(fit.new), where["model"])


def _part(batch: int, micro_batch: int | None, count: int) -> int:
    """Return the most images of a batch that pass through a device at a time.

    Raises:
        ConfigError: some device would have none.
    """
    if batch < count:
        raise ConfigError(f"a batch of {batch} cannot be shared among {count} devices; give fewer")
    if micro_batch == 1 and batch % count:
        raise ConfigError(
            f"with `--micro-batch 1`, {count} devices need a batch that they can share evenly, "
            f"which {batch} is not"
        )
    return min(-(-batch // count), micro_batch or batch)


def _check_norms(model: nn.Module, batch: int, count: int) -> None:
    """Raise ConfigError if batch normalisation would see a single image on some device.

    Where that image has come down to one pixel, there is nothing to normalise by.
    """
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ConfigError(
            f"of a batch of {batch} some of {count} devices have one image, too little for batch "
            "normalisation; give a larger batch or `--batch-norm sync`"
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


def offer_of(spec: RunSpec, kind: str) -> Offer:
    """Return the component that a run names, from the plugins of this worker."""
    return _registry().of(kind, spec.components[kind])


@functools.cache
def _registry() -> Registry:
    return load_registry()
