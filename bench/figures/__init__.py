"""Panels and studies drawn with matplotlib: curves, rankings, and what tuning has found.

Drawing takes panels or views and returns a `matplotlib.figure.Figure`; it neither reads records nor
touches pyplot. Names are drawn letter by letter, whatever stands in them, and the reader's own
matplotlib settings change nothing.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import files, study_series
from bench.figures.choice import COLORS, MARKERS, MOST_CURVES
from bench.figures.curves import draw_curves
from bench.figures.looks import DPI, LONGEST_LABEL, style
from bench.figures.params import draw_parallel, draw_slices
from bench.figures.ranking import draw_ranking
from bench.figures.rates import draw_rates
from bench.figures.standings import draw_standings
from bench.figures.tuning import draw_expected, draw_front, draw_history, draw_importances
from bench.rate_series import RateSheet
from bench.series import Sheet
from bench.standings import Standings
from bench.study_series import StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "LONGEST_LABEL",
    "MARKERS",
    "MOST_CURVES",
    "draw_curves",
    "draw_expected",
    "draw_front",
    "draw_history",
    "draw_importances",
    "draw_parallel",
    "draw_ranking",
    "draw_rates",
    "draw_slices",
    "draw_standings",
    "render",
    "write",
    "write_rates",
    "write_standings",
    "write_study",
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
        written += _write_all(figures, name, folder)
    return written


def write_study(view: StudyView, folder: Path) -> list[Path]:
    """Draw all that there is to draw of a study; return the files, PNG and SVG.

    Raises:
        StoreError: the folder cannot be written.
    """
    figures = {}
    if view.study.trials:
        figures["history"] = draw_history(view)
    if view.importances.shares:
        figures["importances"] = draw_importances(view)
    if view.history and len(view.axes) > 1:
        figures["parallel"] = draw_parallel(view)
    if view.history and view.axes:
        figures["slices"] = draw_slices(view)
    if view.expected.curve:
        figures["expected"] = draw_expected(view)
    if len(view.study.objectives) > 1 and view.front:
        figures["front"] = draw_front(view)
    (name,) = _file_names([f"{study_series.title_of(view.study)}-{view.study.id}"])
    return _write_all(figures, name, folder)


def write_rates(sheets: Sequence[RateSheet], folder: Path) -> list[Path]:
    """Draw the learning rates of each dataset's studies; return the files, PNG and SVG.

    Raises:
        StoreError: the folder cannot be written.
    """
    written = []
    for name, sheet in zip(_file_names([sheet.title for sheet in sheets]), sheets, strict=True):
        written += _write_all({"learning-rates": draw_rates(sheet)}, name, folder)
    return written


def write_standings(found: Sequence[Standings], folder: Path) -> list[Path]:
    """Draw the mean ranks over datasets; return the files, PNG and SVG.

    Raises:
        StoreError: the folder cannot be written.
    """
    written = []
    for standings in found:
        name = f"{len(standings.datasets)}-datasets-{standings.metric}"
        written += _write_all({"mean-ranks": draw_standings(standings)}, name, folder)
    return written


def _write_all(figures: Mapping[str, Figure], name: str, folder: Path) -> list[Path]:
    written = []
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
