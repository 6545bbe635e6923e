"""Panels drawn with matplotlib: curves over epochs, and the ranking with its intervals.

Drawing takes panels and returns a `matplotlib.figure.Figure`; it neither reads records nor touches
pyplot. Names are drawn letter by letter, whatever stands in them, and the reader's own matplotlib
settings change nothing.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import files, series, tables
from bench.rows import METRIC_NAMES, percent
from bench.series import Method, Panel, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COLORS = (
    "#0072B2",  # blue
    "#D55E00",  # vermillion
    "#009E73",  # bluish green
    "#CC79A7",  # reddish purple
    "#000000",
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#8A8A8A",  # in place of yellow, which is lost on white
)
"""Of Okabe and Ito (2008, https://jfly.uni-koeln.de/color/), told apart by the colour-blind."""
MARKERS = "osD^vP*X"
"""One for each colour, so that nothing hangs on colour alone."""
MOST_CURVES = len(COLORS)
"""Rows whose curves are drawn in a panel; the best ones."""
MOST_RANKED = 30
"""Rows of a ranking that are drawn in a panel."""
MOST_PANELS = 4
"""Panels side by side; those with the best scores."""
LONGEST_LABEL = 70
"""Characters of a row's name; the middle of longer ones is left out."""
LOG_RATIO = 20.0
"""The loss is drawn on a logarithmic axis where its largest value is more times the median."""

_DPI = 110
_INK, _FAINT, _STRIPE = "#1c1e22", "#60646c", "#f0f1f3"
_STYLE: dict[str, Any] = {
    "axes.edgecolor": _FAINT,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.0,
    "font.size": 9.0,
    "grid.color": "#e3e5e8",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "bench",  # the same picture is the same file
    "text.color": _INK,
    "text.parse_math": False,  # a name is a name, though it be `$x$`
    "xtick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.color": _FAINT,
    "ytick.labelcolor": _INK,
}
_LINE = 0.19  # inches of a line of text


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
    with _style(), warnings.catch_warnings():
        # A letter that the font lacks is a box in the picture, and nothing to trouble a reader.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        undated = {"Date": None} if form == "svg" else None
        figure.savefig(buffer, format=form, dpi=_DPI, metadata=undated)
    return buffer.getvalue()


def draw_curves(sheet: Sheet) -> Figure:
    """Draw loss and metric over epochs, a line for each of the best rows.

    Of several seeds the line is their mean, as far as all of them have come, and the band reaches
    from the smallest to the largest; a seed that trained on has a thin line of its own. Panels side
    by side share their axes.
    """
    panels = _best_panels(sheet.panels)
    styles = _styles(sheet, [method for panel in panels for method in _with_curves(panel)])
    drawn = [[each for each in _with_curves(p) if each.label in styles] for p in panels]
    labels = [label for label in styles if any(m.label == label for ms in drawn for m in ms)]
    beside = len(panels) > 1
    width = max(10.0, 4.0 * len(panels))
    label_lines = _legend_rows([*map(_shortened, labels)], width)
    notes = _wrapped(_notes(sheet, panels, drawn), width, 8.0)
    title = _wrapped([sheet.title], width, 11.0)
    heights = [
        _LINE * len(title) * 1.2 + (6.0 if beside else 3.7),
        _LINE * (label_lines + 1) + 0.2,
        _LINE * 0.85 * len(notes) + 0.1,
    ]
    with _style():
        figure, (top, middle, bottom) = _stacked(width, heights, "\n".join(title))
        if beside:
            grid = top.subplots(2, len(panels), squeeze=False, sharex=True, sharey="row")
            pairs = [*zip(*grid, strict=True)]
        else:
            pairs = [top.subplots(1, 2)]
        logarithmic = _wants_logarithm([*_losses(drawn)])
        for pair, panel, methods in zip(pairs, panels, drawn, strict=True):
            _draw_panel(pair, panel, methods, styles, logarithmic=logarithmic)
            pair[0].set_title("\n".join(_wrapped([panel.title], width / len(panels), 10.0)))
            for axes in pair if beside else ():
                axes.label_outer()
        _draw_legends(middle, labels, styles, _keys(drawn), label_lines)
        _write_notes(bottom, notes)
    return figure


def draw_ranking(sheet: Sheet) -> Figure:
    """Draw the test metric of each row with its interval, in rank order, ties on one stripe."""
    from matplotlib.ticker import PercentFormatter

    panels = _best_panels(sheet.panels)
    drawn = [panel.methods[:MOST_RANKED] for panel in panels]
    styles = _styles(sheet, [method for panel in panels for method in _with_curves(panel)])
    width = 10.0
    several = len(panels) > 1
    notes = _wrapped(_ranking_notes(sheet, panels, drawn), width, 8.0)
    title = _wrapped([sheet.title], width, 11.0)
    room = 0.35 + (0.3 if several else 0.0)
    sizes = [room + 0.3 * len(methods) for methods in drawn]
    heights = [
        _LINE * len(title) * 1.2 + sum(sizes) + 0.5,
        _LINE * 0.85 * len(notes) + 0.1,
    ]
    with _style():
        figure, (top, bottom) = _stacked(width, heights, "\n".join(title))
        grid = top.subplots(
            len(panels), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": sizes}
        )[:, 0]
        for axes, panel, methods in zip(grid, panels, drawn, strict=True):
            _draw_rows(axes, methods, styles)
            if several:
                lines = _wrapped([panel.title], width, 10.0)
                axes.set_title("\n".join(lines), loc="left")
        grid[-1].set_xlabel(f"test {METRIC_NAMES[panels[0].block.metric]}")
        grid[-1].xaxis.set_major_formatter(PercentFormatter(1.0))
        _write_notes(bottom, notes)
    return figure


def _draw_panel(
    pair: Sequence[Axes],
    panel: Panel,
    methods: Sequence[Method],
    styles: dict[str, tuple[str, str]],
    *,
    logarithmic: bool,
) -> None:
    """Draw the rows of a panel: the loss on the first axes, the metric on the second."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    name, train, val = series.measured(panel)
    for method in methods:
        _draw_method(pair[0], method, ("train_loss", "val_loss"), styles[method.label])
        _draw_method(pair[1], method, (train, val), styles[method.label])
    last = max((t.epochs[-1].epoch for m in methods for t in m.traces), default=1)
    for axes, what in zip(pair, ("loss", name), strict=True):
        axes.set_xlim(0.5, max(last + 0.5, axes.get_xlim()[1]))
        axes.set_xlabel("epoch")
        axes.set_ylabel(what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if logarithmic:
        _scale_by_logarithm(pair[0])
    pair[1].yaxis.set_major_formatter(PercentFormatter(1.0))


def _draw_method(
    axes: Axes, method: Method, fields: tuple[str | None, str], style: tuple[str, str]
) -> None:
    """Draw the curves of a row, train dashed and val solid, and mark the epochs kept."""
    color, marker = style
    for field, dash in zip(fields, ("--", "-"), strict=True):
        if field is None:
            continue
        runs = [_points(trace.epochs, field) for trace in method.traces]
        common = sorted(set.intersection(*({*run} for run in runs)))
        values = [[run[epoch] for run in runs] for epoch in common]
        dot = "." if len(common) == 1 else ""
        means = [sum(each) / len(each) for each in values]
        thin = 0.6 if field.startswith("train") else 1.0
        axes.plot(common, means, dash, color=color, linewidth=1.6 * max(thin, 0.75), marker=dot)
        if len(runs) > 1:
            low, high = [min(each) for each in values], [max(each) for each in values]
            axes.fill_between(common, low, high, color=color, alpha=0.15 * thin, linewidth=0)
        for run in runs:  # what only some seeds have come to
            rest = sorted(epoch for epoch in run if not common or epoch >= common[-1])
            if len(rest) > 1 and len(runs) > 1:
                axes.plot(rest, [run[each] for each in rest], dash, color=color, linewidth=0.6)
    kept = [
        (trace.best_epoch, points[trace.best_epoch])
        for trace in method.traces
        if trace.best_epoch in (points := _points(trace.epochs, fields[1]))
    ]
    if kept:
        axes.plot(
            *zip(*kept, strict=True),
            linestyle="",
            marker=marker,
            markersize=5.5,
            color=color,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=3,
        )


def _draw_rows(axes: Axes, methods: Sequence[Method], styles: dict[str, tuple[str, str]]) -> None:
    for place, method in enumerate(methods):
        score = method.row.score
        assert score is not None
        color, marker = styles.get(method.label, (_FAINT, "o"))
        axes.errorbar(
            [score.mean],
            [place],
            xerr=[[score.mean - score.low], [score.high - score.mean]],
            color=color,
            marker=marker,
            markersize=6.5,
            capsize=3,
            elinewidth=1.4,
        )
        seeds = "1 seed" if method.row.seeds == 1 else f"{method.row.seeds} seeds"
        axes.text(
            1.01,
            place,
            f"{percent(score)}, {seeds}",
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
        )
        if (method.row.tie_group or 0) % 2:
            axes.axhspan(place - 0.5, place + 0.5, color=_STRIPE, zorder=0, linewidth=0)
    axes.set_yticks(
        range(len(methods)), [f"{_shortened(each.label)}   {each.row.rank}" for each in methods]
    )
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _draw_legends(
    figure: SubFigure,
    labels: Sequence[str],
    styles: dict[str, tuple[str, str]],
    keys: Sequence[tuple[str, str]],
    rows: int,
) -> None:
    """Say which colour is which row, and what the kinds of lines mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=color, marker=marker, markersize=5.5, markeredgecolor="white")
        for color, marker in (styles[label] for label in labels)
    ]
    drawn: dict[str, Any] = {
        "train": Line2D([], [], color=_FAINT, linestyle="--", linewidth=1.2),
        "val": Line2D([], [], color=_FAINT),
        "kept": Line2D([], [], color=_FAINT, linestyle="", marker="o", markersize=5.5),
        "band": Patch(color=_FAINT, alpha=0.25, linewidth=0),
        "rest": Line2D([], [], color=_FAINT, linewidth=0.6),
    }
    legends: tuple[tuple[Any, int, list[Any], list[str]], ...] = (
        ("upper center", math.ceil(len(labels) / rows), handles, [*map(_shortened, labels)]),
        ("lower center", len(keys), [drawn[key] for key, _ in keys], [text for _, text in keys]),
    )
    for place, columns, shown, texts in legends:
        # Named only afterwards: matplotlib takes a label that begins with `_` for none.
        legend = figure.legend(
            shown, ["x"] * len(shown), loc=place, ncols=columns, frameon=False, borderpad=0.1
        )
        for text, label in zip(legend.get_texts(), texts, strict=True):
            text.set_text(label)


def _keys(drawn: Sequence[Sequence[Method]]) -> list[tuple[str, str]]:
    """Return what the legend explains: a kind of line, and its words."""
    methods = [method for each in drawn for method in each]
    keys = [("train", "train"), ("val", "val"), ("kept", "epoch kept")]
    if any(len(method.traces) > 1 for method in methods):
        keys[0], keys[1] = ("train", "train, mean of seeds"), ("val", "val, mean of seeds")
        keys.append(("band", "smallest to largest of the seeds"))
    if any({trace.epochs[-1].epoch for trace in m.traces} != {m.length} for m in methods):
        keys.append(("rest", "a seed that trained on"))
    return keys


def _notes(sheet: Sheet, panels: Sequence[Panel], drawn: Sequence[Sequence[Method]]) -> list[str]:
    """Return what a reader must know of the curves."""
    notes = [
        "Train is measured during the epoch, in training mode, on augmented images; val after it."
    ]
    if not all(panel.same_loss for panel in panels):
        notes[0] += " Train loss is not the log loss here: do not compare it with val loss."
    return notes + _left_out(sheet, panels, [_with_curves(panel) for panel in panels], drawn)


def _ranking_notes(
    sheet: Sheet, panels: Sequence[Panel], drawn: Sequence[Sequence[Method]]
) -> list[str]:
    """Return what a reader must know of the ranking."""
    notes = list(dict.fromkeys(tables.footnote(panel.block) for panel in panels))
    counts = sorted({method.row.n for methods in drawn for method in methods})
    images = " or ".join(f"{count:,}" for count in counts)
    notes.append(
        f"{images} test images. The number before a row is its rank; rows of one rank, on one "
        "stripe, cannot be told apart."
    )
    if len(panels) > 1:
        notes[-1] += " Ranks hold within a block only."
    return notes + _left_out(sheet, panels, [panel.methods for panel in panels], drawn)


def _left_out(
    sheet: Sheet,
    panels: Sequence[Panel],
    possible: Sequence[Sequence[Method]],
    drawn: Sequence[Sequence[Method]],
) -> list[str]:
    """Return one sentence that says what is not drawn; none where all is."""
    fewer = sum(map(len, possible)) - sum(map(len, drawn))
    without = sum(len(panel.methods) for panel in panels) - sum(map(len, possible))
    counts = [
        (fewer, "row with a lower score", "rows with lower scores"),
        (sum(panel.failed for panel in panels), "failed row", "failed rows"),
        (without, "row without stored curves", "rows without stored curves"),
        (len(sheet.panels) - len(panels), "further block", "further blocks"),
    ]
    parts = [f"{n} {one if n == 1 else many}" for n, one, many in counts if n]
    return [f"Not drawn: {', '.join(parts)}."] if parts else []


def _best_panels(panels: Sequence[Panel]) -> list[Panel]:
    """Return the panels with the best scores, in the order that they had."""
    best = sorted(panels, key=lambda panel: -panel.methods[0].score)[:MOST_PANELS]
    return [panel for panel in panels if any(panel is each for each in best)]


def _with_curves(panel: Panel) -> list[Method]:
    return [method for method in panel.methods if method.traces]


def _styles(sheet: Sheet, methods: Sequence[Method]) -> dict[str, tuple[str, str]]:
    """Return the colour and the marker of each label that is drawn, best first.

    A label looks alike in all pictures of its dataset, unless there are more than colours.
    """
    labels = [label for label in sheet.labels if any(m.label == label for m in methods)]
    known = sheet.labels if len(sheet.labels) <= MOST_CURVES else labels
    looks = dict(zip(known, zip(COLORS, MARKERS, strict=True), strict=False))
    return {label: looks[label] for label in labels if label in looks}


def _points(epochs: Sequence[Any], field: str | None) -> dict[int, float]:
    """Return epoch -> value, where there is one."""
    values = {each.epoch: getattr(each, field) for each in epochs if field}
    return {epoch: value for epoch, value in values.items() if value is not None}


def _losses(drawn: Sequence[Sequence[Method]]) -> Iterator[float]:
    for method in (method for methods in drawn for method in methods):
        for each in (each for trace in method.traces for each in trace.epochs):
            yield each.train_loss
            yield each.val_loss


def _wants_logarithm(losses: Sequence[float]) -> bool:
    ordered = sorted(losses)
    return ordered[0] > 0 and ordered[-1] > LOG_RATIO * ordered[len(ordered) // 2]


def _scale_by_logarithm(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    # The usual formatter writes powers of ten as formulas, and formulas are off.
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("loss (logarithmic)")


def _stacked(width: float, heights: Sequence[float], title: str) -> tuple[Figure, list[SubFigure]]:
    """Return a figure of parts above each other, of these heights in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    grid = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    parts: list[SubFigure] = [*grid[:, 0]]
    parts[0].suptitle(title, fontsize=11, fontweight="bold")
    return figure, parts


def _write_notes(figure: SubFigure, lines: Sequence[str]) -> None:
    figure.text(0.01, 0.95, "\n".join(lines), fontsize=8, color=_FAINT, verticalalignment="top")


def _legend_rows(labels: Sequence[str], width: float) -> int:
    """Return how many lines a legend needs, in columns as wide as its longest label."""
    column = 0.075 * max(map(len, labels), default=1) + 0.65
    return math.ceil(len(labels) / max(1, int(width / column)))


def _wrapped(texts: Sequence[str], width: float, size: float) -> list[str]:
    """Return lines that fit a width in inches, at a size in points."""
    letters = max(20, int(width * 72 / size / 0.56))
    return [line for text in texts for line in textwrap.wrap(_drawable(text), letters)]


def _shortened(label: str) -> str:
    label = _drawable(label)
    if len(label) <= LONGEST_LABEL:
        return label
    half = LONGEST_LABEL // 2
    return f"{label[:half]}…{label[-half + 1 :]}"


def _drawable(text: str) -> str:
    """Return text without halves of characters, as undecodable file names have them."""
    return text.encode("utf-8", "replace").decode("utf-8")


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


@contextlib.contextmanager
def _style() -> Iterator[None]:
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield
