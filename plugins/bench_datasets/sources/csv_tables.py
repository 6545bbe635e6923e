"""`csv:FILE` or `csv:DIR`: tables that label image files, or hold the pixels themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
from bench_datasets.sources import common, pixels, tables
from bench_datasets.sources.lookup import ImageIndex
from bench_datasets.sources.tables import Labelled


def load(
    data_dir: Path | None,
    *,
    path: str = "",
    image_column: str = "",
    label_column: str = "",
    images: str = "",
    multi_label: bool = False,
    subset: bool = False,
) -> bench.Splits:
    """Images that a table labels: `csv:FILE`, or `csv:DIR` with train.csv, val.csv, test.csv.

    One column names the image; one holds its label, or its labels joined by `|`, or several hold
    0 and 1. A column `split` may part the rows. Where no image has more or fewer than one label,
    the task has one label per image. A test table without labels is for prediction. A table of
    pixels, `label,pixel0,...`, is read as it is.

    Args:
        data_dir: not used.
        path: the table, or the folder of the tables.
        image_column: the column that names the images, where its name does not tell.
        label_column: the column of labels, likewise.
        images: the folder of the images, where they are not beside or below the tables.
        multi_label: whether to take the task for multi-label although all have one label.
        subset: whether images that no table names are left out, rather than an error.

    Raises:
        bench.DataError: tables and images do not fit each other.
    """
    found = tables.find(common.existing(path))
    if pixels.is_pixel_table(found["train"]):
        return pixels.load(found)
    return _read(found, image_column, label_column, images, multi_label, subset).splits


def locate(
    data_dir: Path | None,
    *,
    path: str = "",
    image_column: str = "",
    label_column: str = "",
    images: str = "",
    multi_label: bool = False,
    subset: bool = False,
) -> list[Path]:
    """Return the tables and all images that they name.

    Raises:
        bench.DataError: tables and images do not fit each other.
    """
    found = tables.find(common.existing(path))
    located = list(found.values())
    if not pixels.is_pixel_table(found["train"]):
        splits = _read(found, image_column, label_column, images, multi_label, subset).splits
        for part in (splits.train, splits.val, splits.test, splits.unlabelled):
            located += [] if part is None else part.paths
    return located


@common.quietly
def hints(
    data_dir: Path | None,
    *,
    path: str = "",
    image_column: str = "",
    label_column: str = "",
    images: str = "",
    multi_label: bool = False,
    subset: bool = False,
) -> bench.DatasetHints | None:
    """Return counts and the size of the first image; pixels are not read."""
    found = tables.find(common.existing(path))
    if pixels.is_pixel_table(found["train"]):
        return pixels.hints(found)
    read = _read(found, image_column, label_column, images, multi_label, subset)
    task = common.task_of(len(read.splits.classes), multi_label=read.several)
    return common.file_hints(read.splits, task)


@dataclass
class _Read:
    splits: bench.Splits
    several: bool


def _read(
    found: dict[str, Path],
    image_column: str,
    label_column: str,
    images: str,
    multi_label: bool,
    subset: bool,
) -> _Read:
    lone = len(found) == 1
    splits: dict[str, Labelled] = {}
    for split, table in found.items():
        splits |= tables.take(tables.read(table), split, image_column, label_column, lone)
    root = found["train"].parent
    index = ImageIndex(common.beside(images, root) if images else root)
    unlabelled = splits.pop("test") if _without_labels(splits) else None
    used: set[str] = set()
    placed = {}
    for name, part in splits.items():
        rows = _merge(part, index.find(part.images, name, part.path))
        placed[name] = rows
        used.update(rows)
    predicted = None
    if unlabelled is not None:
        names = list(dict.fromkeys(index.find(unlabelled.images, "test", unlabelled.path)))
        predicted = bench.Files([index.root / name for name in names], (), names)
        used.update(names)
    extra = index.unnamed(used)
    if extra and not subset:
        raise bench.DataError(
            f"{len(extra)} of {len(extra) + len(used)} images in `{index.root}` have no row in "
            f"{common.examples(p.name for p in found.values())}: {common.examples(extra)}; "
            "label them, or leave them out with `--set csv.subset=true`"
        )
    several = multi_label or _several(splits, placed)
    files, classes = _encode(index.root, placed, found["train"], several)
    found_splits = bench.Splits(
        train=files["train"],
        val=files.get("val"),
        test=files.get("test"),
        classes=classes,
        unlabelled=predicted,
    )
    return _Read(found_splits, several)


def _without_labels(splits: dict[str, Labelled]) -> bool:
    """Return whether the test table has no labels; any other table must have some."""
    for name, part in splits.items():
        if part.labels is None and name != "test":
            raise bench.DataError(
                f"`{part.path}` has no column of labels beside that of images; add a column `label`"
            )
    return "test" in splits and splits["test"].labels is None


def _merge(part: Labelled, paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return labels by path; rows that say the same twice count once."""
    rows: dict[str, tuple[str, ...]] = {}
    conflicts: dict[str, None] = {}
    for path, labels in zip(paths, part.labels or (), strict=True):
        if set(rows.setdefault(path, labels)) != set(labels):
            conflicts[path] = None
    if conflicts:
        first = next(iter(conflicts))
        raise bench.DataError(
            f"`{part.path}` labels {len(conflicts)} images in two ways: "
            f"{common.examples(conflicts)}, the first as `{'|'.join(rows[first]) or 'none'}` and "
            "otherwise; keep one row each, with labels joined by `|` where an image has several"
        )
    return rows


def _several(splits: dict[str, Labelled], placed: dict[str, dict[str, tuple[str, ...]]]) -> bool:
    """Return whether an image has any number of labels rather than one."""
    if all(len(labels) == 1 for rows in placed.values() for labels in rows.values()):
        return False
    if any(part.several for part in splits.values()):
        return True
    # One column and never a `|`: a blank is more likely an oversight than an empty set.
    for name, rows in placed.items():
        blank = [path for path, labels in rows.items() if not labels]
        if blank:
            raise bench.DataError(
                f"`{splits[name].path}`: {len(blank)} of {len(rows)} images have no label: "
                f"{common.examples(blank)}; label them, or give `--set csv.multi_label=true` if an "
                "image may have none"
            )
    return True


def _encode(
    root: Path, placed: dict[str, dict[str, tuple[str, ...]]], table: Path, several: bool
) -> tuple[dict[str, bench.Files], list[str]]:
    """Return the splits with labels (N,) int64, or (N, C) uint8 where there may be several."""
    import numpy as np

    classes = sorted({c for labels in placed["train"].values() for c in labels}, key=common.natural)
    if len(classes) < 2:
        found = f"one class, `{classes[0]}`" if classes else "no class at all"
        raise bench.DataError(
            f"`{table}` has {len(placed['train'])} images of {found}; two or more are needed"
        )
    number = {name: index for index, name in enumerate(classes)}
    files = {}
    for split, rows in placed.items():
        strange: dict[str, None] = dict.fromkeys(
            label for labels in rows.values() for label in labels if label not in number
        )
        if strange:
            raise bench.DataError(
                f"`{table}`: {split} has {len(strange)} labels that train lacks: "
                f"{common.examples(strange)}; train needs images of every class"
            )
        encoded: Any = np.zeros((len(rows), len(classes)), np.uint8)
        for index, labels in enumerate(rows.values()):
            encoded[index, [number[label] for label in labels]] = 1
        names = list(rows)
        files[split] = bench.Files(
            [root / name for name in names], encoded if several else encoded.argmax(1), names
        )
    return files, classes


SOURCE = bench.Dataset(
    name="csv",
    load=load,
    locate=locate,
    hints=hints,
    address=common.absolute,
    preload=("PIL.Image",),
)
