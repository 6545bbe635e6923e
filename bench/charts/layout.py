"""Where the parts of a chart stand: its frame, what is written around it, its legend."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.charts.lettering import clean, fitted, width_of
from bench.charts.marks import Axis, Band, Cell, Chart, Dot, Line, Rule
from bench.charts.paths import Box, Point
from bench.charts.scales import Span, drawable, spans_of
from bench.charts.ticks import Tick, ticks_of

SIZE = 12.0
"""Of the font, pixels; that of ticks is `SMALL`."""
SMALL = 11.0
LINE = 17.0
"""From one line of text to the next."""
SWATCH = 24.0
"""Room for the sign of a series in the legend."""
_EDGE = 8.0
_SQUARE = 400.0
"""The longest side of a frame whose axes are alike."""
_WIDEST_CELL, _HIGHEST_CELL = 52.0, 36.0
_COLUMN, _ROW, _LEAST_ROW = 150.0, 26.0, 13.0
_SLANT = math.sin(math.radians(40))


@dataclass(frozen=True)
class Written:
    """A piece of text: what is drawn of it, and the whole."""

    place: Point
    text: str
    whole: str


@dataclass(frozen=True)
class Entry:
    """A series in the legend.

    Attributes:
        kinds: of its marks, which its sign shows: `line`, `dashed`, `band`, `dot`, `ring`.
    """

    series: int
    name: Written
    kinds: frozenset[str]


@dataclass(frozen=True)
class Layout:
    """A chart of some width, laid out.

    Attributes:
        width: of the picture, pixels.
        height: of the picture, pixels.
        frame: what marks are drawn in.
        x: marks of the x axis: a place, and what is written there.
        y: marks of the y axis.
        x_turn: degrees by which what is written along x is turned: 0, 40 or 90.
        titles: what the axes show: of x, of y.
        legend: the series that have marks.
    """

    width: float
    height: float
    frame: Box
    x_span: Span
    y_span: Span
    x: tuple[Written, ...]
    y: tuple[Written, ...]
    x_turn: int
    titles: tuple[Written, Written]
    legend: tuple[Entry, ...]
    reversed_y: bool

    def place(self, x: float, y: float) -> Point | None:
        """Return where values lie; None where they have no place, outside of the frame or not."""
        across, up = self.x_span.share(x), self.y_span.share(y)
        if across is None or up is None:
            return None
        up = 1 - up if self.reversed_y else up
        frame = self.frame
        # Far outside is as good as farther, and can be calculated with.
        across, up = (min(max(share, -1e6), 1e6) for share in (across, up))
        return frame.left + across * frame.width, frame.bottom - up * frame.height


def lay_out(chart: Chart, width: float) -> Layout:
    """Lay a chart out in this width, pixels; its height follows."""
    x_span, y_span = spans_of(chart)
    legend, legend_height = _legend(chart, width)
    y_title = fitted(chart.y.label, width - 2 * _EDGE, SIZE) if chart.y.label else ""
    top = _EDGE + legend_height + (LINE + 4 if y_title else 6)
    # How many ticks there are depends on the frame, and how wide they are on how many there are.
    names = [clean(name) for name in chart.y.categories]
    numbers = () if names else _possible(chart.y, y_span)
    widest = max((width_of(text, SMALL) for text in (*names, *numbers)), default=0)
    left = _EDGE + min(widest, 0.36 * width if names else 0.25 * width) + 7
    beyond = 0.0
    if not chart.x.categories:  # the first and the last number may stand half outside of the frame
        beyond = max(width_of(text, SMALL) for text in _possible(chart.x, x_span)) / 2 + 2
    # Whole pixels are sharper, and shorter to write.
    left = math.ceil(max(left, beyond))
    right = math.floor(width - max(2 * _EDGE, beyond))
    frame_width, frame_height = _sizes(chart, right - left, x_span, y_span)
    frame = Box(left, top, left + frame_width, top + frame_height)
    x, turn, x_height = _along_x(chart.x, x_span, frame)
    bottom = frame.bottom + x_height
    x_title = fitted(chart.x.label, width - 2 * _EDGE, SIZE) if chart.x.label else ""
    middle = (frame.left + frame.right) / 2
    half = width_of(x_title, SIZE) / 2
    middle = min(max(middle, _EDGE + half), width - _EDGE - half)
    titles = (
        Written((middle, bottom + LINE - 3), x_title, clean(chart.x.label)),
        Written((_EDGE, top - 9), y_title, clean(chart.y.label)),
    )
    height = bottom + (LINE + 4 if x_title else 4)
    return Layout(
        width=width,
        height=math.ceil(height),
        frame=frame,
        x_span=x_span,
        y_span=y_span,
        x=x,
        y=_along_y(chart.y, y_span, frame),
        x_turn=turn,
        titles=titles,
        legend=legend,
        reversed_y=bool(chart.y.categories),
    )


def _possible(axis: Axis, span: Span) -> list[str]:
    """Return what an axis may have written beside it, however many ticks it will have."""
    return [text for most in range(2, 9) for _, text in ticks_of(axis, span, most)]


def _sizes(chart: Chart, room: float, x_span: Span, y_span: Span) -> tuple[float, float]:
    """Return how wide and how high the frame is."""
    columns, rows = len(chart.x.categories), len(chart.y.categories)
    if columns and rows and any(isinstance(mark, Cell) for mark in chart.marks):
        side = min(room / columns, _WIDEST_CELL)
        side = math.floor(side) if side >= _LEAST_ROW else side
        # Narrow cells are as high as the names of their rows need.
        return side * columns, max(min(side, _HIGHEST_CELL), min(_LEAST_ROW, 900 / rows)) * rows
    if rows:
        return room, max(60.0, rows * min(_ROW, max(_LEAST_ROW, 900 / rows)))
    if columns:
        return min(room, columns * _COLUMN), _height(room)
    diagonal = any(
        isinstance(mark, Rule) and mark.x is None and mark.y is None for mark in chart.marks
    )
    if diagonal:
        side = min(room, _SQUARE)
        return side, side
    return room, _height(room)


def _height(room: float) -> float:
    return min(max(0.55 * room, 170.0), 320.0)


def _along_x(axis: Axis, span: Span, frame: Box) -> tuple[tuple[Written, ...], int, float]:
    """Return what is written below the frame, how it is turned, and how high all of it is."""
    below = frame.bottom + 16
    if not axis.categories:
        ticks = _not_crowded(axis, span, frame)
        marks = [
            Written((frame.left + share * frame.width, below), text, text)
            for value, text in ticks
            if (share := span.share(value)) is not None
        ]
        return tuple(marks), 0, 21.0
    step = frame.width / len(axis.categories)
    names = [clean(name) for name in axis.categories]
    longest = max(width_of(name, SMALL) for name in names)
    level = longest <= step - 6
    turn = 0 if level else 40 if step >= 22 else 90
    every = max(1, math.ceil(13 / step)) if turn else 1
    # What is turned leans to the left of its place, where there is less room the nearer it stands.
    marks, deepest = [], 0.0
    for place, name in list(enumerate(names))[::every]:
        at = frame.left + (place + 0.5) * step
        room = step - 4 if level else min(120.0, at / 0.766 - 4) if turn == 40 else 110.0
        text = name if level else fitted(name, room, SMALL)
        deepest = max(deepest, width_of(text, SMALL))
        y = below if turn == 0 else frame.bottom + (12 if turn == 40 else 6)
        marks.append(Written((at, y), text, name))
    height = {0: 21.0, 40: 16 + deepest * _SLANT, 90: 8 + deepest}[turn]
    return tuple(marks), turn, height


def _not_crowded(axis: Axis, span: Span, frame: Box) -> list[Tick]:
    most = max(2, int(frame.width / 55))
    while True:
        ticks = ticks_of(axis, span, most)
        step = frame.width / max(1, len(ticks))
        widest = max(width_of(text, SMALL) for _, text in ticks)
        if most <= 2 or widest + 10 <= step:
            return ticks
        most -= 1


def _along_y(axis: Axis, span: Span, frame: Box) -> tuple[Written, ...]:
    at = frame.left - 7
    if not axis.categories:
        return tuple(
            Written((at, frame.bottom - share * frame.height), text, text)
            for value, text in ticks_of(axis, span, max(2, int(frame.height / 42)))
            if (share := span.share(value)) is not None
        )
    step = frame.height / len(axis.categories)
    every = max(1, math.ceil(_LEAST_ROW / step - 1e-6))
    return tuple(
        Written(
            (at, frame.top + (place + 0.5) * step),
            fitted(name, at - _EDGE + 1, SMALL),
            clean(name),
        )
        for place, name in list(enumerate(axis.categories))[::every]
    )


def _legend(chart: Chart, width: float) -> tuple[tuple[Entry, ...], float]:
    """Return the legend, and how high it is."""
    kinds = _kinds(chart)
    entries: list[Entry] = []
    x, y = _EDGE, _EDGE + SIZE
    room = width - 2 * _EDGE - SWATCH
    for series, name in enumerate(chart.series):
        if series not in kinds:
            continue
        text = fitted(name, min(room, 260.0), SIZE)
        needed = SWATCH + width_of(text, SIZE)
        if x > _EDGE and x + needed > width - _EDGE:
            x, y = _EDGE, y + LINE
        name = clean(name)
        entries.append(Entry(series, Written((x, y), text, name), frozenset(kinds[series])))
        x += needed + 16
    return tuple(entries), (y - _EDGE - SIZE + LINE + 6 if entries else 0.0)


def _kinds(chart: Chart) -> dict[int, set[str]]:
    """Return the kinds of marks of each series that has something to draw."""
    found: dict[int, set[str]] = {}
    for mark in chart.marks:
        match mark:
            case Line():
                some, kind = any(map(_both, mark.x, mark.y)), "dashed" if mark.dashed else "line"
            case Band():
                some, kind = any(map(_both, mark.x, mark.low)), "band"
            case Dot():
                some, kind = _both(mark.x, mark.y), "ring" if mark.hollow else "dot"
            case _:
                continue
        if some:
            found.setdefault(mark.series, set()).add(kind)
    return found


def _both(x: float, y: float) -> bool:
    return drawable(x) and drawable(y)
