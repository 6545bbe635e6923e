"""The tree of the classes, read from a CSV or JSON file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.text import one_line
from bench_datasets.sources.common import examples

Steps = tuple[str, ...]


def read(path: Path, classes: Sequence[str]) -> list[Steps]:
    """Return the path from the top of the tree to each class, in the order of the classes.

    A CSV file has one row for each class: the class, its parent, the parent's parent and so on.
    Empty cells at the end are left out, and so is a first row that begins with `class`. A JSON
    file nests objects, whose keys are names, down to a list of classes, one class or nothing:
    `{"animals": ["cat", "dog"], "vehicles": {"road": ["car"], "water": null}}`.

    Raises:
        bench.DataError: the file cannot be read, or lacks a class, or has it twice.
    """
    try:
        text = path.read_text("utf-8-sig")
        steps = list(_of_json(json.loads(text)) if _is_json(path) else _of_csv(text))
    except OSError as error:
        raise bench.DataError(f"cannot read the tree `{path}`: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        reason = one_line(str(error), 120)
        raise bench.DataError(f"`{path}` is no tree of classes ({reason}); mend it") from error
    found: dict[str, Steps] = {}
    for each in steps:
        first = found.setdefault(each[-1], each)
        if first != each:
            raise bench.DataError(
                f"`{path}` has the class `{each[-1]}` twice, below `{'/'.join(first[:-1])}` and "
                f"below `{'/'.join(each[:-1])}`; keep one"
            )
    missing = [name for name in classes if name not in found]
    if missing:
        raise bench.DataError(
            f"`{path}` lacks {len(missing)} of {len(classes)} classes: {examples(missing)}; "
            "add them"
        )
    return [found[name] for name in classes]


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _of_csv(text: str) -> Iterator[Steps]:
    for index, row in enumerate(csv.reader(text.splitlines())):
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells and not (index == 0 and cells[0].lower() == "class"):
            yield tuple(reversed(cells))


def _of_json(value: Any, above: Steps = ()) -> Iterator[Steps]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if inner is None or inner in ({}, []):
                yield (*above, str(name))
            else:
                yield from _of_json(inner, (*above, str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _of_json(inner, above)
    elif isinstance(value, str) and above:
        yield (*above, value)
    else:
        raise ValueError(f"a name is wanted where {json.dumps(value)[:40]} stands")
