"""A leaderboard as people see it on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bench import tables
from bench.leaderboard import Block, Leaderboard
from bench.terminal import terminal
from bench.text import one_line

GAP = 3  # blanks between two columns, padding and divider
OPTIONAL_COLUMNS = ("input", "parameters", "images/s", "seeds", "train s", "val", "tuning")
"""Columns that give way on a narrow terminal, the first of them first."""
_NAMES = ("rank", "model", "optimizer")
"""What tells rows apart."""


def print_leaderboard(board: Leaderboard, top: int = 0) -> None:
    """Print every block as a table on stdout, its answer below it.

    Args:
        board: what to print.
        top: rows of each block that are shown; all with 0.
    """
    console = terminal(sys.stdout)
    for number, block in enumerate(board.blocks):
        if number:
            console.print()
        shown = block.rows[:top] if top else block.rows
        for table in _block_tables(replace(block, rows=shown), console.width):
            console.print(table)
        if rest := block.rows[len(shown) :]:
            failed = sum(row.rank is None for row in rest)
            lost = f", {failed:,} of them without a score" if failed else ""
            console.print(Text(f"and {len(rest):,} more{lost}; `--top 0` shows all", style="dim"))
        note = tables.footnote(block)
        if note:
            console.print(Text(note, style="dim"))
        console.print(Text(one_line(block.answer, 2000), style="bold"))
    for standings in board.standings:
        console.print()
        console.print(Text(one_line(str(standings), 2000), style="bold"))
    if not board.blocks:
        console.print(
            "no finished runs here yet; `bench run --models resnet50,mobilenet` makes some"
        )


def _block_tables(block: Block, width: int) -> Iterator[Table]:
    """Yield a block as a table that fits the terminal: columns give way, names never do.

    Metrics that were asked for give way to none; where they leave no room, they follow in tables of
    their own, of the same rows.
    """
    rows = [tables.cells(row) for row in block.rows]
    columns = tables.headings(block)
    if all(row["status"] == "ok" for row in rows):
        del columns["status"]
    # A cause may be long and is folded; it needs some room, but not all of its length.
    room = {
        name: GAP + max(len(heading), *(min(len(row.get(name, "–")), 40) for row in rows))
        for name, heading in columns.items()
    }
    asked = [*dict.fromkeys(name for row in block.rows for name in row.asked)]
    # Rows that saw images at different sizes are to say so, whatever else has to go.
    several = len({row["input"] for row in rows} - {"–"}) > 1
    first = _fitting(room, width, OPTIONAL_COLUMNS[1:] if several else OPTIONAL_COLUMNS)
    if asked and sum(room[name] for name in first) > width:
        main = {name: space for name, space in room.items() if name not in asked}
        first = _fitting(main, width, OPTIONAL_COLUMNS[1:] if several else OPTIONAL_COLUMNS)
    title = Text(one_line(block.title), style="bold")
    yield _table(title, {name: columns[name] for name in first}, room, rows, asked)
    left = [name for name in asked if name not in first]
    names = sum(room[name] for name in _NAMES)
    while left:
        some = [left.pop(0)]
        while left and names + sum(room[name] for name in [*some, left[0]]) <= width:
            some.append(left.pop(0))
        chosen = {name: columns[name] for name in (*_NAMES, *some)}
        yield _table(None, chosen, room, rows, asked)


def _fitting(room: Mapping[str, int], width: int, optional: Iterable[str]) -> list[str]:
    """Return the columns that are left once as many gave way as have to."""
    kept = [*room]
    for name in optional:
        if sum(room[each] for each in kept) <= width:
            break
        if name in kept:
            kept.remove(name)
    return kept


def _table(
    title: Text | None,
    columns: Mapping[str, str],
    room: Mapping[str, int],
    rows: Sequence[Mapping[str, str]],
    asked: Collection[str],
) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        header_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
    )
    for name, heading in columns.items():
        left = name in (*_NAMES[1:], "test", "status") or name in asked
        table.add_column(
            Text(one_line(heading)),
            justify="left" if left else "right",
            overflow="fold",
            min_width=None if name == "status" else room[name] - GAP,
        )
    for row in rows:
        table.add_row(*(Text(one_line(row.get(name, "–"))) for name in columns))
    return table
