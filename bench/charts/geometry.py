"""Marks of a chart as places in its picture: what is left of them in the frame, in pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.charts.labels import Label, along, placed
from bench.charts.layout import SMALL, Layout
from bench.charts.lettering import clean, width_of
from bench.charts.marks import Band, Cell, Chart, Dot, Line, Rule
from bench.charts.paths import Box, Point, area, clipped, simplified

TOUCH = 12.0
"""Radius of what answers to a finger, where no other dot is near; pixels."""
STRONG = 0.75
"""Depth from which what is written in a cell is as light as the page."""
_PRECISE, _SMOOTH = 0.25, 0.4
_SMALLEST, _NEARLY = 9.0, 0.9
"""Pixels of the smallest text, and the share of texts that must fit."""
_CELL_ROOM = 3.0
"""Pixels beside the text of a cell."""
_APART = 10.0
"""Between the signs of two lines."""
_MOST_WHISKERS = 200
"""Beyond, they cover names in any case."""


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A line in pieces; at `sign` it has the shape of its series, unless that is None."""

    mark: Line
    pieces: tuple[list[Point], ...]
    sign: Point | None


@dataclass(frozen=True, slots=True)
class PlacedBand:
    """A band as areas, each told by its corners."""

    mark: Band
    areas: tuple[list[Point], ...]


@dataclass(frozen=True, slots=True)
class PlacedDot:
    """A dot.

    Attributes:
        whiskers: where each ends, and whether the interval ends there too.
        touch: how far it answers to a finger, pixels.
    """

    mark: Dot
    at: Point
    whiskers: tuple[tuple[Point, bool], ...]
    touch: float


@dataclass(frozen=True, slots=True)
class PlacedCell:
    """A cell.

    Attributes:
        bad: whether it has the colour of what is wrong or worse.
        depth: of its colour, 0 to 1.
        text: empty where it does not fit.
        size: of the text, pixels.
    """

    mark: Cell
    box: Box
    bad: bool
    depth: float
    text: str
    size: float


@dataclass(frozen=True, slots=True)
class PlacedRule:
    """A line of reference, from the left or from below."""

    mark: Rule
    ends: tuple[Point, Point]


Placed = PlacedLine | PlacedBand | PlacedDot | PlacedCell | PlacedRule


def place_marks(chart: Chart, layout: Layout) -> list[Placed]:
    """Return the marks that have a place in the frame, in their order."""
    dots = [mark for mark in chart.marks if isinstance(mark, Dot)]
    places = {id(dot): at for dot in dots if (at := layout.place(dot.x, dot.y)) is not None}
    touches = _touches([*places.values()])
    dotted = {dot.series for dot in dots}
    judged = any(isinstance(mark, Cell) and mark.right for mark in chart.marks)
    size = _cell_size(chart, layout)
    signs: list[Point] = []
    found: list[Placed | None] = []
    for mark in chart.marks:
        match mark:
            case Line():
                line = _line(mark, layout, signs, signed=mark.series not in dotted)
                signs += [line.sign] if line is not None and line.sign is not None else []
                found.append(line)
            case Band():
                found.append(_band(mark, layout))
            case Dot():
                at = places.get(id(mark))
                if at is not None and layout.frame.holds(at):
                    found.append(PlacedDot(mark, at, _whiskers(mark, at, layout), touches[at]))
            case Cell():
                found.append(_cell(mark, layout, size, judged=judged))
            case Rule():
                found.append(_rule(mark, layout))
    return [each for each in found if each is not None]


def names_of(marks: Sequence[Placed], layout: Layout) -> list[Label]:
    """Return where the names of rules and dots stand; dots that find no room for theirs do not."""
    rules = [each for each in marks if isinstance(each, PlacedRule) and each.mark.label.strip()]
    dots = [each for each in marks if isinstance(each, PlacedDot)]
    wanted = [(dot.at, dot.mark.label) for dot in dots if dot.mark.label.strip()]
    if not rules and not wanted:
        return []
    frame, points = layout.frame, [dot.at for dot in dots]
    lines = [p for each in marks if isinstance(each, PlacedLine) for p in each.pieces]
    labels, taken = [], []
    for rule in rules:
        label, box = along(rule.ends, rule.mark.label, frame, lines, points)
        labels.append(label)
        taken.append(box)
    whiskers = [[dot.at, end] for dot in dots for end, _ in dot.whiskers]
    lines += whiskers if len(whiskers) <= _MOST_WHISKERS else []
    room = Box(frame.left, frame.top - 4, layout.width - 2, frame.bottom)
    return labels + placed(wanted, points, lines, room, taken)


def _line(line: Line, layout: Layout, signs: Sequence[Point], *, signed: bool) -> PlacedLine | None:
    runs = [*_runs(line.x, line.y, layout)]
    if line.stepped:
        runs = [_stepped(run) for run in runs]
    pieces = tuple(
        simplified(piece, _PRECISE) for run in runs for piece in clipped(run, layout.frame)
    )
    if not pieces:
        return None
    plain = line.series >= 0 and not line.dashed and not line.thin
    return PlacedLine(line, pieces, _sign(pieces, signs) if signed and plain else None)


def _runs(xs: Sequence[float], ys: Sequence[float], layout: Layout) -> Iterator[list[Point]]:
    """Yield the points of a line, anew after each that has no place."""
    run: list[Point] = []
    for x, y in zip(xs, ys, strict=False):
        at = layout.place(x, y)
        if at is not None:
            run.append(at)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _stepped(run: Sequence[Point]) -> list[Point]:
    corners = [run[0]]
    for (_, y), (next_x, next_y) in itertools.pairwise(run):
        corners += [(next_x, y), (next_x, next_y)]
    return corners


def _sign(pieces: Sequence[Sequence[Point]], others: Sequence[Point]) -> Point:
    """Return the end of a line or, where another's sign is near, a point before it."""
    points = [point for piece in pieces for point in piece]
    tries = [points[-1], *(points[len(points) * share // 8] for share in (6, 5, 4, 3, 2, 1))]
    free = (at for at in tries if all(math.dist(at, other) >= _APART for other in others))
    return next(free, points[-1])


def _band(band: Band, layout: Layout) -> PlacedBand | None:
    lows, highs = (
        [layout.place(x, y) for x, y in zip(band.x, ys, strict=False)]
        for ys in (band.low, band.high)
    )
    areas = []
    run: list[tuple[Point, Point]] = []
    for low, high in [*zip(lows, highs, strict=False), (None, None)]:
        if low is not None and high is not None:
            run.append((low, high))
            continue
        if len(run) > 1:
            edge = simplified([high for _, high in run], _SMOOTH)
            back = simplified([low for low, _ in reversed(run)], _SMOOTH)
            areas.append(area([*edge, *back], layout.frame))
        run = []
    whole = tuple(corners for corners in areas if len(corners) > 2)
    return PlacedBand(band, whole) if whole else None


def _whiskers(dot: Dot, at: Point, layout: Layout) -> tuple[tuple[Point, bool], ...]:
    frame = layout.frame
    found: list[tuple[Point, bool]] = []
    for end in (dot.x_low, dot.x_high):
        tip = layout.place(end, dot.y) if end is not None else None
        if tip is not None:
            x = min(max(tip[0], frame.left), frame.right)
            found.append(((x, at[1]), abs(x - tip[0]) < 0.05))
    for end in (dot.y_low, dot.y_high):
        tip = layout.place(dot.x, end) if end is not None else None
        if tip is not None:
            y = min(max(tip[1], frame.top), frame.bottom)
            found.append(((at[0], y), abs(y - tip[1]) < 0.05))
    return tuple(found)


def _cell(cell: Cell, layout: Layout, size: float, *, judged: bool) -> PlacedCell | None:
    middle = layout.place(cell.x, cell.y)
    corners = (
        layout.place(cell.x - 0.5, cell.y - 0.5),
        layout.place(cell.x + 0.5, cell.y + 0.5),
    )
    box = _box(*corners, layout.frame)
    if box is None or middle is None or not layout.frame.holds(middle):
        return None
    depth = min(max(cell.depth, -1.0), 1.0) if math.isfinite(cell.depth) else 0.0
    text = clean(cell.text)
    fits = size and width_of(text, size) <= box.width - _CELL_ROOM
    bad = not cell.right if judged else depth < 0
    return PlacedCell(cell, box, bad, abs(depth), text if fits else "", size)


def _cell_size(chart: Chart, layout: Layout) -> float:
    """Return how large the text of cells is: as large as nearly all of it fits; 0 for no text.

    Where only some cells had theirs, the others would look as if there was nothing in them.
    """
    texts = [clean(mark.text) for mark in chart.marks if isinstance(mark, Cell) and mark.text]
    width = layout.frame.width / max(1, len(chart.x.categories)) - _CELL_ROOM
    height = layout.frame.height / max(1, len(chart.y.categories))
    for size, least in ((SMALL, 1.0), (_SMALLEST, _NEARLY)):
        fitting = sum(width_of(text, size) <= width for text in texts)
        if texts and height >= size and fitting >= least * len(texts):
            return size
    return 0.0


def _rule(rule: Rule, layout: Layout) -> PlacedRule | None:
    x_span, y_span, frame = layout.x_span, layout.y_span, layout.frame
    if rule.x is not None:
        at = layout.place(rule.x, y_span.low)
        if at is None or not frame.holds((at[0], frame.top)):
            return None
        return PlacedRule(rule, ((at[0], frame.bottom), (at[0], frame.top)))
    if rule.y is not None:
        at = layout.place(x_span.low, rule.y)
        if at is None or not frame.holds((frame.left, at[1])):
            return None
        return PlacedRule(rule, ((frame.left, at[1]), (frame.right, at[1])))
    low, high = max(x_span.low, y_span.low), min(x_span.high, y_span.high)
    first, last = layout.place(low, low), layout.place(high, high)
    if low >= high or first is None or last is None:  # the axes have no value in common
        first, last = (frame.left, frame.bottom), (frame.right, frame.top)
    return PlacedRule(rule, (first, last))


def _touches(points: Sequence[Point]) -> dict[Point, float]:
    """Return how far each dot answers: not nearer to another dot than to itself."""
    squares: dict[tuple[int, int], list[Point]] = {}
    for x, y in points:
        squares.setdefault((int(x // (2 * TOUCH)), int(y // (2 * TOUCH))), []).append((x, y))
    least = 5.0
    radii: dict[Point, float] = {}
    for (column, row), inside in squares.items():
        if len(inside) > 24:  # then none has room
            radii |= dict.fromkeys(inside, least)
            continue
        around = [
            other
            for across in (-1, 0, 1)
            for down in (-1, 0, 1)
            for other in squares.get((column + across, row + down), [])[:48]
        ]
        for point in inside:
            nearest = min(
                (math.dist(point, other) for other in around if other != point), default=99.0
            )
            radii[point] = min(max(nearest / 2, least), TOUCH)
    return radii


def _box(first: Point | None, second: Point | None, frame: Box) -> Box | None:
    """Return what of the rectangle between two corners lies in a frame."""
    if first is None or second is None:
        return None
    (x, y), (other_x, other_y) = first, second
    return _cut(Box(min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)), frame)


def _cut(box: Box, frame: Box) -> Box | None:
    left, right = max(box.left, frame.left), min(box.right, frame.right)
    top, bottom = max(box.top, frame.top), min(box.bottom, frame.bottom)
    return Box(left, top, right, bottom) if left <= right and top <= bottom else None
