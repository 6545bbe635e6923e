"""Charts drawn with matplotlib: the places, colours and shapes that inline SVG has too."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.charts import Chart
from bench.charts.geometry import (
    STRONG,
    Placed,
    PlacedBand,
    PlacedCell,
    PlacedDot,
    PlacedLine,
    PlacedRule,
    names_of,
    place_marks,
)
from bench.charts.layout import SIZE, SMALL, SWATCH, Layout, lay_out
from bench.charts.lettering import clean
from bench.charts.paths import Box, Point
from bench.figures.choice import COLORS, MARKERS
from bench.figures.looks import FAINT, INK, LINE, style, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, WIDE = 640.0, 900.0
"""Pixels that charts are laid out for, and those that want the whole width of a page."""
_INCH = 88.0
"""Pixels of a layout to an inch of paper, so that its text is as large as in other pictures."""
_POINT = 72 / _INCH
_GOOD, _BAD = COLORS[0], "#C04F00"
"""Of cells; as in `charts.css`."""
_SIZES = {3: 7.0, 4: 7.0, 5: 7.2, 6: 8.5, 7: 7.2}
"""Of signs that look smaller than a circle of their width."""
_LONGEST_NOTE = 3000
_BACK = 0.55
"""Opacity of what stands back."""


def draw_chart(chart: Chart) -> Figure:
    """Draw a chart with its title above and its note below."""
    from matplotlib.figure import Figure

    layout = lay_out(chart, WIDE if chart.wide else WIDTH)
    marks = place_marks(chart, layout)
    empty = all(isinstance(each, PlacedRule) for each in marks)
    width, height = layout.width / _INCH, (48 if empty else layout.height) / _INCH
    title = wrapped([clean(chart.title)], width, 12.0)
    notes = wrapped([clean(chart.note, _LONGEST_NOTE)], width, 8.0)
    above, below = LINE * 1.2 * len(title) + 0.12, LINE * 0.85 * len(notes) + 0.12
    whole = above + height + below
    with style():
        figure = Figure(figsize=(width, whole))
        axes = figure.add_axes((0, below / whole, 1, height / whole))
        axes.set_axis_off()
        axes.set_xlim(0, layout.width)
        axes.set_ylim(height * _INCH, 0)  # from above, as pixels are counted
        left = 8 / layout.width
        top: dict[str, Any] = {"verticalalignment": "top"}
        said = "\n".join(title)
        figure.text(left, 1 - 0.1 / whole, said, fontsize=11, fontweight="bold", **top)
        figure.text(left, below / whole, "\n".join(notes), fontsize=8, color=FAINT, **top)
        if empty:
            _write(axes, (8, 28), "nothing to draw", SIZE, color=FAINT)
            return figure
        _draw_grid(axes, chart, layout)
        for place, (_, same) in enumerate(itertools.groupby(marks, _look)):
            _draw_marks(axes, [*same], zorder=2 + place / len(marks))
        for at, anchor, text in names_of(marks, layout):
            _write(axes, at, text, SMALL, anchor, halo=True)
        _draw_around(axes, layout)
        _draw_legend(axes, layout)
    return figure


def _look(mark: Placed) -> tuple[object, ...]:
    """Return what is equal for marks that are drawn at once."""
    if isinstance(mark, PlacedDot):
        return PlacedDot, mark.mark.series, mark.mark.hollow
    return (PlacedCell,) if isinstance(mark, PlacedCell) else (id(mark),)


def _draw_marks(axes: Axes, marks: Sequence[Placed], zorder: float) -> None:
    """Draw marks of one look."""
    dots = [each for each in marks if isinstance(each, PlacedDot)]
    cells = [each for each in marks if isinstance(each, PlacedCell)]
    if dots:
        _draw_dots(axes, dots, zorder)
        return
    if cells:
        _draw_cells(axes, cells, zorder)
        return
    for mark in marks:
        match mark:
            case PlacedLine():
                _draw_line(axes, mark, zorder)
            case PlacedBand():
                for corners in mark.areas:
                    look: dict[str, Any] = {"alpha": 0.16, "linewidth": 0, "zorder": zorder}
                    axes.fill(*zip(*corners, strict=True), color=_color(mark.mark.series), **look)
            case PlacedRule():
                look = {"color": FAINT, "linestyle": ":", "linewidth": 1.2, "zorder": zorder}
                axes.plot(*zip(*mark.ends, strict=True), **look)


def _draw_line(axes: Axes, placed: PlacedLine, zorder: float) -> None:
    line = placed.mark
    thickness = 0.9 if line.thin else 1.4 if line.dashed else 1.9
    for piece in placed.pieces:
        axes.plot(
            *zip(*piece, strict=True),
            color=_color(line.series),
            linestyle="--" if line.dashed else "-",
            linewidth=thickness * _POINT,
            alpha=_BACK if line.series < 0 else 0.7 if line.thin else 1.0,
            zorder=zorder,
        )
    if placed.sign is not None:
        axes.plot(*placed.sign, **_marker(line.series), zorder=zorder)


def _draw_dots(axes: Axes, dots: Sequence[PlacedDot], zorder: float) -> None:
    """Draw dots of one series."""
    from matplotlib.collections import LineCollection

    series, hollow = dots[0].mark.series, dots[0].mark.hollow
    segments: list[list[Point]] = []
    for dot in dots:
        for (x, y), ended in dot.whiskers:
            segments.append([dot.at, (x, y)])
            across = (0, 3) if y == dot.at[1] else (3, 0)
            if ended:
                segments.append([(x - across[0], y - across[1]), (x + across[0], y + across[1])])
    alpha = _BACK if series < 0 else 1.0
    if segments:
        look = {"linewidth": 1.4 * _POINT, "alpha": alpha, "zorder": zorder}
        axes.add_collection(LineCollection(segments, color=_color(series), **look))
    places = zip(*(dot.at for dot in dots), strict=True)
    axes.plot(*places, linestyle="", **_marker(series, hollow=hollow), alpha=alpha, zorder=zorder)


def _draw_cells(axes: Axes, cells: Sequence[PlacedCell], zorder: float) -> None:
    for cell in cells:
        box = cell.box
        _draw_box(axes, box, _BAD if cell.bad else _GOOD, cell.depth, zorder, edge="white")
        if cell.text:
            color = "white" if cell.depth >= STRONG else INK
            at = (box.left + box.right) / 2, (box.top + box.bottom) / 2 + 4
            _write(axes, at, cell.text, cell.size, "middle", color=color)


def _draw_box(
    axes: Axes, box: Box, color: str, alpha: float, zorder: float, edge: str = "none"
) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (box.left, box.top),
            box.width,
            box.height,
            facecolor=to_rgba(color, alpha),
            edgecolor=edge,
            linewidth=0.8,
            zorder=zorder,
        )
    )


def _draw_grid(axes: Axes, chart: Chart, layout: Layout) -> None:
    """Draw what lies behind the marks: a line at each number, none between categories."""
    frame = layout.frame
    look: dict[str, Any] = {"color": "#e3e5e8", "linewidth": 0.7, "zorder": 1}
    for tick in () if chart.x.categories else layout.x:
        axes.plot([tick.place[0]] * 2, [frame.top, frame.bottom], **look)
    for tick in () if chart.y.categories else layout.y:
        axes.plot([frame.left, frame.right], [tick.place[1]] * 2, **look)


def _draw_around(axes: Axes, layout: Layout) -> None:
    """Draw the axes, and what is written beside them."""
    frame = layout.frame
    corner = [frame.left, frame.left, frame.right], [frame.top, frame.bottom, frame.bottom]
    axes.plot(*corner, color=FAINT, linewidth=0.8, zorder=4)
    for tick in layout.x:
        x, y = tick.place
        at = (x + (4 if layout.x_turn == 90 else 0), y)
        anchor = "end" if layout.x_turn else "middle"
        _write(axes, at, tick.text, SMALL, anchor, turn=layout.x_turn)
    for tick in layout.y:
        _write(axes, (tick.place[0], tick.place[1] + 4), tick.text, SMALL, "end")
    for title, anchor in zip(layout.titles, ("middle", "start"), strict=True):
        _write(axes, title.place, title.text, SIZE, anchor)


def _draw_legend(axes: Axes, layout: Layout) -> None:
    for entry in layout.legend:
        (x, y), kinds, color = entry.name.place, entry.kinds, _color(entry.series)
        if kinds == {"band"}:
            box = Box(x + 2, y - 9, x + 16, y + 1)
            _draw_box(axes, box, color, 0.16, 2)
        if kinds & {"line", "dashed"}:
            dash, thickness = ("-", 1.9) if "line" in kinds else ("--", 1.4)
            look: dict[str, Any] = {
                "color": color,
                "linestyle": dash,
                "linewidth": thickness * _POINT,
            }
            axes.plot([x, x + 18], [y - 4, y - 4], **look)
        if kinds & {"line", "dot", "ring"}:
            axes.plot(x + 9, y - 4, **_marker(entry.series, hollow=kinds == {"ring"}))
        _write(axes, (x + SWATCH, y), entry.name.text, SIZE)


def _write(
    axes: Axes,
    at: Point,
    text: str,
    size: float,
    anchor: str = "start",
    *,
    color: str = INK,
    turn: int = 0,
    halo: bool = False,
) -> None:
    from matplotlib.patheffects import withStroke

    around = [withStroke(linewidth=2.5, foreground="white")] if halo else []
    axes.text(
        *at,
        text,
        fontsize=size * _POINT,
        color=color,
        horizontalalignment={"start": "left", "middle": "center", "end": "right"}[anchor],
        verticalalignment="baseline",
        rotation=turn,
        rotation_mode="anchor",
        path_effects=around,
        zorder=5,
    )


def _color(series: int) -> str:
    return COLORS[series % len(COLORS)] if series >= 0 else FAINT


def _marker(series: int, *, hollow: bool = False) -> dict[str, Any]:
    """Return matplotlib's words for the sign of a series."""
    color = _color(series)
    return {
        "marker": MARKERS[series % len(MARKERS)] if series >= 0 else "o",
        "markersize": _SIZES.get(series % len(MARKERS), 5.8) if series >= 0 else 5.8,
        "markerfacecolor": "white" if hollow else color,
        "markeredgecolor": color if hollow else "white",
        "markeredgewidth": 1.5 if hollow else 0.7,
    }
