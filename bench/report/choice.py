"""Which rows of a leaderboard a report shows, which it tells more of, and what they are called.

Nothing but the ranking may cost more with every stored run. So records are read for few rows: the
best of all blocks in turn, so that each block has its best told before any has its second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.leaderboard import Block, Leaderboard
from bench.naming import labels_of
from bench.records import RunRecord
from bench.rows import Row, succeeded
from bench.store import Store
from bench.text import one_line

MOST_ROWS = 1000
"""Rows of a block that are shown."""
ROWS_IN_ALL = 2000
"""Rows of all blocks that are shown, of which a page of 3 MB holds three times as many."""
FAILED_SHARE = 10
"""Of the rows that are shown, one in so many may be one that failed, where not all find room."""
MOST_SERIES = 8
"""Names that a legend can hold apart."""
LONGEST_LABEL = 60
"""Letters of a label; of longer ones the end is left out."""

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Shown:
    """A row, and what a report calls it.

    Attributes:
        id: of its part of the report.
        label: the shortest name that tells it from the other rows of its block.
        row: with its records, once they have been read.
    """

    id: str
    label: str
    row: Row

    @property
    def runs(self) -> list[RunRecord]:
        """Its runs that succeeded, as far as they have been read; by seed."""
        return succeeded(self.row)


@dataclass(frozen=True)
class Section:
    """A block as a report shows it.

    Attributes:
        id: of its part of the report.
        rows: the first ones of the block.
        left_out: how many more there are.
    """

    id: str
    block: Block
    rows: tuple[Shown, ...]
    left_out: int

    @property
    def ranked(self) -> list[Shown]:
        """The rows that have a score, best first."""
        return [shown for shown in self.rows if shown.row.score is not None]


def sections_of(board: Leaderboard) -> list[Section]:
    """Return the blocks of a leaderboard with names for all that is shown."""
    sections = []
    limits = _shares([len(block.rows) for block in board.blocks])
    for number, (block, limit) in enumerate(zip(board.blocks, limits, strict=True)):
        rows = _shown(block.rows, limit)
        shown = tuple(
            Shown(f"b{number}-r{place}", label, row)
            for place, (row, label) in enumerate(zip(rows, _labels(rows), strict=True))
        )
        sections.append(Section(f"b{number}", block, shown, len(block.rows) - len(rows)))
    return sections


def _shares(sizes: Sequence[int]) -> list[int]:
    """Return how many rows of each block are shown, as even as can be."""
    shares = [0] * len(sizes)
    left = ROWS_IN_ALL
    # The smallest first: what they leave is for the larger ones.
    for count, place in enumerate(sorted(range(len(sizes)), key=lambda place: sizes[place])):
        shares[place] = min(sizes[place], MOST_ROWS, max(1, left // (len(sizes) - count)))
        left -= shares[place]
    return shares


def _shown(rows: Sequence[Row], limit: int) -> list[Row]:
    """Return the best rows of a block, and some of those that failed: these stand last."""
    failed = [row for row in rows if row.score is None]
    kept = failed[: max(limit - (len(rows) - len(failed)), limit // FAILED_SHARE)]
    good = [row for row in rows if row.score is not None]
    return [*good[: limit - len(kept)], *kept]


def _labels(rows: Sequence[Row]) -> list[str]:
    found = labels_of(rows)
    names = [one_line(found[id(row)], LONGEST_LABEL) or "unnamed" for row in rows]
    if len({*names}) < len(names):  # one method on several devices, or only the ends differ
        names = [
            f"{name} on {one_line(row.device, LONGEST_LABEL)}"
            for name, row in zip(names, rows, strict=True)
        ]
    return [
        f"{name} #{place}" if names.count(name) > 1 else name for place, name in enumerate(names, 1)
    ]


def in_turn(groups: Sequence[Sequence[Thing]], most: int) -> list[list[Thing]]:
    """Return of each group as many of its first things as fit, when each gets one in its turn.

    Args:
        groups: of rows or other things, best first.
        most: things in all.
    """
    taken: list[list[Thing]] = [[] for _ in groups]
    left = most
    for place in range(max(map(len, groups), default=0)):
        for group, own in zip(groups, taken, strict=True):
            if place < len(group) and left > 0:
                own.append(group[place])
                left -= 1
    return taken


def read(wanted: Iterable[Shown], store: Store) -> None:
    """Give rows the records of their runs.

    Args:
        wanted: rows, some of them perhaps several times.
        store: is left with the warnings of what could not be read.
    """
    rows = {shown.id: shown.row for shown in wanted if not shown.row.records}
    records = store.records({run: None for row in rows.values() for run in row.runs})
    known = {record.id: record for record in records}
    for row in rows.values():
        row.records = [known[run] for run in row.runs if run in known]


def one_each(rows: Sequence[Shown], store: Store) -> dict[str, RunRecord]:
    """Return the record of one run of each row, by the id of the row.

    Args:
        rows: those whose records have been read are not read again.
        store: is left with the warnings of what could not be read.
    """
    found = {shown.id: shown.row.records[0] for shown in rows if shown.row.records}
    left = {shown.row.runs[0]: shown.id for shown in rows if shown.id not in found}
    return found | {left[record.id]: record for record in store.records(left)}
