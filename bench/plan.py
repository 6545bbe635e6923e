"""From (config, registry) to the runs of an experiment, in order, with every param resolved.

Planning is light: names are checked, grids are multiplied out and recommended values are filled
in, but nothing is imported, built or loaded.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import datastore, hardware, provenance
from bench.config import ExperimentConfig, Protocol, protocol_value
from bench.errors import BenchError, ConfigError, PluginError, UsageError
from bench.estimate import History, estimate_seconds
from bench.records import ComponentRef, Mode, RunSpec, RunStatus
from bench.registry import Offer, Registry
from bench.specs import Dataset, DatasetHints, Model
from bench.store import Store
from bench.text import did_you_mean, listing

PROTOCOL = "protocol"


@dataclass(frozen=True)
class Plan:
    """The runs of an experiment, in order, and the executor that is to carry them out."""

    runs: list[RunSpec]
    executor: ComponentRef


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
    overrides = _Overrides(config.set)
    executors = list(overrides.variants(_by_name("executor", config.executor, registry)))
    if len(executors) > 1:
        raise ConfigError(f"`{executors[0].name}` is the executor; its params take one value each")
    specs: dict[str, RunSpec] = {}
    for dataset in datasets:
        assert isinstance(dataset.component, Dataset)
        for fields, named in _protocols(config, dataset, overrides, registry):
            # The schedule and the loss come last: a model or an optimizer may pin which it is.
            for first in _combinations(overrides, [[dataset], models, optimizers]):
                pins = _pins([offer for offer, _ in first])
                schedule, loss = (
                    _by_name(kind, pins[kind], registry) if kind in pins else named[kind]
                    for kind in ("schedule", "loss")
                )
                for last in _combinations(overrides, [[schedule], [loss]]):
                    chosen = [*first, *last]
                    pins = _pins([offer for offer, _ in chosen])
                    resolved = {"schedule": schedule.name, "loss": loss.name}
                    protocol = Protocol(**{**fields, **pins, **resolved}).model_dump()
                    refs = {offer.component.kind: ref for offer, ref in chosen}
                    for seed in range(config.seeds):
                        spec = RunSpec(
                            dataset=refs["dataset"],
                            model=refs["model"],
                            optimizer=refs["optimizer"],
                            schedule=refs["schedule"],
                            loss=refs["loss"],
                            protocol=protocol,
                            seed=seed,
                            pinned={name: fields[name] for name in pins},
                            mode=Mode.DETERMINISTIC if config.deterministic else Mode.FAST,
                            device=hardware.guess_device(config.device),
                            data_dir=str(config.data_dir.absolute()) if config.data_dir else None,
                        )
                        # A grid over a pinned field gives the same run more than once.
                        specs.setdefault(f"{spec.cell} {seed}", spec)
    overrides.check_all_used()
    return Plan(list(specs.values()), executors[0])


@dataclass(frozen=True)
class PlannedRun:
    """A run as the plan shows it.

    Attributes:
        spec: with its key, where the dataset's fingerprint is already known.
        cached: finished before; nothing is left to do.
        seconds: estimate of what is left, worker start not included.
        data: what is known of the dataset's size.
        parameters: of the model, as far as known.
    """

    spec: RunSpec
    cached: bool
    seconds: float
    data: DatasetHints | None
    parameters: int | None


def forecast(
    specs: list[RunSpec], registry: Registry, store: Store, rerun: bool = False
) -> list[PlannedRun]:
    """Say of each run whether it is finished and how long it will take."""
    history = History(store.records())
    names = {device: hardware.device_name(device) for device in {spec.device for spec in specs}}
    fingerprints: dict[str, datastore.StoredDataset | None] = {}
    result = []
    for spec in specs:
        dataset = registry.get("dataset", f"{spec.dataset.name}@{spec.dataset.plugin}")
        model = registry.get("model", f"{spec.model.name}@{spec.model.plugin}").component
        assert isinstance(dataset.component, Dataset)
        assert isinstance(model, Model)
        if spec.source not in fingerprints:
            fingerprints[spec.source] = stored_dataset(dataset, spec)
        stored = fingerprints[spec.source]
        hints = dataset.component.hints
        cached = False
        if stored is not None:
            hints = DatasetHints(
                train=stored.counts["train"],
                test=stored.counts["test"],
                image_size=max(stored.image_shape[:2]),
                channels=stored.image_shape[2],
            )
            spec = provenance.complete(spec, registry, stored.fingerprint, names[spec.device])
            record = None if rerun else store.read(spec.id)
            cached = record is not None and record.status is RunStatus.OK
        seconds = 0.0 if cached else estimate_seconds(spec, model.hints, hints, history)
        parameters = model.hints.parameters if model.hints else None
        result.append(PlannedRun(spec, cached, seconds, hints, parameters))
    return result


def stored_dataset(offer: Offer, spec: RunSpec) -> datastore.StoredDataset | None:
    """Return a run's dataset if it was prepared before, else None."""
    try:
        return datastore.recall(offer, spec.dataset, data_dir_of(spec))
    except BenchError:
        raise
    except Exception as error:  # a plugin's `locate` may fail in any way
        raise PluginError(
            f"dataset `{spec.dataset.name}` of plugin {offer.plugin.label}: "
            f"`locate` failed: {type(error).__name__}: {error}"
        ) from error


def data_dir_of(spec: RunSpec) -> Path | None:
    """Return the run's data folder as a path, or None."""
    return Path(spec.data_dir) if spec.data_dir else None


def resolve_again(spec: RunSpec, registry: Registry) -> RunSpec:
    """Return a finished run's spec with the key that it would get today.

    Raises:
        UnknownNameError: a component of it is no longer installed.
    """
    dataset = registry.get("dataset", f"{spec.dataset.name}@{spec.dataset.plugin}")
    stored = stored_dataset(dataset, spec)
    fingerprint = stored.fingerprint if stored else None
    return provenance.complete(spec, registry, fingerprint, hardware.device_name(spec.device))


class _Overrides:
    """The params that `--set` overrides, and whether each was of use."""

    def __init__(self, settings: Mapping[str, tuple[Any, ...]]) -> None:
        self.protocol: dict[str, tuple[Any, ...]] = {}
        self._params: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._used: set[tuple[str, str]] = set()
        self._seen: set[str] = set()
        self._params_by_name: dict[str, set[str]] = {}
        for key, values in settings.items():
            # The last dot separates, since a model's name may hold dots.
            name, dot, param = key.rpartition(".")
            if not dot:
                raise ConfigError(f"--set {key}: write NAME.PARAM=VALUE or protocol.FIELD=VALUE")
            if not values:
                raise ConfigError(f"--set {key}: it has no value")
            if name == PROTOCOL:
                field = param.replace("-", "_")
                self.protocol[field] = tuple(
                    protocol_value(field, value, f"--set {key}") for value in values
                )
            else:
                self._params[name, param] = values

    def variants(self, offer: Offer) -> Iterator[ComponentRef]:
        """Yield the component with every combination of the params set for it."""
        component = offer.component
        try:
            defaults = component.defaults
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"{component.kind} `{component.name}` of plugin {offer.plugin.label} "
                f"has a factory without a signature: {error}"
            ) from error
        for param, default in defaults.items():
            if not _is_plain(default):
                raise PluginError(
                    f"{component.kind} `{component.name}` of plugin {offer.plugin.label}: the "
                    f"default of `{param}` is no number, text, boolean, null or list of these"
                )
        self._seen.add(component.name)
        names = (component.name, *component.aliases)
        for name in names:
            self._params_by_name.setdefault(name, set()).update(defaults)
        grid: dict[str, list[Any]] = {}
        for (name, param), values in self._params.items():
            if name not in names and not any(fnmatch.fnmatchcase(n, name) for n in names):
                continue
            if param not in defaults:
                continue
            self._used.add((name, param))
            where = f"`{component.name}.{param}`"
            grid[param] = [_typed(value, defaults[param], where) for value in values]
        for combination in itertools.product(*grid.values()):
            params = {**defaults, **dict(zip(grid, combination, strict=True))}
            yield ComponentRef(component.name, offer.plugin.name, params)

    def check_all_used(self) -> None:
        """Raise ConfigError for a setting that no chosen component has."""
        for name, param in self._params:
            if (name, param) in self._used:
                continue
            fitting = [n for n in self._params_by_name if fnmatch.fnmatchcase(n, name)]
            if not fitting:
                hint = did_you_mean(name, [*self._seen, PROTOCOL])
                chosen = listing(sorted(self._seen))
                raise ConfigError(
                    f"--set {name}.{param}: `{name}` is not among the chosen components "
                    f"({chosen}){hint}"
                )
            known = sorted(set().union(*(self._params_by_name[n] for n in fitting)))
            has = f"its params are {listing(known)}" if known else "it has no params"
            raise ConfigError(
                f"--set {name}.{param}: `{name}` has no param `{param}`"
                f"{did_you_mean(param, known)}; {has}"
            )


Chosen = tuple[Offer, ComponentRef]


def _combinations(overrides: _Overrides, groups: list[list[Offer]]) -> Iterator[tuple[Chosen, ...]]:
    """Yield every choice of one component from each group, with every combination of params."""
    variants = [
        [(offer, ref) for offer in group for ref in overrides.variants(offer)] for group in groups
    ]
    yield from itertools.product(*variants)


def _chosen(selectors: tuple[str, ...], kind: str, registry: Registry) -> list[Offer]:
    return registry.select(kind, selectors) if selectors else [registry.default(kind)]


def _by_name(kind: str, name: str | None, registry: Registry) -> Offer:
    return registry.get(kind, name) if name else registry.default(kind)


def _protocols(
    config: ExperimentConfig, dataset: Offer, overrides: _Overrides, registry: Registry
) -> Iterator[tuple[dict[str, Any], dict[str, Offer]]]:
    """Yield each protocol: the user's values over the dataset's over the defaults.

    With it come the schedule and the loss that it names.
    """
    assert isinstance(dataset.component, Dataset)
    recommended = _known_fields(dataset, dataset.component.recommends, "recommends")
    for combination in itertools.product(*overrides.protocol.values()):
        grid = dict(zip(overrides.protocol, combination, strict=True))
        fields = Protocol(**{**recommended, **config.protocol, **grid}).model_dump()
        late = {kind: _by_name(kind, fields[kind], registry) for kind in ("schedule", "loss")}
        yield {**fields, **{kind: offer.name for kind, offer in late.items()}}, late


def _pins(offers: list[Offer]) -> dict[str, Any]:
    """Return the protocol fields that components pin.

    Raises:
        UsageError: two components of one cell pin a field to different values.
    """
    pins: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for offer in offers:
        fields = _known_fields(offer, offer.component.pins, "pins")
        late = {"schedule", "loss"} & fields.keys()
        if late and offer.component.kind in late | {"schedule", "loss"}:
            raise PluginError(
                f"{offer.component.kind} `{offer.name}` of plugin {offer.plugin.label} pins "
                f"{listing(sorted(late))}, which is chosen before it"
            )
        for name, value in fields.items():
            if name in pins and pins[name] != value:
                raise UsageError(
                    f"`{owners[name]}` pins {name} to {pins[name]} and `{offer.name}` to {value}; "
                    "they cannot be combined"
                )
            pins[name], owners[name] = value, offer.name
    return pins


def _known_fields(offer: Offer, fields: Mapping[str, Any], verb: str) -> dict[str, Any]:
    try:
        return {name: protocol_value(name, value, verb) for name, value in fields.items()}
    except ConfigError as error:
        raise PluginError(
            f"{offer.component.kind} `{offer.name}` of plugin {offer.plugin.label}: {error}"
        ) from error


def _is_plain(value: Any) -> bool:
    """Return whether JSON can hold a value, as records need; it knows no infinity and no NaN."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _typed(value: Any, default: Any, where: str) -> Any:
    """Return a value in the type of the default it replaces.

    Raises:
        ConfigError: it does not fit.
    """
    if not _is_plain(value):
        raise ConfigError(f"{where} wants a finite number, not {value!r}")
    wanted = type(default)
    if default is None or value is None or isinstance(value, wanted):
        fits = not (isinstance(value, bool) and wanted is int)
        fits = fits and not (value is None and default is not None)
        if fits:
            return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if wanted is tuple and isinstance(value, list):
        return tuple(value)
    if wanted is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ConfigError(f"{where} wants {_article(wanted.__name__)}, not {value!r}")


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
