"""One row of a leaderboard: the runs of a method on a dataset, aggregated over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from bench import comparison, stats
from bench.answers import AnswerBook
from bench.comparison import score_of
from bench.records import COMPONENT_KINDS, OPTIONAL_KINDS, RunRecord, RunStatus
from bench.scoring import Measured
from bench.studies import StudyRecord, TrialState

METRIC_NAMES = {"accuracy": "accuracy", "mean_average_precision": "mAP"}
"""How tables call the metrics that rank."""
SECONDARY = {
    "accuracy": (),
    "mean_average_precision": ("accuracy", "f1_macro", "f1_micro"),
}
"""What else a row tells of its test split, beside what ranks it."""


@dataclass(frozen=True)
class Tuning:
    """The search that a row's params come from, and what it cost.

    Attributes:
        study: its id.
        trial: the number of the trial that was chosen; 0 where nothing beat the default params.
        on_front: whether it was chosen from the Pareto front of several objectives.
        objectives: the names of what was searched for.
        trials: how many there were, with those that failed and those that were pruned.
        seconds: what the runs of all trials took.
        epochs: that they trained.
        label: what the user called the study.
        asked: the params of the cell before the search, by kind of component.
    """

    study: str
    trial: int
    sampler: str = "unknown"
    pruner: str = "unknown"
    budget: str = "unknown"
    objectives: tuple[str, ...] = ("score",)
    on_front: bool = False
    trials: int = 0
    failed: int = 0
    pruned: int = 0
    seconds: float = 0.0
    epochs: int = 0
    label: str = ""
    asked: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, study: StudyRecord, trial: int) -> Self:
        """Return what a row says of the study that its params come from."""
        return cls(
            study.id,
            trial,
            *(study.sampler, study.pruner, study.budget),
            objectives=tuple(objective.name for objective in study.objectives),
            on_front=len(study.objectives) > 1,
            trials=len(study.trials),
            failed=study.count(TrialState.FAILED),
            pruned=study.count(TrialState.PRUNED),
            seconds=study.seconds,
            epochs=study.epochs,
            label=study.label,
            asked={
                kind: part["params"]
                for kind in (*COMPONENT_KINDS, *OPTIONAL_KINDS)
                if isinstance(part := study.base.get(kind), Mapping) and "params" in part
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as `leaderboard.json` holds it."""
        return {name: value for name, value in asdict(self).items() if name != "asked"}


@dataclass
class Row:
    """One cell of an experiment: its runs, aggregated over seeds.

    Attributes:
        rank: 1 for the best and all that tie with it; None where no run succeeded.
        tie_group: 1, 2, ...; equal for rows that cannot be told apart from their group's best.
        metric: the name of the metric that ranks.
        score: the metric on test; its interval speaks of seeds with two or more, else of items.
        others: further metrics on test by name, means over seeds.
        asked: metrics on test that somebody asked for, by the name that they used.
        noise: which noise the interval speaks of: `seeds` or `items`.
        n: test items of one run.
        shown_params: the params that tell this row from its neighbours, the optimizer's apart.
        interrupted: how many of those that failed were only interrupted, and may be gone on with.
        errors: one line for each run that failed, with its status.
        tuning: the search that its params come from, or that found nothing better; None where
            none was made.
        draw: how items are drawn from train; empty where each comes once an epoch.
        members: how many runs an ensemble combines, each number that its seeds have; else empty.
        val_is: what is special about an ensemble's val score (see `bench.combining`).
        mark: what tells a tuned row from the one with default params, and from other tuned ones.
        runs: ids of its runs.
        content: the fingerprint of the dataset's content; None where it could not be loaded.
        records: of its runs; empty where the row comes from what the index keeps.
    """

    dataset: str
    model: str
    optimizer: str
    params: dict[str, Any]
    protocol: dict[str, Any]
    pinned: dict[str, Any]
    seeds: int
    failed: int
    device: str
    mode: str
    weights: str | None = None
    devices: int = 1
    rank: int | None = None
    tie_group: int | None = None
    metric: str = "accuracy"
    score: stats.Interval | None = None
    others: dict[str, float] = field(default_factory=dict)
    asked: dict[str, Measured] = field(default_factory=dict)
    noise: str = ""
    n: int = 0
    val_score: float | None = None
    val_n: int = 0
    log_loss: float | None = None
    train_seconds: float | None = None
    images_per_second: float | None = None
    latency_ms: float | None = None
    parameters: int | None = None
    flops: int | None = None
    input_size: int | None = None
    shared: bool = False
    interrupted: int = 0
    errors: list[str] = field(default_factory=list)
    shown_params: dict[str, Any] = field(default_factory=dict)
    shown_optimizer_params: dict[str, Any] = field(default_factory=dict)
    tuning: Tuning | None = None
    draw: dict[str, Any] = field(default_factory=dict)
    members: tuple[int, ...] = ()
    val_is: str = ""
    mark: str = ""
    runs: list[str] = field(default_factory=list)
    content: str | None = None
    records: list[RunRecord] = field(default_factory=list, repr=False, compare=False)

    def to_plain(self) -> dict[str, Any]:
        """Return as plain data all but the records and what somebody asked for."""
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        del kept["records"], kept["asked"]
        for name in ("score", "tuning"):
            kept[name] = asdict(kept[name]) if kept[name] is not None else None
        return kept

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_plain` wrote."""
        score, tuning = data["score"], data["tuning"]
        known = {
            "score": stats.Interval(**score) if score else None,
            "tuning": Tuning(**{**tuning, "objectives": tuple(tuning["objectives"])})
            if tuning
            else None,
            "members": tuple(data["members"]),
        }
        return cls(**{**data, **known})

    @property
    def is_tuned(self) -> bool:
        """Whether a search chose its params, and not the defaults."""
        return self.tuning is not None and self.tuning.trial != 0

    @property
    def failures(self) -> int:
        """How many runs failed for good: one that was interrupted says nothing of its method."""
        return self.failed - self.interrupted

    @property
    def name(self) -> str:
        """The model, what it starts from, and the params and pins that tell the row from others."""
        model = f"{self.model} from {self.weights}" if self.weights else self.model
        if not self.members:
            return _detailed(model, self.shown_params)
        fewest, most = self.members[0], self.members[-1]
        count = str(most) if fewest == most else f"{fewest} to {most}"
        return _detailed(
            model, {}, ", ".join([f"{count} member{'s' * (most > 1)}", *_told(self.shown_params)])
        )

    @property
    def optimizer_name(self) -> str:
        """The optimizer with the params that tell the row from others."""
        return _detailed(self.optimizer, self.shown_optimizer_params, self.mark)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as `leaderboard.json` holds it."""
        metrics: dict[str, Any] = {}
        if self.score is not None:
            interval = self.score
            metrics[self.metric] = {
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "n": self.n,
                "noise": self.noise,
            }
            metrics[f"val_{self.metric}"] = {"mean": self.val_score, "n": self.val_n}
            metrics["log_loss"] = {"mean": self.log_loss, "n": self.n}
            metrics |= {name: {"mean": mean, "n": self.n} for name, mean in self.others.items()}
            metrics |= {
                name: {**asdict(found.interval), "n": self.n, "noise": found.noise}
                for name, found in self.asked.items()
            }
        first = ("rank", "tie_group", "dataset", "model", "weights", "optimizer")
        names = (*first, "params", "protocol")
        measured = ("train_seconds", "images_per_second", "latency_ms", "parameters", "flops")
        return {
            **{name: getattr(self, name) for name in names},
            "metric": self.metric,
            "tuned": self.is_tuned,
            "trials": self.tuning.trials if self.tuning else 0,
            "tuning": self.tuning.to_dict() if self.tuning else None,
            "members": max(self.members, default=None),
            "val_is": self.val_is or None,
            "draw": self.draw or None,
            "seeds": self.seeds,
            "failed": self.failed,
            "metrics": metrics,
            **{name: getattr(self, name) for name in measured},
            "input_size": self.input_size,
            "shared_device": self.shared,
            "device": self.device,
            "mode": self.mode,
            "devices": self.devices,
            "pinned": sorted(self.pinned),
            "errors": self.errors,
            "content": self.content,
            "runs": self.runs,
        }


SORTS: dict[str, tuple[Callable[[Row], Any], bool]] = {
    "score": (lambda row: row.score.mean if row.score else None, True),
    "val_score": (lambda row: row.val_score, True),
    "log_loss": (lambda row: row.log_loss, False),
    # Times of runs that shared their device say nothing of the model.
    "train_seconds": (lambda row: None if row.shared else row.train_seconds, False),
    "images_per_second": (lambda row: None if row.shared else row.images_per_second, True),
    "latency_ms": (lambda row: None if row.shared else row.latency_ms, False),
    "parameters": (lambda row: row.parameters, False),
}
"""What rows can be sorted by, and whether more is better."""


def row_of(
    records: list[RunRecord], book: AnswerBook, known: Mapping[str, StudyRecord] | None = None
) -> Row:
    """Aggregate the runs of one method on one content.

    Args:
        records: of one method.
        book: predictions of runs.
        known: studies by id, of which the row may be an outcome.
    """
    records = sorted(records, key=lambda record: record.spec.seed)
    ok = [record for record in records if comparison.is_scored(record)]
    first = (ok or records)[0]
    spec = first.spec
    row = Row(
        dataset=spec.dataset.name,
        model=spec.model.name,
        weights=spec.weights.name if spec.weights else None,
        optimizer=spec.optimizer.name,
        params={kind: dict(ref.params) for kind, ref in spec.components.items()},
        protocol=dict(spec.protocol),
        pinned=dict(spec.pinned),
        seeds=len(ok),
        failed=len(records) - len(ok),
        interrupted=sum(record.status is RunStatus.INTERRUPTED for record in records),
        device=str(spec.key.get("device", spec.device)),
        mode=str(spec.mode),
        devices=spec.devices,
        runs=[record.id for record in records],
        content=spec.key.get("dataset", {}).get("fingerprint"),
        records=records,
        errors=_errors(records),
        tuning=_tuning(records, known or {}),
        draw=dict(spec.drawing.get("draw", {})),
        members=_members(records),
        val_is=_val_is(first),
    )
    if not ok:
        return row
    row.metric = comparison.metric_of(first)
    row.n = int(ok[0].metrics["test"]["n"])
    row.score, row.noise = comparison.interval(ok, book)
    row.val_score = _mean(score_of(record, "val") for record in ok)
    row.others = _others(ok, row.metric)
    row.val_n = int(ok[0].metrics["val"]["n"])
    row.log_loss = _mean(record.metrics["test"].get("log_loss") for record in ok)
    row.train_seconds = _mean(record.timing.get("train_seconds") for record in ok)
    row.images_per_second = _mean(record.timing.get("images_per_second") for record in ok)
    row.latency_ms = _mean(record.profile.get("latency_ms") for record in ok)
    row.shared = any(record.environment.get("shared_device") for record in ok)
    row.parameters = _whole(record.profile.get("parameters") for record in ok)
    row.flops = _whole(record.profile.get("flops") for record in ok)
    row.input_size = first.profile.get("input_size")
    return row


def _tuning(records: Sequence[RunRecord], known: Mapping[str, StudyRecord]) -> Tuning | None:
    """Return the search that chose these runs, or that ended with these default params."""
    told = records[0].spec.tuned
    if told:
        study, trial = known.get(str(told["study"])), int(told["trial"])
        return Tuning.of(study, trial) if study else Tuning(str(told["study"]), trial)
    ids = {record.id for record in records}
    for study in known.values():
        for trial, finals in zip(study.best, study.finals, strict=False):
            if trial == 0 and ids & {*finals}:
                return Tuning.of(study, trial)
    return None


def _members(records: Sequence[RunRecord]) -> tuple[int, ...]:
    """Return how many runs the ensembles of a row combine, ascending; none for trained runs."""
    used = set()
    for record in records:
        if record.spec.members:
            told = _ensemble(record).get("members")
            used.add(told if isinstance(told, int) else len(record.spec.members))
    return tuple(sorted(used))


def _val_is(record: RunRecord) -> str:
    return str(_ensemble(record).get("val_is", "")) if record.spec.members else ""


def _ensemble(record: RunRecord) -> Mapping[str, Any]:
    told = record.environment.get("ensemble")
    return told if isinstance(told, Mapping) else {}


def in_order(rows: list[Row], by: str) -> list[Row]:
    """Sort rows by a column, best first; rows without a value come last either way.

    Args:
        rows: of one block.
        by: one of `SORTS`, or else the name of a further metric.
    """
    value, descending = SORTS.get(by) or _further(rows, by)

    def key(row: Row) -> tuple[bool, float, bool, str, str]:
        number = value(row)
        missing = number is None or math.isnan(number)
        return (
            missing,
            0.0 if missing else (-number if descending else number),
            row.score is None,  # what failed comes after what only lacks this
            row.name,
            row.optimizer,
        )

    return sorted(rows, key=key)


def _further(rows: Sequence[Row], name: str) -> tuple[Callable[[Row], Any], bool]:
    """Return how rows are sorted by a metric that no column of every table holds."""
    asked = [row.asked[name].metric for row in rows if name in row.asked]

    def value(row: Row) -> float | None:
        if name in row.asked:
            return row.asked[name].interval.mean
        return row.others.get(name)

    return value, not (asked and asked[0].lower_is_better)


def by_rank(rows: list[Row]) -> list[Row]:
    """Sort rows by tie group and within it by score; rows without a rank come last."""
    return sorted(in_order(rows, "score"), key=lambda row: row.tie_group or math.inf)


def succeeded(row: Row) -> list[RunRecord]:
    """Return the runs of a row that have a score."""
    return [record for record in row.records if comparison.is_scored(record)]


def percent(interval: stats.Interval) -> str:
    """Return an interval of a proportion as `78.0% (75.3 to 80.5)`."""
    return f"{interval.mean:.1%} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _errors(records: list[RunRecord]) -> list[str]:
    """Return each distinct failure once, with how many runs it befell."""
    counts: dict[str, int] = {}
    for record in records:
        if comparison.is_scored(record):
            continue
        text = f"{record.status}: {record.error}" if record.error else str(record.status)
        if record.status is RunStatus.OK:
            text = f"its test {comparison.metric_of(record)} is no number"
        counts[text] = counts.get(text, 0) + 1
    return [text if times == 1 else f"{times} × {text}" for text, times in counts.items()]


def _others(records: list[RunRecord], metric: str) -> dict[str, float]:
    """Return what else is told of a row: a tree's levels, a multi-label task's other metrics."""
    test = records[0].metrics["test"]
    names = [*SECONDARY[metric], *(name for name in test if name.startswith("accuracy_level_"))]
    means = {name: _mean(r.metrics["test"].get(name) for r in records) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def _detailed(name: str, params: dict[str, Any], mark: str = "") -> str:
    told = _told(params)
    details = ", ".join([*told, mark] if mark else told)
    return f"{name} ({details})" if details else name


def _told(params: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in params.items()]


def _whole(values: Iterable[Any]) -> int | None:
    """Return what all runs of a method have; of ensembles, whose members may differ, the mean."""
    mean = _mean(values)
    return None if mean is None else round(mean)


def _mean(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    known = [value for value in known if math.isfinite(value)]
    return sum(known) / len(known) if known else None
