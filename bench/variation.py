"""A run with other params and protocol fields: what the trials of a study are to its base."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import datastore, origins
from bench.errors import UsageError
from bench.overrides import PROTOCOL, Overrides
from bench.protocol import NOT_SEARCHED, Protocol, check_in_use
from bench.records import ComponentRef, RunSpec
from bench.registry import Offer, Registry
from bench.resolving import (
    LATE,
    check_devices,
    check_fields,
    check_loss,
    image_size,
    interpolation,
    pins_of,
    task_of,
)
from bench.specs import Task

SOURCE = "cannot vary"
"""How messages begin."""


def vary(
    spec: RunSpec,
    values: Mapping[str, Any],
    registry: Registry,
    results: Path = Path("results"),
) -> RunSpec:
    """Return a run with other params and protocol fields, without a key.

    Protocol fields that differ are noted in `pinned` with the values that they had, so that the
    run is ranked among those that were asked for what the first one was. Where a field names
    another schedule, loss or augmentation, this has its default params, but for those in
    `values`.

    Args:
        spec: the run to start from, as the plan resolves it or as this function returned it.
        values: by the names that `--set` knows: `adamw.lr`, `protocol.batch_size`.
        registry: offers the components.
        results: the folder of earlier runs, in which weights may lie.

    Raises:
        UsageError: a name or value is unknown, pinned or ill-typed, does nothing in this run, or
            decides what runs are compared on.
    """
    overrides = Overrides({name: (value,) for name, value in values.items()}, SOURCE)
    wanted = {name: value for name, (value,) in overrides.protocol.items()}
    for name in wanted:
        if name in NOT_SEARCHED:
            raise UsageError(f"{SOURCE} {PROTOCOL}.{name}: {NOT_SEARCHED[name]}")
    asked = {**spec.protocol, **spec.pinned}
    refs, offers = _components(spec, wanted, overrides, registry)
    overrides.check_all_used()
    pins = pins_of(offers)
    for name in wanted:
        if name in pins:
            owner = next(offer.name for offer in offers if name in offer.component.pins)
            raise UsageError(f"{SOURCE} {PROTOCOL}.{name}: `{owner}` pins it to {pins[name]}")
    # A field that was varied before keeps its value; one that was pinned may be free now.
    free = {name: asked[name] for name in spec.pinned if name in _pinned_in(spec, registry)}
    late = {kind: refs[kind].name for kind in LATE}
    fields = Protocol(**{**spec.protocol, **free, **wanted, **pins, **late})
    protocol = fields.model_dump(mode="json")
    check_devices(protocol, pins, refs, spec.devices)
    check_fields(fields.model_dump(), spec.dataset.name, _task(spec, wanted, refs, registry))
    noted = {n: asked[n] for n in protocol if n in pins or protocol[n] != asked[n]}
    changes: dict[str, Any] = {**refs, "protocol": protocol, "pinned": noted, "key": {}}
    varied = dataclasses.replace(spec, **changes)
    check_in_use(wanted, [varied.settings])
    return _restarted(varied, spec, registry, results)


def _components(
    spec: RunSpec, wanted: Mapping[str, Any], overrides: Overrides, registry: Registry
) -> tuple[dict[str, ComponentRef], list[Offer]]:
    """Return a run's components with their params, and what offers them."""
    refs: dict[str, ComponentRef] = {}
    offers = []
    for kind, ref in spec.components.items():
        base: ComponentRef | None = ref
        offer = registry.of(kind, ref)
        if kind in wanted and wanted[kind] != ref.name:
            name = wanted[kind]
            # As in a plan: none is the default, which of losses depends on the task.
            task = _task_of(spec, registry) if kind == "loss" else None
            chosen = registry.get(kind, name) if name else registry.default(kind, task)
            if (chosen.name, chosen.plugin.name) != (ref.name, ref.plugin):
                offer, base = chosen, None
        found, *_ = overrides.variants(offer, base)
        if kind == "dataset" and found != ref:
            changed = next(n for n in found.params if found.params[n] != ref.params.get(n))
            raise UsageError(f"{SOURCE} {ref.name}.{changed}: {_DATA}")
        refs[kind] = found
        offers.append(offer)
    return refs, offers


_DATA = "it is the dataset's, and scores on different images cannot be compared"


def _pinned_in(spec: RunSpec, registry: Registry) -> dict[str, Any]:
    """Return the fields that the components of a run pin."""
    return pins_of([registry.of(kind, ref) for kind, ref in spec.components.items()])


def _task(
    spec: RunSpec,
    wanted: Mapping[str, Any],
    refs: Mapping[str, ComponentRef],
    registry: Registry,
) -> Task | None:
    """Return what the labels ask for, where another loss is to suit it; check that it does."""
    if "loss" not in wanted:
        return None
    task = _task_of(spec, registry)
    if task is not None:
        check_loss(registry.of("loss", refs["loss"]), task, spec.dataset.name, registry)
    return task


def _task_of(spec: RunSpec, registry: Registry) -> Task | None:
    dataset = registry.of("dataset", spec.dataset)
    return task_of(dataset, spec.dataset, datastore.request_of(spec), spec.protocol["task"])


def _restarted(varied: RunSpec, spec: RunSpec, registry: Registry, results: Path) -> RunSpec:
    """Return a run with the weights found again, where what they are found by has changed."""
    if varied.weights is None or (varied.weights, varied.model) == (spec.weights, spec.model):
        return varied
    model = registry.of("model", varied.model)
    weights = registry.of("weights", varied.weights)
    start = origins.find(weights, varied.weights, model, varied.model, results)
    return dataclasses.replace(
        varied,
        origin=start.origin,
        image_size=image_size(varied.protocol, model, start),
        interpolation=interpolation(varied.protocol, start),
    )
