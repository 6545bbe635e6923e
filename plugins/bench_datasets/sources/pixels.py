"""Tables whose cells are pixels: a label and the values of one image in each row."""

from __future__ import annotations

import gzip
import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bench
from bench.text import one_line
from bench_datasets.sources import common
from bench_datasets.sources.arrays import ArraySplits
from bench_datasets.sources.tables import LABEL_COLUMNS, delimiter

FEWEST = 16
"""Cells beside the label from which a row of numbers counts as pixels."""

_PIXEL = re.compile(r"(pixels?|px|p)?[ _-]?\d+([x_]\d+)?", re.IGNORECASE)
_WHOLE = re.compile(r"\d+")
_ROWS = 4096


def is_pixel_table(path: Path) -> bool:
    """Return whether a table holds pixels, as the cells of its first line tell."""
    cells = _first_line(path)
    if len(cells) <= FEWEST:
        return False
    rest = [cell for cell in cells if cell.lower() not in LABEL_COLUMNS]
    return len(cells) - len(rest) <= 1 and all(_PIXEL.fullmatch(cell) for cell in rest)


def load(found: Mapping[str, Path]) -> bench.Splits:
    """Return arrays: gray (N, H, H) where a row has H*H pixels, (N, H, H, 3) where 3*H*H.

    Pixels of colour are taken as they lie in memory: row by row, red, green and blue of each
    pixel beside each other. A table without labels, as in a set to be predicted, is left out
    unless it is that of train.

    Raises:
        bench.DataError: cells are no numbers from 0 to 255, images are not square, and the like.
    """
    arrays = {name: _read(path) for name, path in found.items()}
    if arrays["train"][1] is None:
        raise bench.DataError(f"`{found['train']}` has no column `label`; add it as the first")
    labelled = {name: pair for name, pair in arrays.items() if pair[1] is not None}
    return ArraySplits(str(found["train"]), labelled).splits()


def hints(found: Mapping[str, Path]) -> bench.DatasetHints | None:
    """Return counts of lines and the size that the header tells."""
    counts, size, channels = {}, 0, 1
    classes: set[bytes] = set()
    for name, path in found.items():
        cells = _first_line(path)
        label = _label_index(cells)
        if label is None:
            continue
        size, channels = _shape(path, len(cells) - 1)
        counts[name], seen = _labels(path, cells, label)
        classes |= seen
    if "train" not in counts:
        return None
    return bench.DatasetHints(
        train=counts["train"],
        val=counts.get("val", 0),
        test=counts.get("test", 0),
        image_size=size,
        channels=channels,
        task=common.task_of(len(classes)),
    )


def _read(path: Path) -> tuple[Any, Any]:
    """Return images, and labels or None."""
    import numpy as np
    import pandas as pd

    cells = _first_line(path)
    label = _label_index(cells)
    size, channels = _shape(path, len(cells) - (label is not None))
    images, labels = [], []
    row = 1 + _has_header(cells)
    try:
        with _open(path) as file:
            sep = delimiter(file.readline().decode("utf-8-sig", "replace"))
        header = 0 if _has_header(cells) else None
        # In pieces: whole, a table of int64 takes eight times the memory of its images.
        with (
            warnings.catch_warnings(),
            pd.read_csv(path, sep=sep, header=header, chunksize=_ROWS, index_col=False) as pieces,
        ):
            # Of a row that is too long, pandas would drop the rest and only warn.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            for piece in pieces:
                if label is not None:
                    labels.append(piece.iloc[:, label].to_numpy())
                    piece = piece.drop(columns=piece.columns[label])
                # A column that holds a single word comes as text.
                values = piece.apply(pd.to_numeric, errors="coerce").to_numpy()
                whole = (values >= 0) & (values <= 255) & (values == np.floor(values))
                if not whole.all():
                    wrong = row + int(whole.all(1).argmin())
                    raise bench.DataError(
                        f"`{path}`: row {wrong} holds something other than whole numbers from 0 "
                        "to 255; mend or fetch the file again"
                    )
                images.append(values.astype(np.uint8))
                row += len(piece)
    except (ValueError, OSError, EOFError, pd.errors.ParserWarning) as error:
        raise bench.DataError(
            f"cannot read the pixels in `{path}` ({one_line(str(error), 120)}); fetch it again"
        ) from error
    if not images:
        raise bench.DataError(f"`{path}` holds no rows below its header; fetch it again")
    shape = (-1, size, size) if channels == 1 else (-1, size, size, 3)
    return np.concatenate(images).reshape(shape), np.concatenate(labels) if labels else None


def _shape(path: Path, pixels: int) -> tuple[int, int]:
    """Return height and width, which are one, and channels."""
    for channels in (1, 3):
        size = math.isqrt(pixels // channels)
        if channels * size * size == pixels:
            return size, channels
    raise bench.DataError(
        f"`{path}` has {pixels} pixels in a row, which make no square image, gray or of 3 "
        "channels; check its columns"
    )


def _first_line(path: Path) -> list[str]:
    try:
        with _open(path) as file:
            line = file.readline(1 << 24).decode("utf-8-sig", "replace")
    except (OSError, EOFError) as error:
        raise bench.DataError(f"cannot read `{path}`: {error}; check the file") from error
    return [cell.strip().strip('"') for cell in line.split(delimiter(line))]


def _label_index(cells: list[str]) -> int | None:
    """Return the column of labels; the first where there is no header."""
    if not _has_header(cells):
        return 0
    lowered = [cell.lower() for cell in cells]
    return next((index for index, cell in enumerate(lowered) if cell in LABEL_COLUMNS), None)


def _has_header(cells: list[str]) -> bool:
    """Return whether the first line holds names; `0,1,2,...`, as pandas numbers them, are too."""
    numbered = cells == [str(index) for index in range(len(cells))]
    return numbered or not all(_WHOLE.fullmatch(cell) for cell in cells)


def _labels(path: Path, cells: list[str], label: int) -> tuple[int, set[bytes]]:
    """Return the number of rows and the different labels; no pixel is parsed."""
    count, labels = 0, set()
    with _open(path) as file:
        sep = delimiter(file.readline().decode("utf-8-sig", "replace")).encode()
        if not _has_header(cells):
            file.seek(0)
        for line in file:
            if line.strip():
                count += 1
                labels.add(line.split(sep, label + 1)[label].strip())
    return count, labels


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")
