"""From records to ranked tables: one block for each dataset and protocol.

Rows are ranked within a block only. Rows that cannot be told apart share a rank, and what failed
is a row with its cause and no rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import answers, comparison, conclusion, standings, stats, studies
from bench.answers import AnswerBook
from bench.naming import labels_of, tell_apart
from bench.records import SEEDED, Purpose, RunRecord, RunStatus, canonical
from bench.rows import Row, by_rank, in_order, row_of, succeeded
from bench.scoring import Scorer
from bench.standings import Standings
from bench.store import Store
from bench.studies import StudyRecord

SCHEMA = 1


@dataclass
class Block:
    """The rows of one dataset and protocol, ranked.

    Attributes:
        title: the dataset, and what tells this protocol from the other blocks'.
        answer: one sentence: which row to choose, or that they cannot be told apart.
        metric: what rows are ranked by.
        gap: the smallest difference in it that the test set resolves with one seed.
        gap_of_methods: the same of the best two rows with the seeds that they have; None unless
            both have several.
        details: the protocol fields that its title names, as it says them.
        sort: the column or metric that its rows are ordered by; `score` is what ranks.
        unusable: why predictions of its runs that were asked for cannot be used, by run id.
    """

    title: str
    rows: list[Row]
    answer: str = ""
    metric: str = "accuracy"
    gap: float | None = None
    gap_of_methods: float | None = None
    details: dict[str, str] = field(default_factory=dict)
    sort: str = "score"
    unusable: dict[str, str] = field(default_factory=dict)


@dataclass
class Leaderboard:
    """All blocks of some records, and what holds over several datasets."""

    blocks: list[Block]
    standings: list[Standings] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """The rows of all blocks."""
        return [row for block in self.blocks for row in block.rows]

    @property
    def unusable(self) -> dict[str, str]:
        """Why predictions of runs that were asked for cannot be used, by run id."""
        return {run: why for block in self.blocks for run, why in block.unusable.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `leaderboard.json`."""
        blocks = [
            {
                "title": block.title,
                "answer": block.answer,
                "metric": block.metric,
                "resolvable_gap": block.gap,
                "sorted_by": block.sort,
                "resolvable_gap_of_methods": block.gap_of_methods,
                "without_predictions": [*block.unusable],
            }
            for block in self.blocks
        ]
        rows = [
            {**row.to_dict(), "block": number}
            for number, block in enumerate(self.blocks)
            for row in block.rows
        ]
        over_datasets = [each.to_dict() for each in self.standings]
        return {"schema": SCHEMA, "blocks": blocks, "rows": rows, "standings": over_datasets}


def build(
    records: Iterable[RunRecord], store: Store, sort: str = "score", scorer: Scorer | None = None
) -> Leaderboard:
    """Aggregate and rank the final runs among some records.

    Of a cell that was done with different code or versions, only the runs of the latest count:
    seeds of two versions have no common mean. What a study had chosen before it went on counts no
    more either.

    Args:
        records: of any kind.
        store: where their predictions are.
        sort: what rows are ordered by; ranks stay those of the score.
        scorer: of the metrics to show besides.
    """
    found, warnings = studies.read_all(store.root)
    board = assembled(blocks_of(records, store, found, scorer), sort)
    store.warnings += [*warnings, *answers.warnings(board.unusable, store)]
    return board


def blocks_of(
    records: Iterable[RunRecord],
    store: Store,
    found: Iterable[StudyRecord],
    scorer: Scorer | None = None,
) -> list[Block]:
    """Return the blocks of some records, ranked and concluded but without titles.

    Runs of different contests (see `RunSpec.contest`) have no influence on each other.

    Args:
        records: oldest first.
        store: has their predictions.
        found: the studies that may have chosen params.
        scorer: of the metrics to show besides.
    """
    known = {study.id: study for study in found}
    blocks: dict[str, list[list[RunRecord]]] = {}
    for runs in current(records, known):
        blocks.setdefault(canonical(block_of(runs[0])), []).append(runs)
    book = AnswerBook(store)
    result = []
    scorer = scorer or Scorer((), book, store)
    runs_ranked = (run for cells in blocks.values() for runs in cells for run in runs)
    scorer.read(run for run in runs_ranked if comparison.is_scored(run))
    for cells in blocks.values():
        rows = [row_of(runs, book, known) for runs in cells]
        for row in rows:
            row.asked = scorer.measure(succeeded(row))
        tell_apart(rows)
        _rank(rows, book)
        block = Block("", by_rank(rows))
        _conclude(block, book)
        own = {run for row in rows for run in row.runs}
        block.unusable = {run: why for run, why in book.unusable.items() if run in own}
        result.append(block)
    return result


def assembled(
    blocks: list[Block], sort: str = "score", known: list[Standings] | None = None
) -> Leaderboard:
    """Return blocks as one leaderboard: titled by what tells them apart, their rows sorted.

    Args:
        blocks: of any datasets.
        sort: what rows are ordered by.
        known: what holds over several datasets; found out where None.
    """
    _name(blocks)
    for block in blocks:
        block.rows = by_rank(block.rows) if sort == "score" else in_order(block.rows, sort)
        block.sort = sort
    ordered = sorted(blocks, key=lambda block: block.title)
    if known is None:
        known = standings.over_datasets([block.rows for block in ordered])
    return Leaderboard(ordered, known)


def compare(a: Row, b: Row, book: AnswerBook) -> stats.Difference:
    """Compare the scores of two rows of a block, as methods if seeds allow it."""
    return comparison.compare(succeeded(a), succeeded(b), book)


def current(
    records: Iterable[RunRecord], known: Mapping[str, StudyRecord]
) -> list[list[RunRecord]]:
    """Return the final runs of each method that were made in the same, latest circumstances.

    Args:
        records: oldest first.
        known: studies by id; what one had chosen before it went on is left out.
    """
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
    result = []
    for place, contents in cells.items():
        # A dataset that could not be loaded once has no content; what was found later counts.
        for content in [each for each in contents if (place, each) in found_later]:
            del contents[content]
    for runs in (runs for contents in cells.values() for runs in contents.values()):
        # An interrupted run says nothing against what was finished before it.
        telling = [r for r in runs if r.status is not RunStatus.INTERRUPTED] or runs
        version = _circumstances(telling[-1])
        result.append([record for record in runs if _circumstances(record) == version])
    return [runs for runs in result if not _is_superseded(runs[0], known)]


def _is_superseded(record: RunRecord, known: Mapping[str, StudyRecord]) -> bool:
    """Return whether a study has found better params since it chose those of a run."""
    told = record.spec.tuned
    study = known.get(str(told["study"])) if told else None
    return study is not None and study.over and told["trial"] not in study.best


def circumstances_of(record: RunRecord) -> dict[str, Any]:
    """Return the part of a run's key that all runs of its method share, code and versions."""
    return {name: value for name, value in record.spec.key.items() if name not in SEEDED}


def _circumstances(record: RunRecord) -> str:
    """Return the run's key without what differs from seed to seed."""
    return canonical(circumstances_of(record))


def block_of(record: RunRecord) -> dict[str, Any]:
    """Return what runs must have in common to be ranked together, by field."""
    spec = record.spec
    content = spec.key.get("dataset", {}).get("fingerprint")
    # A component that pins a field belongs beside those that leave it as the user wants it.
    asked = {**spec.protocol, **spec.pinned}
    return {"dataset": spec.dataset.name, "content": content, **asked, "mode": str(spec.mode)}


def _rank(rows: list[Row], book: AnswerBook) -> None:
    """Give each row with a score its tie group, and its rank: one more than rows in groups before.

    So a row that cannot be told from the best only because its own noise is wide has rank 1 too,
    and stands before steadier ones that can.
    """
    ordered = in_order([row for row in rows if row.score is not None], "score")
    runs = [succeeded(row) for row in ordered]
    groups = stats.tie_groups(
        len(ordered),
        lambda leader, others: comparison.against(runs[leader], [runs[i] for i in others], book),
    )
    for row, group in zip(ordered, groups, strict=True):
        row.tie_group = group
        row.rank = 1 + sum(other < group for other in groups)


def _conclude(block: Block, book: AnswerBook) -> None:
    """Say what the block comes to, and what could be told apart in it."""
    ranked = by_rank([row for row in block.rows if row.rank is not None])
    block.answer = conclusion.conclude(ranked, labels_of(block.rows), book)
    if not ranked:
        return
    best = ranked[0]
    assert best.score is not None
    block.metric = best.metric
    block.gap = comparison.resolvable_gap(succeeded(best)[0], best.score)
    if len(ranked) > 1:
        found = compare(best, ranked[1], book)
        if found.test.of_methods:
            block.gap_of_methods = (found.high - found.low) / 2


def titled(dataset: str, details: Mapping[str, str]) -> str:
    """Return a dataset's name with details of a protocol."""
    said = ", ".join(f"{name} {value}" for name, value in details.items())
    return f"{dataset} · {said}" if said else dataset


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
        block.details = {
            name.replace("_", " "): _word(value) for name, value in {**always, **differing}.items()
        }
        block.title = titled(dataset, block.details)


def _titled_fields(rows: list[Row]) -> dict[str, Any]:
    """Return a block's protocol as the user asked for it, pins left out."""
    row = rows[0]
    # Two folders of one name differ in their paths, and one of several versions in its content.
    dataset_params = {f"dataset {k}": v for k, v in row.params["dataset"].items()}
    own = {**dataset_params, "content": (row.content or "unknown")[:8]}
    return {**row.protocol, **row.pinned, **own, "mode": row.mode}


def _word(value: Any) -> str:
    """Return a protocol field's value as users write it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
