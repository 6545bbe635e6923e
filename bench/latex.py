"""A leaderboard as LaTeX: one `table` for each block, for papers that load `booktabs`."""

from __future__ import annotations

from collections.abc import Iterable

from bench import tables
from bench.leaderboard import Block, Leaderboard
from bench.text import latex_cell

_TEXT = ("model", "optimizer", "tuning", "status")
"""Columns that are set flush left; those of numbers stand flush right."""


def to_latex(board: Leaderboard) -> str:
    """Return the blocks as LaTeX, every name escaped.

    Names with letters beyond ASCII want a preamble for them, as `fontenc` with T1.
    """
    parts = ["% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}"]
    parts += [_table(block) for block in board.blocks]
    parts += [_sentence(str(standings)) for standings in board.standings]
    return "\n\n".join(parts) + "\n"


def _table(block: Block) -> str:
    columns = tables.headings(block)
    layout = "".join("l" if name in _TEXT else "r" for name in columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_cell(block.title)}. {_sentence(block.answer)}}}",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        _line(columns.values()),
        r"\midrule",
    ]
    for row in block.rows:
        shown = tables.cells(row)
        lines.append(_line(shown.get(name, "–") for name in columns))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if note := tables.footnote(block):
        lines += [r"", rf"{{\footnotesize {latex_cell(note)}}}"]
    return "\n".join([*lines, r"\end{table}"])


def _line(cells: Iterable[str]) -> str:
    return " & ".join(latex_cell(cell).replace("–", "--") for cell in cells) + r" \\"


def _sentence(answer: str) -> str:
    """Return a sentence of the closing line, what one may type in it set as such."""
    pieces = [latex_cell(piece) for piece in answer.split("`")]
    pieces[1::2] = [rf"\texttt{{{piece.replace('--', '-{}-')}}}" for piece in pieces[1::2]]
    return "".join(pieces).rstrip(".") + "."
