"""What `bench show` prints of the classes of a run: a table of them, and what is taken for what."""

from __future__ import annotations

import math
from typing import Any

import click

from bench import confusion
from bench.cli.common import print_table
from bench.specs import Answers, Task
from bench.text import one_line

WIDTH = 100
"""Characters that a confusion matrix may take; of a wider one the worst confusions are told."""
LISTED = 30
"""Classes of which all are listed; of more those with the lowest F1."""
CONFUSIONS = 15
_NAME = 24


def to_dict(answers: Answers | None, split: str) -> dict[str, Any]:
    """Return what `bench show --json` says of classes; null where there are no predictions."""
    table = confusion.by_class(answers) if answers else None
    whole = answers is not None and answers.task is not Task.MULTI_LABEL
    return {
        "split": split,
        "per_class": table,
        "confusion": confusion.matrix(answers).tolist() if answers and whole else None,
    }


def print_classes(answers: Answers, split: str) -> None:
    """Print the classes of a split, and its confusions where an image has one label."""
    table = confusion.by_class(answers)
    shown = table
    click.echo(f"\n{split}, by class")
    if len(table) > LISTED:
        shown = sorted(table, key=lambda row: (row["f1"], -row["n"]))[:LISTED]
        click.echo(f"  the {LISTED} of {len(table)} with the lowest F1; `--json` has all")
    columns = [*table[0]]
    heads = [column.replace("_", " ") for column in columns]
    print_table(heads, [[_cell(row[column]) for column in columns] for row in shown], heads[1:])
    if answers.task is not Task.MULTI_LABEL:
        _print_confusions(answers, split)


def _print_confusions(answers: Answers, split: str) -> None:
    names = [one_line(name, _NAME) for name in answers.names]
    counts = confusion.matrix(answers)
    numbers = [str(place) for place in range(len(names))]
    width = max(len(numbers[-1]), len(str(counts.max())))
    heads = [
        f"{number:>{len(numbers[-1])}} {name}" for number, name in zip(numbers, names, strict=True)
    ]
    if 2 + max(map(len, heads)) + len(names) * (width + 2) <= WIDTH:
        click.echo(f"\n{split}, rows: the truth; columns: what was said")
        rows = [[str(count) if count else "·" for count in row] for row in counts.tolist()]
        table = [
            [head, *(cell.rjust(width) for cell in row)]
            for head, row in zip(heads, rows, strict=True)
        ]
        print_table(["", *numbers], table, numbers)
        return
    found = confusion.most_frequent(answers, CONFUSIONS)
    if not found:
        return
    click.echo(f"\n{split}, the most frequent confusions; `--json` has the whole matrix")
    print_table(
        ["truth", "said", "items", "of"],
        [[c.true, c.said, str(c.count), str(c.n)] for c in found],
        ("items", "of"),
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "–"
    return f"{value:,}" if isinstance(value, int) else str(value)
