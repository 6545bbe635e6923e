"""Pictures that are to be predicted: named by files, folders and tables, in the order given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import folders, sheets
from bench.decoding import SUFFIXES
from bench.errors import DataError, UsageError
from bench.text import did_you_mean, listing

TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Picture:
    """An image file.

    Attributes:
        path: where it is.
        called: what the user, or the user's table, calls it.
    """

    path: Path
    called: str

    @property
    def name(self) -> str:
        """Return what it is called, in characters that can be written anywhere."""
        # A file's name may hold bytes that are no characters.
        return self.called.encode("utf-8", "backslashreplace").decode()


def gather(words: Iterable[str]) -> list[Picture]:
    """Return the pictures that paths stand for, in the order of the paths.

    A folder stands for all files below it that end as images do, hidden ones left out, `2` before
    `10`; a table (.csv, .tsv) for the files that its column of paths names, relative to the table's
    folder or else to the current one; any other file for itself, whatever its ending.

    Raises:
        UsageError: nothing is at a path.
        DataError: a folder or a table names no image.
    """
    found: list[Picture] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            found += _in_folder(word, path)
        elif not os.path.lexists(path):
            raise UsageError(f"there is no `{word}`{_hint(path)}; give files, folders or a table")
        elif path.suffix.lower() in TABLES:
            found += _in_table(path)
        else:
            found.append(Picture(path, word))
    return found


def _hint(path: Path) -> str:
    try:
        return did_you_mean(path.name, os.listdir(path.parent))
    except OSError:
        return ""


def _in_folder(word: str, path: Path) -> Iterator[Picture]:
    others = 0
    names: list[str] = []
    for folder, inside in folders.walk(path):
        images = [name for name in inside if os.path.splitext(name)[1].lower() in SUFFIXES]
        others += len(inside) - len(images)
        names += [f"{folder}/{name}" if folder else name for name in images]
    if not names:
        what = f"{others} file{'' if others == 1 else 's'}, none of them an image"
        raise DataError(
            f"`{word}` holds {what if others else 'no files'}; images end in "
            f"{listing(sorted(SUFFIXES), 20)}"
        )
    for name in sorted(names, key=folders.natural):
        yield Picture(path / name, os.path.join(word, name))


def _in_table(path: Path) -> Iterator[Picture]:
    table = sheets.read(path)
    column = table.find(sheets.IMAGE_COLUMNS)
    if column is None and len(table.header) == 1:
        [column] = table.header
    if column is None:
        raise DataError(
            f"`{path}` has no column that is known to name images, only {listing(table.header)}; "
            f"call it `{sheets.IMAGE_COLUMNS[0]}` or `path`"
        )
    names = table.column(column)
    blank = [index for index, name in enumerate(names, 2) if not name]
    if blank:
        raise DataError(
            f"`{path}`: {len(blank)} of {len(names)} rows name no image, first row {blank[0]}; "
            f"fill column `{column}`"
        )
    for name in names:
        beside = path.parent / name
        here = Path(name)
        yield Picture(here if here.exists() and not beside.exists() else beside, name)
