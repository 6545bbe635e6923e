"""Tables of cells, as people save them from a spreadsheet: read whole, columns by their names."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError
from bench.text import one_line

IMAGE_COLUMNS = (
    *("image", "images", "filename", "file_name", "file", "path", "filepath", "file_path"),
    *("image_path", "imagepath", "image_name", "image_file", "img", "img_path", "img_name"),
    *("image_id", "imageid", "id", "id_code", "name"),
)
"""What the column that names images is called, the likeliest first."""


@dataclass
class Table:
    """A table as it stands in its file.

    Attributes:
        header: the names of the columns.
        rows: the cells, as many in each row as in the header.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column, without the blanks around them."""
        index = self.header.index(name)
        return [row[index].strip() for row in self.rows]

    def find(self, known: Sequence[str]) -> str | None:
        """Return the first of these names, in lower case, that a column has, as it is written."""
        lowered = {name.lower(): name for name in reversed(self.header)}
        return next((lowered[name] for name in known if name in lowered), None)


def read(path: Path) -> Table:
    """Return a table with a header; cells are parted by commas, semicolons or tabs.

    Raises:
        DataError: the file cannot be read, is empty, or its rows differ in length.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=delimiter(first)) if any(row)]
    except OSError as error:
        raise DataError(f"cannot read `{path}`: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        reason = one_line(str(error), 100)
        raise DataError(
            f"`{path}` is no table in UTF-8 ({reason}); save it as CSV again"
        ) from error
    if len(rows) < 2:
        raise DataError(f"`{path}` holds no rows below its header; fill it")
    header = [cell.strip() for cell in rows[0]]
    wrong = [index for index, row in enumerate(rows[1:], 2) if len(row) != len(header)]
    if wrong:
        raise DataError(
            f"`{path}`: {len(wrong)} of {len(rows) - 1} rows do not have {len(header)} cells as "
            f"the header has, first row {wrong[0]}; mend them"
        )
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"`{path}` has two columns `{twice}`; rename one")
    return Table(path, header, rows[1:])


def delimiter(line: str) -> str:
    """Return what parts the cells of a line: a comma unless others are more frequent."""
    return max(",;\t", key=line.count)
