"""What is left of planned runs, and how long it will take."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import datastore, hardware, origins, provenance, selection
from bench.budget import BudgetKind
from bench.config import ExperimentConfig
from bench.errors import DataError
from bench.estimate import History, estimate_seconds
from bench.foreign_code import calling
from bench.pictures import MOST
from bench.records import ComponentRef, Purpose, RunSpec, RunStatus, canonical
from bench.registry import Offer, Registry
from bench.specs import Dataset, DatasetHints, Model
from bench.store import Store
from bench.stored import StoredDataset

PICTURE_BYTES = 2_500
"""What a run keeps of an item that it leaves a picture of, at most."""
REMEMBERED_RUNS = 2000
"""How many of the latest runs an estimate looks back at."""


@dataclass(frozen=True)
class PlannedRun:
    """A run as the plan shows it.

    Attributes:
        spec: with its key, where the dataset's fingerprint is already known.
        cached: finished before; nothing is left to do.
        begun: stopped before; it goes on from the state that it has saved.
        seconds: estimate of what is left, worker start not included.
        whole_seconds: the same if nothing of it were done yet.
        data: what is known of the dataset's size.
        parameters: of the model, as far as known.
    """

    spec: RunSpec
    cached: bool
    seconds: float
    data: DatasetHints | None
    parameters: int | None
    begun: bool = False
    whole_seconds: float = 0.0

    def disk_bytes(self, keep: str, pictures: str) -> float:
        """Return what the run will add to the results folder, at most.

        The state that it saves meanwhile comes on top; where that has no room, only it is lost.

        Args:
            keep: which weights are kept: `best`, `all` or `none`.
            pictures: whether pictures are kept: `auto` or `none`.
        """
        data = self.data
        images = (data.test + data.train * self.spec.protocol["val"]) if data else 10_000
        # Predictions are some dozens of bytes an image; weights dominate where they are kept.
        final = self.spec.purpose is Purpose.FINAL
        weights = 4 * (self.parameters or 0) if final and keep != "none" else 0
        items = min(data.test if data else MOST, MOST) if final and pictures != "none" else 0
        return 20_000 + 40 * images + PICTURE_BYTES * items + weights


def forecast(
    specs: list[RunSpec], registry: Registry, store: Store, rerun: bool = False
) -> list[PlannedRun]:
    """Say of each run whether it is finished and how long it will take."""
    ended_well = [entry.id for entry in store.entries() if entry.status == RunStatus.OK]
    history = History(store.records(ended_well[-REMEMBERED_RUNS:]))
    names = {device: hardware.device_name(device) for device in {spec.device for spec in specs}}
    fingerprints: dict[str, StoredDataset | None] = {}
    known: dict[str, DatasetHints | None] = {}
    viewed: set[tuple[str, str]] = set()
    result = []
    for spec in specs:
        dataset = registry.of("dataset", spec.dataset)
        model = registry.of("model", spec.model).component
        assert isinstance(dataset.component, Dataset)
        assert isinstance(model, Model)
        source = spec.source
        if source not in fingerprints:
            stored = stored_dataset(dataset, spec)
            fingerprints[source] = stored
            known[source] = _hints(stored) if stored else _hinted(dataset, spec)
        stored, hints = fingerprints[source], known[source]
        cached = begun = False
        if stored is not None:
            asked = (source, canonical(spec.protocol))
            if asked not in viewed:
                viewed.add(asked)
                _check_view(stored, spec)
            content = stored.fingerprint, stored.variant
            spec = provenance.complete(spec, registry, content, names[spec.device])
            record = None if rerun else store.read(spec.id)
            cached = record is not None and record.status is RunStatus.OK
            begun = not cached and store.checkpoint(spec.whole_id).exists()
        done = history.epochs_done(spec) if begun else 0
        seconds = 0.0 if cached else estimate_seconds(spec, model.hints, hints, history, done)
        whole = estimate_seconds(spec, model.hints, hints, history)
        parameters = model.hints.parameters if model.hints else None
        result.append(PlannedRun(spec, cached, seconds, hints, parameters, begun, whole))
    return result


def tuning_seconds(run: PlannedRun, config: ExperimentConfig) -> float:
    """Return what tuning the cell of a run takes if its whole budget is spent on whole trials."""
    budget = config.budget
    if budget is None:
        return 0.0
    if budget.kind is BudgetKind.SECONDS:
        return budget.amount
    epochs = int(run.spec.protocol["epochs"])
    counted = budget.kind is BudgetKind.EPOCHS
    trials = budget.amount / epochs if counted else budget.amount * config.tune_seeds
    return trials * run.whole_seconds


def _check_view(stored: StoredDataset, spec: RunSpec) -> None:
    """Raise ConfigError now if the protocol asks for classes or a task that the labels lack."""
    # Too few images are no wrong request: they fail their own runs.
    with contextlib.suppress(DataError):
        selection.select(stored, spec.protocol, f"dataset `{spec.dataset.name}`")


def stored_dataset(offer: Offer, spec: RunSpec) -> StoredDataset | None:
    """Return a run's dataset if it was prepared before, else None."""
    with locating(offer, spec.dataset):
        return datastore.recall(offer, spec.dataset, datastore.request_of(spec))


@contextlib.contextmanager
def locating(offer: Offer, ref: ComponentRef) -> Iterator[None]:
    """Name the plugin whose quick look at what is at hand fails, in whatever way."""
    who = f"dataset `{ref.name}` of plugin {offer.plugin.label}"
    with calling(f"{who}: it could not look for its files"):
        yield


def _hints(stored: StoredDataset) -> DatasetHints:
    return DatasetHints(
        train=stored.counts["train"],
        test=stored.counts.get("test", 0),
        val=stored.counts.get("val", 0),
        image_size=max(stored.image_shape[:2]),
        channels=stored.image_shape[2],
        task=stored.task,
    )


def _hinted(offer: Offer, spec: RunSpec) -> DatasetHints | None:
    component = offer.component
    assert isinstance(component, Dataset)
    with locating(offer, spec.dataset):
        data_dir = Path(spec.data_dir) if spec.data_dir else None
        hints = component.hints_at(data_dir, spec.dataset.params)
    if hints is not None and spec.image_size is not None:
        return dataclasses.replace(hints, image_size=spec.image_size)
    return hints


def resolve_again(spec: RunSpec, registry: Registry, results: Path) -> RunSpec:
    """Return a finished run's spec with the key that it would get today.

    Raises:
        UnknownNameError: a component of it is no longer installed.
        UsageError: the weights that it started from are gone.
    """
    if spec.weights is not None:
        offers = registry.of("weights", spec.weights), registry.of("model", spec.model)
        start = origins.find(offers[0], spec.weights, offers[1], spec.model, results)
        spec = dataclasses.replace(spec, origin=start.origin)
    stored = stored_dataset(registry.of("dataset", spec.dataset), spec)
    content = (stored.fingerprint, stored.variant) if stored else None
    return provenance.complete(spec, registry, content, hardware.device_name(spec.device))
