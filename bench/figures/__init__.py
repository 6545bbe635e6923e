"""Panels drawn with matplotlib: curves over epochs, and the ranking with its intervals.

Drawing takes panels and returns a `matplotlib.figure.Figure`; it neither reads records nor touches
pyplot. Names are drawn letter by letter, whatever stands in them, and the reader's own matplotlib
settings change nothing.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import files
from bench.figures.choice import COLORS, MARKERS, MOST_CURVES
from bench.figures.curves import draw_curves
from bench.figures.looks import DPI, LONGEST_LABEL, style
from bench.figures.ranking import draw_ranking
from bench.series import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "LONGEST_LABEL",
    "MARKERS",
    "MOST_CURVES",
    "draw_curves",
    "draw_ranking",
    "render",
    "write",
]


def write(sheets: Sequence[Sheet], folder: Path) -> list[Path]:
    """Draw the curves and the ranking of each sheet; return the files, PNG and SVG.

    Raises:
        StoreError: the folder cannot be written.
    """
    written = []
    for name, sheet in zip(_file_names([sheet.title for sheet in sheets]), sheets, strict=True):
        figures = {"ranking": draw_ranking(sheet)}
        if any(method.traces for panel in sheet.panels for method in panel.methods):
            figures["curves"] = draw_curves(sheet)
        for what, figure in figures.items():
            for ending in ("png", "svg"):
                path = folder / f"{name}-{what}.{ending}"
                files.write_bytes(path, render(figure, ending))
                written.append(path)
    return written


def render(figure: Figure, form: str) -> bytes:
    """Return a picture as `png` or `svg`; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style(), warnings.catch_warnings():
        # A letter that the font lacks is a box in the picture, and nothing to trouble a reader.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        undated = {"Date": None} if form == "svg" else None
        figure.savefig(buffer, format=form, dpi=DPI, metadata=undated)
    return buffer.getvalue()


def _file_names(names: Sequence[str]) -> list[str]:
    """Return names that any file system takes, no two alike."""
    taken: set[str] = set()
    result = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9.+=]+", "-", name).strip("-.")[:100] or "block"
        unique, number = plain, 2
        while unique.lower() in taken:
            unique, number = f"{plain}-{number}", number + 1
        taken.add(unique.lower())
        result.append(unique)
    return result
