"""Tables of labels: which files there are, which columns mean what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.sheets import IMAGE_COLUMNS as IMAGE_COLUMNS
from bench.sheets import Table
from bench.sheets import delimiter as delimiter
from bench.sheets import read as read
from bench.text import did_you_mean, listing
from bench_datasets.sources import common

LABEL_COLUMNS = (
    *("label", "labels", "class", "classes", "target", "targets", "category", "categories"),
    *("tag", "tags", "class_name", "class_id", "label_name"),
)
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "data_set")
ON = ("1", "1.0", "true")
OFF = ("0", "0.0", "false", "")
SUFFIXES = (".csv", ".tsv")


@dataclass
class Labelled:
    """The rows of one split.

    Attributes:
        images: what the table calls the images.
        labels: for each image its labels in the order of the table; None where none has any, as
            for images to be predicted.
        several: whether the table is of a kind that may give an image any number of labels.
    """

    path: Path
    images: list[str]
    labels: list[tuple[str, ...]] | None
    several: bool


def find(path: Path) -> dict[str, Path]:
    """Return the tables by split; a lone table of no split's name counts as `train`.

    Raises:
        bench.DataError: there is none, or it is not clear which to take.
    """
    if path.is_file():
        return {"train": path}
    names = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.suffix.lower() in SUFFIXES
        and not common.hidden(entry.name)
        and not entry.name.lower().startswith("sample_submission")
    )
    if not names:
        raise bench.DataError(
            f"`{path}` holds no table; put `train.csv` there, or name the file after `csv:`"
        )
    if len(names) == 1 and common.split_of_file(names[0]) in (None, "train"):
        return {"train": path / names[0]}
    found: dict[str, Path] = {}
    for name in names:
        split = common.split_of_file(name)
        if split in found:
            raise bench.DataError(
                f"`{path}` has two tables for {split}, `{found[split].name}` and `{name}`; keep one"
            )
        if split is not None:
            found[split] = path / name
    if "train" not in found:
        raise bench.DataError(
            f"`{path}` holds {len(names)} tables, {common.examples(names)}, but no `train.csv`; "
            "name the file after `csv:`"
        )
    return found


def take(
    table: Table, whole: str, image_column: str, label_column: str, parted: bool
) -> dict[str, Labelled]:
    """Return the rows by split.

    Args:
        table: the table.
        whole: the split that all rows are where nothing parts them.
        image_column: the column of the images, where its name does not tell.
        label_column: the column of the labels, likewise.
        parted: whether a column `split` parts the rows.

    Raises:
        bench.DataError: a column is missing or holds what it must not.
    """
    image = _column(table, image_column, IMAGE_COLUMNS, "image_column")
    if image is None:
        raise bench.DataError(
            f"`{table.path}` has no column that is known to name images, only "
            f"{listing(table.header)}; name it with `--set csv.image_column=NAME`"
        )
    split = _column(table, "", SPLIT_COLUMNS, "")
    # Another name of the image and pandas' numbers of the rows say nothing of its labels.
    idle = ("", "unnamed: 0", *IMAGE_COLUMNS)
    rest = [n for n in table.header if n not in (image, split) and n.lower() not in idle]
    labels, several = _labels(table, label_column, rest)
    images = table.column(image)
    blank = [index for index, name in enumerate(images, 2) if not name]
    if blank:
        raise bench.DataError(
            f"`{table.path}`: {len(blank)} of {len(images)} rows name no image, first row "
            f"{blank[0]}; fill column `{image}`"
        )
    if split is None or not parted:
        return {whole: Labelled(table.path, images, labels, several)}
    groups: dict[str, list[int]] = {}
    for index, cell in enumerate(table.column(split)):
        groups.setdefault(common.split_of(cell) or cell, []).append(index)
    unknown = [name for name in groups if name not in common.SPLIT_NAMES.values()]
    if unknown or "train" not in groups:
        problem = f"holds {common.examples(unknown)}" if unknown else "lacks `train`"
        raise bench.DataError(
            f"`{table.path}`: column `{split}` {problem}; it must hold `train`, `val` or `test`"
        )
    return {
        name: Labelled(
            table.path,
            [images[index] for index in rows],
            _of_rows(labels, rows, name),
            several,
        )
        for name, rows in groups.items()
    }


def _of_rows(
    labels: list[tuple[str, ...]] | None, rows: list[int], split: str
) -> list[tuple[str, ...]] | None:
    """Return the labels of some rows; blanks in all rows of test mean that they are withheld."""
    chosen = [labels[index] for index in rows] if labels is not None else []
    return None if labels is None or (split == "test" and not any(chosen)) else chosen


def _column(table: Table, wanted: str, known: Sequence[str], param: str) -> str | None:
    if wanted:
        if wanted not in table.header:
            raise bench.DataError(
                f"`{table.path}` has no column `{wanted}`{did_you_mean(wanted, table.header)}, "
                f"only {listing(table.header)}; check `--set csv.{param}`"
            )
        return wanted
    return table.find(known)


def _labels(
    table: Table, wanted: str, rest: Sequence[str]
) -> tuple[list[tuple[str, ...]] | None, bool]:
    """Return each row's labels, and whether an image may have any number of them."""
    column = _column(table, wanted, LABEL_COLUMNS, "label_column")
    if column is None and len(rest) > 1:
        columns = {name: [cell.lower() for cell in table.column(name)] for name in rest}
        switches = [
            name for name, cells in columns.items() if all(c in ON or c in OFF for c in cells)
        ]
        if len(switches) == len(rest):
            flags = [[cell in ON for cell in columns[name]] for name in rest]
            rows = zip(*flags, strict=True)
            return [tuple(n for n, on in zip(rest, row, strict=True) if on) for row in rows], True
        raise bench.DataError(
            f"`{table.path}` has no column that is known to hold labels, and its columns "
            f"{listing(rest)} are not all 0 and 1; name one with `--set csv.label_column=NAME`"
        )
    if column is None:
        if not rest:
            return None, False
        column = rest[0]
    cells = table.column(column)
    several = any("|" in cell for cell in cells)
    return [
        tuple(dict.fromkeys(part for part in map(str.strip, cell.split("|")) if part))
        for cell in cells
    ], several
