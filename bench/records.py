"""What a run is: the plain data that crosses between planning, workers and reading."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from bench import record_types
from bench.errors import StoreError

if TYPE_CHECKING:
    from bench.decoding import Interpolation

SCHEMA = 1
_NEXT = "restore the file, or remove its folder and run again"
"""What to do about a file that is no record."""


class RunStatus(enum.StrEnum):
    """How a run ended."""

    OK = "ok"
    DIVERGED = "diverged"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class Purpose(enum.StrEnum):
    """What a run is for. Only a final run is ever handed the test split."""

    FINAL = "final"
    TRIAL = "trial"


class Mode(enum.StrEnum):
    """Whether speed or bitwise repetition comes first."""

    FAST = "fast"
    DETERMINISTIC = "deterministic"


@dataclass(frozen=True)
class ComponentRef:
    """A component by name, with every param resolved.

    Attributes:
        name: the component's own name, never an alias.
        plugin: the entry point that offers it.
        params: all params, defaults included.
    """

    name: str
    plugin: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def selector(self) -> str:
        """What names it on a command line: of a source its path, as its name has but the end."""
        source, colon, _ = self.name.partition(":")
        path = self.params.get("path")
        return f"{source}:{path}" if colon and path is not None else self.name


COMPONENT_KINDS = ("dataset", "model", "optimizer", "schedule", "loss", "augmentation")
"""The kinds of which every run has one."""
OPTIONAL_KINDS = ("weights",)
_PLACES = ("data_dir", "exclude", "image_size", "interpolation", "placement", "files", "origin")
_TUNING = ("until", "tuned")
_PARTS = ("members", "draw")
SEEDED = ("seed", "members", "item_weights")
"""The parts of a key that differ between the runs of one method, seed by seed."""


@dataclass(frozen=True)
class RunSpec:
    """One seeded training of one cell, before it happens.

    Attributes:
        protocol: every protocol field, resolved.
        pinned: the protocol fields that a component fixed, with the values they would have had.
        device: `cpu` or `cuda`.
        weights: what training starts from; None for random weights.
        devices: how many of them train the network together.
        data_dir: where the user keeps datasets; no part of the run's identity, and neither are
            the next five, but as far as they change the stored content.
        exclude: a file that names image files to leave out.
        image_size: height and width that images of different sizes are to be stored at, pixels.
        interpolation: how images are resized.
        placement: where images are to be during the run.
        files: lists the image files of a dataset that is not stored decoded.
        origin: what is known of the weights: their `files` and the `digest` of these, the
            `preprocessing` and the `classes` of the training that made them.
        until: the epoch after which a trial pauses with its state saved; None for one that trains
            to its end. `paused_at` sets it, so that the last part of a run is the run itself.
        tuned: the `study` that chose the params, and the `trial` in it; of a trial itself likewise.
        members: ids of the runs that an ensemble is made of; empty for what is trained itself.
        draw: how an epoch's items are drawn from train; empty where each comes once. `resample` is
            `bootstrap`, the counts of a bootstrap sample, or `weights`, item weights, which are
            equal unless `weights` gives the digest of others and `file` says where they lie;
            `round` is that of boosting, from 1.
        key: all that can change the result (see `bench.provenance`); empty until the dataset's
            fingerprint and the device's name are known.
    """

    dataset: ComponentRef
    model: ComponentRef
    optimizer: ComponentRef
    schedule: ComponentRef
    loss: ComponentRef
    augmentation: ComponentRef
    protocol: Mapping[str, Any]
    seed: int
    weights: ComponentRef | None = None
    pinned: Mapping[str, Any] = field(default_factory=dict)
    purpose: Purpose = Purpose.FINAL
    mode: Mode = Mode.FAST
    device: str = "cpu"
    devices: int = 1
    data_dir: str | None = None
    exclude: str | None = None
    image_size: int | None = None
    interpolation: Interpolation = "bilinear"
    placement: str = "auto"
    files: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    until: int | None = None
    tuned: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    draw: Mapping[str, Any] = field(default_factory=dict)
    key: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits of the key's hash: equal keys mean equal results."""
        assert self.key, "a run has an id only once its key is complete"
        return digest(self.key)[:12]

    @property
    def whole_id(self) -> str:
        """The id of the run that this one is a part of: the holder of their state and lock."""
        assert self.key, "a run has an id only once its key is complete"
        return digest({name: value for name, value in self.key.items() if name != "until"})[:12]

    @property
    def last_epoch(self) -> int:
        """The epoch after which the run pauses or ends, if patience lasts so long."""
        return int(self.protocol["epochs"]) if self.until is None else self.until

    def paused_at(self, epoch: int | None) -> Self:
        """Return the part of this run that ends after an epoch, with its key where there is one.

        From the last epoch on it is the whole run, which shares its id; so it is with None.

        Raises:
            ValueError: no run can pause there, or this one is no trial: the test split of a
                final run is opened once, at its end.
        """
        until = None if epoch is None or epoch >= int(self.protocol["epochs"]) else epoch
        if until is not None and (until < 1 or self.purpose is Purpose.FINAL):
            raise ValueError(f"a {self.purpose} run cannot pause after epoch {until}")
        key = {name: value for name, value in self.key.items() if name != "until"}
        if key and until is not None:
            key["until"] = until
        return dataclasses.replace(self, until=until, key=key)

    @property
    def fingerprint(self) -> str:
        """The hash of the dataset's content."""
        return str(self.key["dataset"]["fingerprint"])

    @property
    def components(self) -> dict[str, ComponentRef]:
        """The components that define the run, by kind."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            **({"weights": self.weights} if self.weights else {}),
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "loss": self.loss,
            "augmentation": self.augmentation,
        }

    @property
    def cell(self) -> str:
        """A hash of all that the user asked for except the seed."""
        plain = {kind: vars(ref) for kind, ref in self.components.items()}
        parts = (plain | self._start, self._circumstances)
        return digest(parts)[:12]

    @functools.cached_property
    def method(self) -> str:
        """A hash of what is compared on a dataset: the cell, whatever its data were loaded from."""
        plain = {kind: vars(ref) for kind, ref in self.components.items()}
        plain["dataset"] = {"name": self.dataset.name}
        parts = (plain | self._start, self._circumstances)
        return digest(parts)[:12]

    @functools.cached_property
    def contest(self) -> str:
        """A hash of what runs have in common that are ranked together, on one content.

        A component that pins a field belongs beside those that leave it as the user wants it.
        """
        return digest([self.dataset.name, {**self.protocol, **self.pinned}, self.mode])[:12]

    @property
    def _start(self) -> dict[str, Any]:
        """What of the weights makes a difference: of files their content, not where they lie."""
        if self.weights is None or not self.origin.get("digest"):
            return {}
        known = {name: self.origin.get(name) for name in ("digest", "preprocessing", "classes")}
        return {"weights": known}

    @property
    def _circumstances(self) -> tuple[Any, ...]:
        usual = (dict(self.protocol), self.purpose, self.mode, self.device, self.devices)
        unusual = {**self.tuning, **self.drawing}
        return (*usual, unusual) if unusual else usual

    @property
    def tuning(self) -> dict[str, Any]:
        """What the run's place in a study adds to its identity; nothing for most runs.

        Of a tuned run the study counts: what its trials have found is among the params. Trials
        with the same params are the same in any study.
        """
        paused = {} if self.until is None else {"until": self.until}
        chosen = self.tuned and self.purpose is Purpose.FINAL
        return {**paused, **({"tuned": self.tuned["study"]} if chosen else {})}

    @property
    def drawing(self) -> dict[str, Any]:
        """What the drawing of items adds to a run's identity; nothing where each comes once.

        Item weights themselves follow from the seed, as the items of a bootstrap sample do.
        """
        counted = {name: self.draw[name] for name in ("resample", "round") if name in self.draw}
        return {"draw": counted} if counted else {}

    @property
    def predicts_train(self) -> bool:
        """Whether the worker keeps predictions on train: the next item weights are made of them."""
        return "round" in self.draw

    @property
    def settings(self) -> dict[str, Any]:
        """The protocol, and what else decides which of its fields are of use."""
        return {**self.protocol, "weights": self.weights is not None}

    @property
    def source(self) -> str:
        """What the dataset is loaded from, and how; equal for runs that share one."""
        options = [self.protocol.get(name) for name in ("resize", "color", "on_bad")]
        stream = self.placement == "stream"
        place = (self.data_dir, self.exclude, self.image_size, self.interpolation, stream)
        return digest([dataclasses.asdict(self.dataset), place, options])

    @property
    def variant(self) -> str:
        """The shape of the stored images."""
        return str(self.key["dataset"]["variant"])

    @property
    def label(self) -> str:
        """How progress names the run."""
        which = f"seed {self.seed}"
        if self.purpose is Purpose.TRIAL:
            which = f"trial {self.tuned.get('trial', '?')}"
        elif self.tuned:
            which = f"tuned, {which}"
        if self.draw:
            which = f"{_drawn(self.draw)}, {which}"
        return " · ".join((self.dataset.name, self.model_label, self.optimizer.name, which))

    @property
    def role(self) -> str:
        """What listings say of a run that is no ordinary final one; empty for one that is."""
        if self.members:
            return f"ensemble of {len(self.members)} runs"
        if self.draw:
            return _drawn(self.draw)
        if self.tuned:
            return f"tuned by study {self.tuned['study']}, trial {self.tuned['trial']}"
        paused = f"paused after epoch {self.until} of {self.protocol['epochs']}"
        words = [] if self.purpose is Purpose.FINAL else [str(self.purpose)]
        return ", ".join(words if self.until is None else [*words, paused])

    @property
    def model_label(self) -> str:
        """How listings name the model, with what it starts from."""
        return f"{self.model.name} from {self.weights.name}" if self.weights else self.model.name

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        plain: dict[str, Any] = json.loads(canonical(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        values = dict(data)
        for kind in (*COMPONENT_KINDS, *OPTIONAL_KINDS):
            values[kind] = ComponentRef(**values[kind]) if values.get(kind) else None
        values["protocol"] = dict(values["protocol"])
        values["pinned"] = dict(values["pinned"])
        values["purpose"] = Purpose(values["purpose"])
        values["mode"] = Mode(values["mode"])
        values["members"] = tuple(values.get("members", ()))
        return cls(**values)


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch of one run.

    Attributes:
        epoch: from 1.
        epochs: how many there will be.
        lr: the learning rate of the epoch's last step.
        seconds: of the training steps only.
        steps: training steps since the start of the run.
        val_score: the metric that selects, the higher the better.
        trained_parameters: values that the epoch trained; fewer than the network has where part
            of it was frozen.
    """

    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float
    steps: int = 0
    val_score: float | None = None
    trained_parameters: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class StepMetrics:
    """A point of the curves that `log_steps` asks for.

    Attributes:
        step: from 1, since the start of the run.
        epoch: from 1.
        lr: the learning rate of this step.
        seconds: of the training steps since the start of the run.
        train_loss: the mean over the steps since the point before, or since the epoch began.
        train_accuracy: likewise.
    """

    step: int
    epoch: int
    lr: float
    seconds: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class RunRecord:
    """What is kept of a run that ended.

    Attributes:
        error: one line, with `status` other than ok.
        metrics: by split (`val`, `test`), then by name; with `n`, the number of items.
        timing: seconds by part; the parts add up to `wall_seconds`.
        profile: size and speed of the model.
        environment: versions, device, threads, precision and mode, as they were.
        started_at: UTC, for display only.
    """

    spec: RunSpec
    status: RunStatus
    error: str | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    started_at: str = ""
    finished_at: str = ""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.spec.id

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `record.json`."""
        spec = self.spec.to_dict()
        return {
            "schema": SCHEMA,
            "id": self.id,
            "status": str(self.status),
            "error": self.error,
            **dict.fromkeys(OPTIONAL_KINDS),
            **{kind: ref.name for kind, ref in self.spec.components.items()},
            "plugins": {kind: ref.plugin for kind, ref in self.spec.components.items()},
            "params": {kind: spec[kind]["params"] for kind in self.spec.components},
            "protocol": spec["protocol"],
            "pinned": spec["pinned"],
            "seed": spec["seed"],
            "purpose": spec["purpose"],
            "mode": spec["mode"],
            "device": spec["device"],
            "devices": spec["devices"],
            **{name: spec[name] for name in (*_PLACES, *_TUNING, *_PARTS)},
            "metrics": {split: dict(values) for split, values in self.metrics.items()},
            "timing": dict(self.timing),
            "profile": dict(self.profile),
            "environment": dict(self.environment),
            "key": spec["key"],
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read the content of `record.json`.

        Raises:
            StoreError: the content is not a record of this schema.
        """
        if not isinstance(data, dict):
            raise StoreError(f"it holds no object; {_NEXT}")
        if data.get("schema") != SCHEMA:
            raise StoreError(
                f"its schema is {data.get('schema')!r}, this version reads {SCHEMA}; read it "
                f"with the version of bench that wrote it, or {_NEXT}"
            )
        try:
            spec = {
                kind: {
                    "name": str(data[kind]),
                    "plugin": str(data["plugins"][kind]),
                    "params": dict(data["params"][kind]),
                }
                for kind in (*COMPONENT_KINDS, *OPTIONAL_KINDS)
                if kind in COMPONENT_KINDS or data.get(kind)
            }
            own = ("protocol", "pinned", "seed", "purpose", "mode", "key")
            where = ("device", "devices", *_PLACES, *_TUNING, *_PARTS)
            record = cls(
                spec=RunSpec.from_dict({**spec, **_known(data, (*own, *where))}),
                status=RunStatus(data["status"]),
                error=data["error"],
                metrics={split: dict(values) for split, values in data["metrics"].items()},
                timing=dict(data["timing"]),
                profile=dict(data["profile"]),
                environment=dict(data["environment"]),
                started_at=str(data["started_at"]),
                finished_at=str(data["finished_at"]),
            )
            record_types.check(data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            told = f"{type(error).__name__}: {error}"
            raise StoreError(f"it is not a whole record ({told}); {_NEXT}") from error
        if not record.spec.key or record.id != data.get("id"):
            raise StoreError(f"its id does not fit its key; {_NEXT}")
        return record


def _drawn(draw: Mapping[str, Any]) -> str:
    """Return how listings say which items a run was trained on."""
    return f"round {draw['round']} of boosting" if "round" in draw else f"{draw['resample']} sample"


def _known(data: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the fields that a record has; one that an earlier version wrote lacks the later."""
    later = ("interpolation", "origin", "devices", *_TUNING, *_PARTS)
    return {name: data[name] for name in names if name in data or name not in later}


def canonical(value: Any) -> str:
    """Return JSON text that is equal for equal plain data, whatever its order of keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: Any) -> str:
    """Return the SHA-256 of plain data, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
