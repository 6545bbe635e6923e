"""Panels, studies and charts drawn with matplotlib.

Drawing takes panels, views or charts and returns a `matplotlib.figure.Figure`; it does not touch
pyplot. Names are drawn letter by letter, whatever stands in them, and the reader's own
matplotlib settings change nothing.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import files, study_series
from bench.charts import Chart
from bench.figures import reports, runs
from bench.figures.charts import draw_chart
from bench.figures.choice import COLORS, MARKERS, MOST_CURVES
from bench.figures.curves import draw_curves
from bench.figures.looks import DPI, LONGEST_LABEL, style
from bench.figures.params import draw_parallel, draw_slices
from bench.figures.ranking import draw_ranking
from bench.figures.rates import draw_rates
from bench.figures.standings import draw_standings
from bench.figures.tuning import draw_expected, draw_front, draw_history, draw_importances
from bench.rate_series import RateSheet
from bench.records import RunRecord
from bench.report.content import Content
from bench.series import Sheet
from bench.specs import Answers
from bench.standings import Standings
from bench.store import Store
from bench.study_series import StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "LONGEST_LABEL",
    "MARKERS",
    "MOST_CURVES",
    "draw_chart",
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
    "write_charts",
    "write_rates",
    "write_report",
    "write_run",
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


def write_charts(charts: Iterable[tuple[str, Chart]], folder: Path) -> list[Path]:
    """Draw charts; return the files, PNG and SVG.

    Args:
        charts: each with the name of its files, which may be any text.
        folder: for the files.

    Raises:
        StoreError: the folder cannot be written.
    """
    return [*_written(charts, folder)]


def write_report(content: Content, folder: Path) -> Iterator[Path]:
    """Draw all charts of a report and the ranking of each block; yield each file once it is there.

    Raises:
        StoreError: the folder cannot be written.
    """
    yield from _written(reports.charts_of(content), folder)


def write_run(
    record: RunRecord, store: Store, answers: Answers | None, split: str, folder: Path
) -> Iterator[Path]:
    """Draw what there is of a run; yield each file once it is there.

    These are PNG and SVG of its curves and of what it said of a split, and one PNG of its worst
    mistakes.

    Args:
        record: of the run.
        store: has what it has left.
        answers: what it said of the split; None where it cannot be read.
        split: `val` or `test`.
        folder: for the files.

    Raises:
        StoreError: the folder cannot be written.
    """
    (name,) = _file_names([f"{record.spec.label}-{record.id}"])
    charts = runs.charts_of(record, store, answers, split)
    yield from _written(((f"{name}-{what}", chart) for what, chart in charts), folder)
    sheet = runs.mistakes_of(record, store, answers, split) if answers is not None else None
    if sheet is not None:
        path = folder / f"{name}-{split}-mistakes.png"
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        files.write_bytes(path, buffer.getvalue())
        yield path


def _written(charts: Iterable[tuple[str, Chart]], folder: Path) -> Iterator[Path]:
    known = [*charts]
    names = _file_names([name for name, _ in known])
    for name, (_, chart) in zip(names, known, strict=True):
        figure = draw_chart(chart)
        for ending in ("png", "svg"):
            path = folder / f"{name}.{ending}"
            files.write_bytes(path, render(figure, ending))
            yield path


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
