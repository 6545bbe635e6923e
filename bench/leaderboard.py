"""From records to ranked tables: one block for each dataset and protocol.

Rows are ranked within a block only. Rows that cannot be told apart share a rank, and what failed
is a row with its cause and no rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import comparison, stats
from bench.comparison import AnswerBook, score_of
from bench.records import Purpose, RunRecord, RunStatus, canonical
from bench.store import Store

SCHEMA = 1
METRIC_NAMES = {"accuracy": "accuracy", "mean_average_precision": "mAP"}
"""How tables call the metrics that rank."""
SECONDARY = {
    "accuracy": (),
    "mean_average_precision": ("accuracy", "f1_macro", "f1_micro"),
}
"""What else a row tells of its test split, beside what ranks it."""


@dataclass
class Row:
    """One cell of an experiment: its runs, aggregated over seeds.

    Attributes:
        rank: 1 for the best and all that tie with it; None where no run succeeded.
        tie_group: 1, 2, ...; equal for rows that cannot be told apart from their group's best.
        metric: the name of the metric that ranks.
        score: the metric on test; its interval speaks of seeds with two or more, else of items.
        others: further metrics on test by name, means over seeds.
        noise: which noise the interval speaks of: `seeds` or `items`.
        n: test items of one run.
        shown_params: the params that tell this row from its neighbours, the optimizer's apart.
        errors: one line for each run that failed, with its status.
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
    rank: int | None = None
    tie_group: int | None = None
    metric: str = "accuracy"
    score: stats.Interval | None = None
    others: dict[str, float] = field(default_factory=dict)
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
    errors: list[str] = field(default_factory=list)
    shown_params: dict[str, Any] = field(default_factory=dict)
    shown_optimizer_params: dict[str, Any] = field(default_factory=dict)
    records: list[RunRecord] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """The model with the params and pins that tell the row from others."""
        return _detailed(self.model, self.shown_params)

    @property
    def optimizer_name(self) -> str:
        """The optimizer with the params that tell the row from others."""
        return _detailed(self.optimizer, self.shown_optimizer_params)

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
        names = ("rank", "tie_group", "dataset", "model", "optimizer", "params", "protocol")
        measured = ("train_seconds", "images_per_second", "latency_ms", "parameters", "flops")
        return {
            **{name: getattr(self, name) for name in names},
            "metric": self.metric,
            "tuned": False,
            "trials": 0,
            "seeds": self.seeds,
            "failed": self.failed,
            "metrics": metrics,
            **{name: getattr(self, name) for name in measured},
            "input_size": self.input_size,
            "device": self.device,
            "mode": self.mode,
            "pinned": sorted(self.pinned),
            "errors": self.errors,
            "runs": [record.id for record in self.records],
        }


@dataclass
class Block:
    """The rows of one dataset and protocol, ranked.

    Attributes:
        title: the dataset, and what tells this protocol from the other blocks'.
        answer: one sentence: which row to choose, or that they cannot be told apart.
        metric: what rows are ranked by.
        gap: the smallest difference in it that the test set resolves with one seed.
    """

    title: str
    rows: list[Row]
    answer: str = ""
    metric: str = "accuracy"
    gap: float | None = None


@dataclass
class Leaderboard:
    """All blocks of some records."""

    blocks: list[Block]

    @property
    def rows(self) -> list[Row]:
        """The rows of all blocks."""
        return [row for block in self.blocks for row in block.rows]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `leaderboard.json`."""
        blocks = [
            {
                "title": block.title,
                "answer": block.answer,
                "metric": block.metric,
                "resolvable_gap": block.gap,
            }
            for block in self.blocks
        ]
        rows = [
            {**row.to_dict(), "block": number}
            for number, block in enumerate(self.blocks)
            for row in block.rows
        ]
        return {"schema": SCHEMA, "blocks": blocks, "rows": rows}


SORTS: dict[str, tuple[Callable[[Row], Any], bool]] = {
    "score": (lambda row: row.score.mean if row.score else None, True),
    "val_score": (lambda row: row.val_score, True),
    "log_loss": (lambda row: row.log_loss, False),
    "train_seconds": (lambda row: row.train_seconds, False),
    "images_per_second": (lambda row: row.images_per_second, True),
    "latency_ms": (lambda row: row.latency_ms, False),
    "parameters": (lambda row: row.parameters, False),
}
"""What rows can be sorted by, and whether more is better."""


def build(records: Iterable[RunRecord], store: Store, sort: str = "score") -> Leaderboard:
    """Aggregate and rank the final runs among some records.

    Of a cell that was done with different code or versions, only the runs of the latest count:
    seeds of two versions have no common mean.
    """
    blocks: dict[str, list[list[RunRecord]]] = {}
    for runs in _current(records):
        blocks.setdefault(_block_key(runs[0]), []).append(runs)
    book = AnswerBook(store)
    result = []
    for cells in blocks.values():
        rows = [_row(runs, book) for runs in cells]
        _tell_apart(rows)
        _rank(rows, book)
        block = Block("", _sorted(rows, sort))
        _conclude(block, book)
        result.append(block)
    _name(result)
    result.sort(key=lambda block: block.title)
    return Leaderboard(result)


def percent(interval: stats.Interval) -> str:
    """Return an interval of a proportion as `78.0% (75.3 to 80.5)`."""
    return f"{interval.mean:.1%} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _current(records: Iterable[RunRecord]) -> list[list[RunRecord]]:
    """Return the final runs of each method that were made in the same, latest circumstances."""
    cells: dict[tuple[str, str], dict[str, list[RunRecord]]] = {}
    found_later = set()
    for record in records:
        spec = record.spec
        if spec.purpose is Purpose.FINAL:
            place = (spec.method, str(spec.key.get("device")))
            # Without a content, what could not be loaded tells one dataset from another.
            unknown = canonical(dict(spec.dataset.params))
            content = spec.key.get("dataset", {}).get("fingerprint")
            cells.setdefault(place, {}).setdefault(content or unknown, []).append(record)
            if content:
                found_later.add((place, unknown))
    current = []
    for place, contents in cells.items():
        # A dataset that could not be loaded once has no content; what was found later counts.
        for content in [each for each in contents if (place, each) in found_later]:
            del contents[content]
    for runs in (runs for contents in cells.values() for runs in contents.values()):
        # An interrupted run says nothing against what was finished before it.
        telling = [r for r in runs if r.status is not RunStatus.INTERRUPTED] or runs
        version = _circumstances(telling[-1])
        current.append([record for record in runs if _circumstances(record) == version])
    return current


def _circumstances(record: RunRecord) -> str:
    """Return the run's key without its seed."""
    return canonical({name: value for name, value in record.spec.key.items() if name != "seed"})


def _block_key(record: RunRecord) -> str:
    """Return what runs must have in common to be ranked together."""
    spec = record.spec
    content = spec.key.get("dataset", {}).get("fingerprint")
    # A component that pins a field belongs beside those that leave it as the user wants it.
    asked = {**spec.protocol, **spec.pinned}
    return canonical([spec.dataset.name, content, asked, spec.mode])


def _row(records: list[RunRecord], book: AnswerBook) -> Row:
    records = sorted(records, key=lambda record: record.spec.seed)
    ok = [record for record in records if comparison.is_scored(record)]
    first = (ok or records)[0]
    spec = first.spec
    row = Row(
        dataset=spec.dataset.name,
        model=spec.model.name,
        optimizer=spec.optimizer.name,
        params={kind: dict(ref.params) for kind, ref in spec.components.items()},
        protocol=dict(spec.protocol),
        pinned=dict(spec.pinned),
        seeds=len(ok),
        failed=len(records) - len(ok),
        device=str(spec.key.get("device", spec.device)),
        mode=str(spec.mode),
        records=records,
        errors=_errors(records),
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
    row.parameters = first.profile.get("parameters")
    row.flops = first.profile.get("flops")
    row.input_size = first.profile.get("input_size")
    return row


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


def _tell_apart(rows: list[Row]) -> None:
    """Note in each row the params and pinned fields in which it differs from its neighbours."""
    for row in rows:
        for kind, params in row.params.items():
            if kind == "dataset":
                continue  # its content is the block's
            alike = [
                other.params[kind]
                for other in rows
                if getattr(other, kind, None) == getattr(row, kind, None)
                and other.protocol.get(kind) == row.protocol.get(kind)
            ]
            for name, value in params.items():
                if all(canonical(other.get(name)) == canonical(value) for other in alike):
                    continue
                if kind == "optimizer":
                    row.shown_optimizer_params[name] = value
                else:
                    row.shown_params[name if kind == "model" else f"{kind}.{name}"] = value
        for name in row.pinned:
            row.shown_params[name] = row.protocol[name]


def _others(records: list[RunRecord], metric: str) -> dict[str, float]:
    """Return what else is told of a row: a tree's levels, a multi-label task's other metrics."""
    test = records[0].metrics["test"]
    names = [*SECONDARY[metric], *(name for name in test if name.startswith("accuracy_level_"))]
    means = {name: _mean(r.metrics["test"].get(name) for r in records) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def _rank(rows: list[Row], book: AnswerBook) -> None:
    ranked = _sorted([row for row in rows if row.score is not None], "score")
    groups = stats.tie_groups(len(ranked), lambda i, j: compare(ranked[i], ranked[j], book).p)
    first_of: dict[int, int] = {}
    for place, (row, group) in enumerate(zip(ranked, groups, strict=True), start=1):
        row.tie_group = group
        row.rank = first_of.setdefault(group, place)


def compare(a: Row, b: Row, book: AnswerBook) -> stats.Difference:
    """Compare the scores of two rows of a block, as methods if seeds allow it."""
    return comparison.compare(_succeeded(a), _succeeded(b), book)


def _conclude(block: Block, book: AnswerBook) -> None:
    """Write the sentence that answers the question."""
    ranked = _sorted([row for row in block.rows if row.rank is not None], "score")
    if not ranked:
        block.answer = "no run succeeded; the status column says why"
        return
    best = ranked[0]
    assert best.score is not None
    block.metric = best.metric
    block.gap = comparison.resolvable_gap(_succeeded(best)[0], best.score)
    labels = _labels(block.rows)
    leader = labels[id(best)]
    items = f"{best.n:,} test images with {_seeds(best)}"
    if len(ranked) == 1:
        what = "" if best.metric == "accuracy" else f" {METRIC_NAMES[best.metric]}"
        block.answer = f"{leader} reaches {percent(best.score)}{what} on {items}"
        return
    tied = [row for row in ranked if row.tie_group == 1]
    if len(tied) == 1:
        gap = compare(best, ranked[1], book)
        block.answer = (
            f"{leader} is ahead of {labels[id(ranked[1])]} by {100 * gap.estimate:.1f} points "
            f"({100 * gap.low:.1f} to {100 * gap.high:.1f}) on {items}"
        )
        if best.seeds == 1:
            block.answer += "; this compares two networks, `--seeds 5` compares the methods"
        return
    names = [labels[id(row)] for row in tied]
    who = f"{', '.join(names[:-1])} and {names[-1]}"
    quick = min(tied, key=lambda row: row.train_seconds or math.inf)
    block.answer = f"{who} cannot be told apart on {items}"
    block.answer += f"; {labels[id(quick)]} trains fastest"
    more = 5 if best.seeds < 5 else 2 * best.seeds
    block.answer += f", and `--seeds {more}` may separate them"


def _labels(rows: Sequence[Row]) -> dict[int, str]:
    """Return the shortest name of each row that tells it from the others."""
    models = {row.name for row in rows}
    optimizers = {row.optimizer_name for row in rows}
    result = {}
    for row in rows:
        if len(optimizers) == 1:
            result[id(row)] = row.name
        elif len(models) == 1:
            result[id(row)] = row.optimizer_name
        else:
            result[id(row)] = f"{row.name} with {row.optimizer_name}"
    return result


def _detailed(name: str, params: dict[str, Any]) -> str:
    details = ", ".join(f"{key}={value}" for key, value in params.items())
    return f"{name} ({details})" if details else name


def _name(blocks: list[Block]) -> None:
    """Title each block by its dataset and the protocol fields in which blocks differ."""
    protocols = [_titled_fields(block.rows) for block in blocks]
    for block, fields in zip(blocks, protocols, strict=True):
        dataset = block.rows[0].dataset
        peers = [p for b, p in zip(blocks, protocols, strict=True) if b.rows[0].dataset == dataset]
        differing = {
            name: value
            for name, value in fields.items()
            if any(canonical(peer.get(name)) != canonical(value) for peer in peers)
        }
        always: dict[str, Any] = {
            name: fields[name] for name in ("epochs", "batch_size") if name in fields
        }
        details = ", ".join(
            f"{name.replace('_', ' ')} {'auto' if value is None else value}"
            for name, value in {**always, **differing}.items()
        )
        block.title = f"{dataset} · {details}"


def _titled_fields(rows: list[Row]) -> dict[str, Any]:
    """Return a block's protocol as the user asked for it, pins left out."""
    row = rows[0]
    # Two folders of one name differ in their paths, and one of several versions in its content.
    dataset_params = {f"dataset {k}": v for k, v in row.params["dataset"].items()}
    content = row.records[0].spec.key.get("dataset", {}).get("fingerprint") or "unknown"
    own = {**dataset_params, "content": str(content)[:8]}
    return {**row.protocol, **row.pinned, **own, "mode": row.mode}


def _sorted(rows: list[Row], by: str) -> list[Row]:
    """Sort rows by a column, best first; rows without a value come last either way."""
    value, descending = SORTS[by]

    def key(row: Row) -> tuple[bool, float, str, str]:
        number = value(row)
        missing = number is None or math.isnan(number)
        return (
            missing,
            0.0 if missing else (-number if descending else number),
            row.name,
            row.optimizer,
        )

    return sorted(rows, key=key)


def _succeeded(row: Row) -> list[RunRecord]:
    return [record for record in row.records if comparison.is_scored(record)]


def _mean(values: Iterable[Any]) -> float | None:
    known = [float(value) for value in values if value is not None]
    known = [value for value in known if math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _seeds(row: Row) -> str:
    return "one seed" if row.seeds == 1 else f"{row.seeds} seeds"
