"""Which networks of a results directory can be used again, or how to come by one that cannot."""

from __future__ import annotations

from bench import provenance, repeat
from bench.errors import BenchError, StoreError, UnknownNameError, UsageError
from bench.records import Purpose, RunRecord, RunStatus
from bench.registry import Registry
from bench.store import Store
from bench.trained import Trained

WEIGHTS = "model.safetensors"


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


def members_of(record: RunRecord, store: Store, registry: Registry) -> list[Trained]:
    """Return the networks of an ensemble's members, in their order; of a run, its own.

    Raises:
        UsageError: one of them has left no network.
        UnknownNameError: one of them is not there.
    """
    if not record.spec.members:
        return [open_run(record, store, registry)]
    found = []
    for member in record.spec.members:
        run = store.read(member)
        if run is None:
            raise UnknownNameError(
                f"ensemble {record.id} is made of run {member}, which is not in `{store.root}`; "
                "predict with one of its other members"
            )
        found.append(open_run(run, store, registry))
    return found


def shares_of(record: RunRecord) -> list[float] | None:
    """Return the share of each member in what an ensemble says; None for a run, or equal ones.

    Raises:
        UsageError: what it says is no mean of what its members say.
    """
    return None


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
    for other in reversed(store.records()):
        same = other.spec.method == spec.method and other.spec.key.get("dataset") == (
            spec.key.get("dataset")
        )
        if same and (store.folder(other.id) / WEIGHTS).is_file():
            return f"only the best run of a cell keeps them, which here is {other.id}; use that one"
    why = "trials keep none; " if spec.purpose is Purpose.TRIAL else ""
    try:
        command = repeat.command_of(spec, registry, spec.seed + 1)
    except BenchError:
        return f"{why}train it again with `--rerun --keep best`"
    return (
        f"{why}`{command} --results {store.root} --rerun --keep best` trains it again and keeps "
        "those of the cell's best run"
    )
