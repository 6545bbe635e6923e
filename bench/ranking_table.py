"""A leaderboard as people see it on a terminal."""

from __future__ import annotations

import sys
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
        console.print(_block_table(replace(block, rows=shown), console.width))
        if rest := block.rows[len(shown) :]:
            failed = sum(row.rank is None for row in rest)
            lost = f", {failed:,} of them without a score" if failed else ""
            console.print(Text(f"and {len(rest):,} more{lost}; `--top 0` shows all", style="dim"))
        note = tables.footnote(block)
        if note:
            console.print(Text(note, style="dim"))
        console.print(Text(one_line(block.answer, 2000), style="bold"))
    if not board.blocks:
        console.print(
            "no finished runs here yet; `bench run --models resnet50,mobilenet` makes some"
        )


def _block_table(block: Block, width: int) -> Table:
    """Return a block as a table that fits the terminal: columns give way, names never do."""
    rows = [tables.cells(row) for row in block.rows]
    columns = tables.headings(block)
    if all(row["status"] == "ok" for row in rows):
        del columns["status"]
    # A cause may be long and is folded; it needs some room, but not all of its length.
    room = {
        name: max(len(heading), *(min(len(row.get(name, "–")), 40) for row in rows))
        for name, heading in columns.items()
    }
    # Rows that saw images at different sizes are to say so, whatever else has to go.
    several = len({row["input"] for row in rows} - {"–"}) > 1
    dropped = OPTIONAL_COLUMNS[1:] if several else OPTIONAL_COLUMNS
    for optional in dropped:
        if sum(room[name] + GAP for name in columns) <= width:
            break
        columns.pop(optional, None)
    table = Table(
        title=Text(one_line(block.title), style="bold"),
        title_justify="left",
        header_style="dim",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
    )
    for name, heading in columns.items():
        left = name in ("model", "optimizer", "test", "status")
        table.add_column(
            heading,
            justify="left" if left else "right",
            overflow="fold",
            min_width=None if name == "status" else room[name],
        )
    for row in rows:
        table.add_row(*(Text(one_line(row.get(name, "–"))) for name in columns))
    return table
