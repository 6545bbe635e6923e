"""From a results folder to the content of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import answers, comparison, rankings, studies
from bench.answers import AnswerBook
from bench.cards import Card
from bench.errors import StoreError
from bench.index import Entry
from bench.provenance import library_version
from bench.records import RunRecord
from bench.registry import Registry
from bench.report import (
    blocks,
    choice,
    findings,
    learning,
    settings,
    significance,
    targets,
    tradeoffs,
    tuning,
)
from bench.report.choice import Section, Shown
from bench.report.content import Block, Content, DatasetPart, RunPart
from bench.report.counting import counts
from bench.report.datasets import card_of, dataset_part
from bench.report.gallery import Gallery
from bench.report.pairs import Pairs, compared
from bench.report.runs import run_part
from bench.report.shelf import Shelf
from bench.store import Store
from bench.text import one_line

TOP = 20
"""Rows of a report, the best over all blocks in turn, of which a run is told in detail."""

# A page is to stay below 3 MB however many blocks there are, of which pictures in base64 and the
# runs that are told in detail may take two.
CHARTS_IN_ALL = 30
"""Charts of all blocks; each block has one of each kind before any has a second."""
DOTS, DOTS_IN_ALL = 60, 80
"""Rows of a block whose cost is drawn beside those on the Pareto front, and those of all blocks."""
COMPARED, COMPARED_IN_ALL = 12, 24
"""Rows of a block whose pairs are compared, and those of all blocks."""
DRAWN, DRAWN_IN_ALL = 8, 20
"""Rows of a block whose curves are drawn together, and those of all blocks."""
MOST_DATASETS = 20
"""Datasets that are told of."""
MODELS, BESIDE_IN_ALL = 4, 20
"""Models of a block whose optimizers are drawn side by side, and the rows of all blocks."""


class NothingToReportError(StoreError):
    """A folder of which nothing can be told, or not yet."""


def prepare(store: Store, registry: Registry, top: int = TOP) -> Content:
    """Return what a report of the runs of a results folder tells.

    Args:
        store: is left with the warnings of what could not be read.
        registry: of the components that commands name.
        top: rows that are told of in detail.

    Raises:
        NothingToReportError: there is no such folder, or nothing in it to tell of.
    """
    if not store.root.is_dir():
        raise NothingToReportError(
            f"there is no folder `{store.root}`; name one that `bench run` has written by "
            "`--results`"
        )
    with rankings.without_collecting():
        entries = store.entries()
        board = rankings.stored(store, entries=entries)
    found, _ = studies.read_all(store.root)
    if not (board.blocks or found):
        raise NothingToReportError(_why_nothing(store, entries))
    said = counts(entries, board, store)
    warnings = [*store.warnings]
    sections = choice.sections_of(board)
    wanted = _choose(sections, top)
    choice.read(wanted.with_records, store)
    warnings += store.warnings
    samples = choice.one_each(wanted.settings, store)
    warnings += store.warnings
    book = AnswerBook(store)
    traces = learning.read(wanted.with_curves, store)
    pairs = compared(wanted.compared, entries, book, store)
    warnings += store.warnings
    told = [(shown, run) for rows in wanted.told for shown in rows if (run := _telling(shown))]
    gallery = Gallery(store, (run for _, run in told))
    trained = [(run, card_of(run, store)) for run in _trained(sections, samples)]
    # Room is shared by those that have any pictures.
    showing = [_has_samples(card) for _, (card, _) in trained]
    showing += [gallery.has_any(run) for _, run in told]
    shelf = Shelf(parts=sum(showing))
    described = _datasets(trained, shelf)
    runs = _runs(told, book, store, registry, shelf, gallery)
    warnings += [*store.warnings, *_unusable(sections, book, store)]
    parts = {part.row: part.id for part in runs}
    result = [
        _block(section, parts, wanted, place, traces, pairs[place])
        for place, section in enumerate(sections)
    ]
    result = blocks.with_room(result, CHARTS_IN_ALL)
    store.warnings = [*dict.fromkeys(warnings)]
    return Content(
        _title(sections, store.root),
        datetime.now(UTC).isoformat(timespec="seconds"),
        library_version("bench-harness") or "unknown",
        said,
        tuple(result),
        findings.of(board.standings, sections, found),
        described,
        tuning.study_parts(store, found),
        runs,
        settings.of(sections, wanted.settings, samples),
        shelf.images,
        tuple(store.warnings),
    )


def _unusable(sections: Sequence[Section], book: AnswerBook, store: Store) -> list[str]:
    """Note in blocks whose predictions only the report has found to be of no use; warn of them."""
    fresh: dict[str, str] = {}
    for section in sections:
        own = [run for shown in section.rows for run in shown.row.runs]
        found = {run: book.unusable[run] for run in own if run in book.unusable}
        fresh |= {run: why for run, why in found.items() if run not in section.block.unusable}
        section.block.unusable |= found
    return answers.warnings(fresh, store)


def _why_nothing(store: Store, entries: Sequence[Entry]) -> str:
    start, present = f"no finished runs in `{store.root}`", len(store.ids())
    if entries:
        return f"{start}: there are only trials of searches; the same `bench run` goes on"
    if present:
        return f"{start}: none of its {present:,} records can be read; `bench run` makes them again"
    if store.unfinished:
        begun = len(store.unfinished)
        return f"{start}: {begun:,} under way, or cut off; the same `bench run` goes on with them"
    return (
        f"{start}; `bench run --models resnet50,mobilenet` makes some, and `--results` names the "
        "folder that it has written, which has `runs` in it"
    )


def _runs(
    told: Sequence[tuple[Shown, RunRecord]],
    book: AnswerBook,
    store: Store,
    registry: Registry,
    shelf: Shelf,
    gallery: Gallery,
) -> tuple[RunPart, ...]:
    """Tell of one run of each row that is told of in detail."""
    result = []
    for shown, run in told:
        label = f"{shown.label}, seed {run.spec.seed}"
        with shelf.part(int(gallery.has_any(run))):
            part = run_part(run, shown.id, label, book, store, registry, shelf, gallery)
        book.forget(run)
        result.append(part)
    return tuple(result)


def _telling(shown: Shown) -> RunRecord | None:
    """Return the run that stands for a row: of those that succeeded the best on val.

    It is the one whose weights are kept; test has no say in it.
    """
    best = sorted(shown.runs, key=lambda run: -(comparison.score_of(run, "val") or 0.0))
    return next(iter([*best, *shown.row.records]), None)


def _trained(sections: Sequence[Section], samples: Mapping[str, RunRecord]) -> list[RunRecord]:
    """Return of each content that runs were trained on a run that got that far."""
    found: dict[tuple[str, str | None], RunRecord] = {}
    for section in sections:
        own = [run for shown in section.rows for run in (shown.runs or shown.row.records)]
        own += [samples[shown.id] for shown in section.rows if shown.id in samples]
        row = section.rows[0].row
        if own and row.content:
            found.setdefault((row.dataset, row.content), own[0])
    return [*found.values()][:MOST_DATASETS]


def _datasets(
    trained: Sequence[tuple[RunRecord, tuple[Card | None, bool]]], shelf: Shelf
) -> tuple[DatasetPart, ...]:
    """Tell of each content by a run on it and its card."""
    result = []
    for number, (run, (card, damaged)) in enumerate(trained):
        with shelf.part(int(_has_samples(card))):
            result.append(dataset_part(run, card, shelf, f"d{number}", damaged=damaged))
    return tuple(result)


def _has_samples(card: Card | None) -> bool:
    return card is not None and len(card.images) > 0


@dataclass(frozen=True)
class _Wanted:
    """Rows whose records are read, by what for; a list for each block."""

    told: Sequence[Sequence[Shown]]
    compared: Sequence[Sequence[Shown]]
    dotted: Sequence[Sequence[Shown]]
    drawn: Sequence[Sequence[Shown]]
    beside: Sequence[Sequence[Sequence[Shown]]]
    settings: Sequence[Shown]

    @property
    def with_curves(self) -> list[Shown]:
        side_by_side = [rows for groups in self.beside for rows in groups]
        return [shown for rows in (*self.drawn, *side_by_side) for shown in rows]

    @property
    def with_records(self) -> list[Shown]:
        told = [shown for rows in self.told for shown in rows]
        return [*told, *self.with_curves]


def _choose(sections: Sequence[Section], top: int) -> _Wanted:
    ranked = [section.ranked for section in sections]
    models = [[*_models(rows)] for rows in ranked]
    flat = iter(choice.in_turn([rows for groups in models for rows in groups], BESIDE_IN_ALL))
    chosen = choice.in_turn([section.rows for section in sections], settings.MOST)
    return _Wanted(
        choice.in_turn([section.rows for section in sections], top),
        choice.in_turn([rows[:COMPARED] for rows in ranked], COMPARED_IN_ALL),
        choice.in_turn([rows[:DOTS] for rows in ranked], DOTS_IN_ALL),
        choice.in_turn([rows[:DRAWN] for rows in ranked], DRAWN_IN_ALL),
        [[next(flat) for _ in groups] for groups in models],
        [shown for rows in chosen for shown in rows],
    )


def _models(rows: Sequence[Shown]) -> Iterator[Sequence[Shown]]:
    """Yield the rows of the best models that were trained with several optimizers."""
    by_model: dict[str, list[Shown]] = {}
    for shown in rows:
        by_model.setdefault(shown.row.name, []).append(shown)
    # Of a single model the chart of all rows compares the optimizers already.
    several = [own for own in by_model.values() if len(own) > 1] if len(by_model) > 1 else []
    yield from (own[:DRAWN] for own in several[:MODELS])


def _block(
    section: Section,
    parts: Mapping[str, str],
    wanted: _Wanted,
    place: int,
    traces: learning.Traces,
    pairs: Pairs,
) -> Block:
    reached, over_time = targets.reached(section, wanted.drawn[place], traces)
    curves = learning.charts(section, wanted.drawn[place], wanted.beside[place], traces)
    return blocks.block_part(
        section,
        parts,
        tradeoffs=tradeoffs.charts(section, parts, len(wanted.dotted[place])),
        learning=[*curves, *([over_time] if over_time else [])],
        reached=reached,
        significance=significance.matrix(section, wanted.compared[place], pairs),
    )


def _title(sections: Sequence[Section], root: Path) -> str:
    """Return what a report is of: its datasets, or its folder where they are many or none."""
    names = [*dict.fromkeys(one_line(each.block.rows[0].dataset, 60) for each in sections)]
    if 0 < len(names) <= 3:
        return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    where = one_line(root.resolve().name, 60) or "results"
    return f"{where}: {len(names)} datasets" if names else where
