"""Which networks of a results directory can be used again, or how to come by one that cannot."""

from __future__ import annotations

from bench import provenance, repeat
from bench.errors import BenchError, StoreError, UnknownNameError, UsageError
from bench.records import Purpose, RunRecord, RunSpec, RunStatus
from bench.registry import Registry
from bench.store import Store
from bench.text import listing
from bench.trained import Trained

WEIGHTS = "model.safetensors"
MEANS = ("soft", "bagging", "greedy")
"""The ways of combining that give a mean of the members' probabilities."""


def open_run(record: RunRecord, store: Store, registry: Registry) -> Trained:
    """Return the network that a run has left.

    Raises:
        UsageError: the run has none: it did not end well, or its weights were not kept.
        StoreError: its record says too little, as one from elsewhere may.
        UnknownNameError: the plugin of its model is no longer installed.
    """
    if record.status is not RunStatus.OK:
        raise UsageError(
            f"run {record.id} ended as `{record.status}` and has left no network; "
            "`bench list runs` shows others"
        )
    try:
        registry.of("model", record.spec.model)
    except BenchError as error:
        raise UnknownNameError(
            f"run {record.id} trained `{record.spec.model.name}` of plugin "
            f"`{record.spec.model.plugin}`, which is not there ({error}); install it again"
        ) from error
    weights = store.folder(record.id) / WEIGHTS
    if not weights.is_file():
        raise UsageError(
            f"run {record.id} has left no weights: {_way_out(record, store, registry)}"
        )
    found = Trained(record, weights)
    try:
        _ = (found.task, found.classes, found.mean, found.std, found.geometry)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"the record of run {record.id} does not say how images were prepared ({error!r}); "
            "train it again"
        ) from error
    return found


def voters_of(record: RunRecord, store: Store, registry: Registry) -> list[tuple[Trained, float]]:
    """Return the networks whose mean probabilities a record speaks for, with their weights.

    Of a run it is its own network. Members of an ensemble that count for nothing are left out.

    Raises:
        UsageError: an ensemble is no mean of its members, or one of these has left no network.
        UnknownNameError: one of them is not there.
    """
    if not record.spec.members:
        return [(open_run(record, store, registry), 1.0)]
    told = record.environment.get("ensemble") or {}
    weights = told.get("weights")
    if told.get("how") not in MEANS or not weights:
        raise UsageError(
            f"run {record.id} is an ensemble by `{told.get('how')}`, which is no mean of "
            f"probabilities as {listing(MEANS)} are; predict with a member: "
            f"{listing(record.spec.members, 4)}"
        )
    found = []
    for member in record.spec.members:
        weight = float(weights.get(member, 0.0))
        if weight <= 0:
            continue
        run = store.read(member)
        if run is None:
            raise UnknownNameError(
                f"ensemble {record.id} is made of run {member}, which is not in `{store.root}`; "
                "bring it back, or predict with another of its members"
            )
        found.append((open_run(run, store, registry), weight))
    return found


def notes(trained: Trained, registry: Registry) -> list[str]:
    """Return what may make a network answer otherwise than it did in its run, in lines."""
    spec = trained.spec
    then = spec.key.get("model", {}).get("source")
    now = provenance.component_source(registry.of("model", spec.model).component.factory)
    if then is None or then == now:
        return []
    return [
        f"the code of model `{spec.model.name}` has changed since run {trained.record.id}; "
        "what its weights say now may differ from what they said then"
    ]


def _way_out(record: RunRecord, store: Store, registry: Registry) -> str:
    """Say how to come by weights: another run of the cell has them, or none has."""
    spec = record.spec
    content = str(spec.key.get("dataset", {}).get("fingerprint") or "")
    other = next(
        (
            entry.id
            for entry in reversed(store.entries())
            if (entry.method, entry.content) == (spec.method, content)
            and (store.folder(entry.id) / WEIGHTS).is_file()
        ),
        None,
    )
    why = "trials keep none; " if spec.purpose is Purpose.TRIAL else ""
    if other is not None:
        why = f"of its cell only run {other} has kept them; use that one, or train all again: "
    return f"{why}{_again(spec, store, registry)}"


def _again(spec: RunSpec, store: Store, registry: Registry) -> str:
    """Say what trains a run again and keeps its weights."""
    if "round" in spec.draw:
        return "`bench ensemble --how boosting --rerun --keep all` trains it again, by its rounds"
    try:
        command = repeat.command_of(spec, registry, spec.seed + 1)
    except BenchError:
        return "train it again with `--rerun --keep all`"
    return (
        f"`{command} --results {store.root} --rerun --keep all` trains it again and keeps "
        "the weights of every seed"
    )
