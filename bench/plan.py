"""From (config, registry) to the runs of an experiment, in order, with every param resolved.

Planning is light: names are checked, grids are multiplied out and recommended values are filled
in, but nothing is imported, built or loaded.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench import hardware
from bench.config import ExperimentConfig
from bench.errors import ConfigError, UsageError
from bench.geometry import Request
from bench.origins import Start, Starts
from bench.overrides import Overrides
from bench.protocol import Protocol, check_in_use
from bench.records import ComponentRef, Mode, RunSpec
from bench.registry import Offer, Registry
from bench.resolving import (
    LATE,
    check_devices,
    check_fields,
    check_loss,
    image_size,
    interpolation,
    known_fields,
    pins_of,
    task_of,
)
from bench.specs import Dataset, Task, Tracker
from bench.text import listing


@dataclass(frozen=True)
class Plan:
    """The runs of an experiment, in order, and the executor that is to carry them out.

    Attributes:
        trackers: where they are told of as they happen.
    """

    runs: list[RunSpec]
    executor: ComponentRef
    trackers: tuple[ComponentRef, ...] = ()


def plan(config: ExperimentConfig, registry: Registry) -> Plan:
    """Return the runs of an experiment: datasets × protocols × models × optimizers × seeds.

    Raises:
        UsageError: a name, param or field that is unknown, ambiguous or ill-typed.
    """
    if not config.models:
        raise UsageError(
            "no model is chosen; try `--models resnet50,mobilenet` (`bench list models`)"
        )
    datasets = _chosen(config.datasets, "dataset", registry)
    models = _chosen(config.models, "model", registry)
    optimizers = _chosen(config.optimizers, "optimizer", registry)
    overrides = Overrides(config.set)
    starts = Starts(config, registry, overrides)
    executors = list(overrides.variants(_by_name("executor", config.executor, registry)))
    if len(executors) > 1:
        raise ConfigError(f"`{executors[0].name}` is the executor; its params take one value each")
    trackers = tuple(_trackers(config, overrides, registry))
    specs: dict[str, RunSpec] = {}
    for dataset in datasets:
        assert isinstance(dataset.component, Dataset)
        sources = list(overrides.variants(dataset))
        for ref, (fields, named) in _viewed(config, dataset, sources, overrides, registry):
            # These kinds come last: a model or an optimizer may pin which one it is.
            for model, optimizer, start in _methods(overrides, models, optimizers, starts):
                first = ((dataset, ref), model, optimizer)
                pins = pins_of([offer for offer, _ in first])
                late = [
                    _by_name(kind, pins[kind], registry) if kind in pins else named[kind]
                    for kind in LATE
                ]
                for last in _combinations(overrides, [[offer] for offer in late]):
                    chosen = [*first, *last]
                    pins = pins_of([offer for offer, _ in chosen])
                    resolved = {offer.component.kind: offer.name for offer in late}
                    protocol = Protocol(**{**fields, **pins, **resolved}).model_dump(mode="json")
                    refs = {offer.component.kind: ref for offer, ref in chosen}
                    check_devices(protocol, pins, refs, config.devices)
                    for seed in range(config.seeds):
                        spec = RunSpec(
                            dataset=refs["dataset"],
                            model=refs["model"],
                            optimizer=refs["optimizer"],
                            schedule=refs["schedule"],
                            loss=refs["loss"],
                            augmentation=refs["augmentation"],
                            weights=start.ref,
                            origin=start.origin,
                            protocol=protocol,
                            seed=seed,
                            pinned={name: fields[name] for name in pins},
                            mode=Mode.DETERMINISTIC if config.deterministic else Mode.FAST,
                            device=hardware.guess_device(config.device),
                            devices=config.devices,
                            data_dir=str(config.data_dir.absolute()) if config.data_dir else None,
                            exclude=str(config.exclude.absolute()) if config.exclude else None,
                            image_size=image_size(protocol, model[0], start),
                            interpolation=interpolation(protocol, start),
                            placement=config.placement,
                            draw=draw_of(config),
                        )
                        # A grid over a pinned field gives the same run more than once.
                        specs.setdefault(f"{spec.cell} {seed}", spec)
    overrides.check_all_used()
    given = {*config.protocol, *overrides.protocol}
    check_in_use(given, [spec.settings for spec in specs.values()])
    return Plan(list(specs.values()), executors[0], trackers)


def _trackers(
    config: ExperimentConfig, overrides: Overrides, registry: Registry
) -> Iterator[ComponentRef]:
    """Yield the trackers that are asked for; what they import must be installed."""
    for offer in registry.select("tracker", config.trackers):
        tracker = offer.component
        assert isinstance(tracker, Tracker)
        for module, what in tracker.needs.items():
            if importlib.util.find_spec(module) is None:
                raise UsageError(
                    f"tracker `{tracker.name}` needs `{module}`, which is not installed; "
                    f"`pip install {what}` brings it"
                )
        variants = list(overrides.variants(offer))
        if len(variants) > 1:
            raise ConfigError(f"`{tracker.name}` is a tracker; its params take one value each")
        yield from variants


def draw_of(config: ExperimentConfig) -> dict[str, Any]:
    """Return how the items of an epoch are drawn, as `RunSpec.draw` holds it."""
    if config.resample is None:
        return {}
    first = {"round": 1} if config.resample == "weights" else {}
    return {"resample": config.resample, **first}


@dataclass(frozen=True)
class PlannedDataset:
    """A dataset as a command that only looks at it would load it.

    Attributes:
        fields: every protocol field, resolved.
        augmentation: what the protocol says becomes of training images.
    """

    offer: Offer
    ref: ComponentRef
    request: Request
    fields: dict[str, Any]
    augmentation: ComponentRef


def plan_dataset(config: ExperimentConfig, registry: Registry) -> PlannedDataset:
    """Return the one dataset of a config, with the options that say how it is loaded and seen.

    Raises:
        UsageError: a name, param or field that is unknown or ill-typed, or several datasets.
    """
    datasets = _chosen(config.datasets, "dataset", registry)
    if len(datasets) > 1:
        raise UsageError(f"one dataset at a time; {listing(o.name for o in datasets)} were named")
    [dataset] = datasets
    overrides = Overrides(config.set)
    ref, *others = overrides.variants(dataset)
    fields, named = next(_protocols(config, dataset, ref, overrides, registry))
    policy, *more = overrides.variants(named["augmentation"])
    overrides.check_all_used()
    if others or more or any(len(values) > 1 for values in overrides.protocol.values()):
        raise ConfigError("--set: one value each; a grid is for `bench run`")
    if fields["input_size"] == "model":
        raise UsageError("`--input-size model` needs a model; give a number of pixels")
    request = Request(
        data_dir=config.data_dir and config.data_dir.absolute(),
        size=fields["input_size"],
        resize=fields["resize"],
        interpolation="bicubic" if fields["interpolation"] == "bicubic" else "bilinear",
        color=fields["color"],
        on_bad=fields["on_bad"],
        exclude=config.exclude and config.exclude.absolute(),
    )
    return PlannedDataset(dataset, ref, request, fields, policy)


Chosen = tuple[Offer, ComponentRef]


def _combinations(overrides: Overrides, groups: list[list[Offer]]) -> Iterator[tuple[Chosen, ...]]:
    """Yield every choice of one component from each group, with every combination of params."""
    variants = [
        [(offer, ref) for offer in group for ref in overrides.variants(offer)] for group in groups
    ]
    yield from itertools.product(*variants)


def _methods(
    overrides: Overrides, models: list[Offer], optimizers: list[Offer], starts: Starts
) -> Iterator[tuple[Chosen, Chosen, Start]]:
    """Yield every choice of a model and an optimizer, and of what the model starts from."""
    for model, optimizer in _combinations(overrides, [models, optimizers]):
        for start in starts.of(*model):
            yield model, optimizer, start


def _chosen(selectors: tuple[str, ...], kind: str, registry: Registry) -> list[Offer]:
    return registry.select(kind, selectors) if selectors else [registry.default(kind)]


def _by_name(kind: str, name: str | None, registry: Registry, task: Task | None = None) -> Offer:
    return registry.get(kind, name) if name else registry.default(kind, task)


Named = tuple[dict[str, Any], dict[str, Offer]]
"""A protocol's fields, and the components that they name."""


def _viewed(
    config: ExperimentConfig,
    dataset: Offer,
    sources: Sequence[ComponentRef],
    overrides: Overrides,
    registry: Registry,
) -> Iterator[tuple[ComponentRef, Named]]:
    """Yield each variant of a dataset under each protocol."""
    for ref in sources:
        for named in _protocols(config, dataset, ref, overrides, registry):
            yield ref, named


def _protocols(
    config: ExperimentConfig,
    dataset: Offer,
    ref: ComponentRef,
    overrides: Overrides,
    registry: Registry,
) -> Iterator[Named]:
    """Yield each protocol: the user's values over the dataset's over the defaults."""
    assert isinstance(dataset.component, Dataset)
    recommended = known_fields(dataset, dataset.component.recommends, "recommends")
    tasks: dict[tuple[str, str], Task | None] = {}
    data_dir = config.data_dir and config.data_dir.absolute()
    exclude = config.exclude and config.exclude.absolute()
    for combination in itertools.product(*overrides.protocol.values()):
        grid = dict(zip(overrides.protocol, combination, strict=True))
        fields = Protocol(**{**recommended, **config.protocol, **grid}).model_dump()
        # Looking at a large folder takes a while, and most fields do not matter to it.
        asked = (fields["task"], fields["on_bad"])
        if asked not in tasks:
            request = Request(data_dir, on_bad=fields["on_bad"], exclude=exclude)
            tasks[asked] = task_of(dataset, ref, request, fields["task"])
        task = tasks[asked]
        likely = task or Task.MULTI_CLASS
        late = {kind: _by_name(kind, fields[kind], registry, likely) for kind in LATE}
        if task is not None:
            check_loss(late["loss"], task, dataset.name, registry)
        check_fields(fields, dataset.name, task)
        yield {**fields, **{kind: offer.name for kind, offer in late.items()}}, late
