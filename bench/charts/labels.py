"""Names beside marks: of dots where they cover nothing, or not at all; of rules where least."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from bench.charts.layout import SMALL
from bench.charts.lettering import fitted, width_of
from bench.charts.paths import Box, Point, clipped

MOST = 40
"""Names that are tried; a picture of more is not read by its names."""
_LONGEST = 150.0
_AWAY, _HALF = 8.0, 6.0
"""From the middle of a dot to its name; half the height of a name."""

_CORNERS = (("start", 5.0), ("end", -5.0))

_Place = tuple[str, float, float]
"""How a name is anchored, at which x, and the y of its middle."""
Label = tuple[Point, str, str]
"""Where it is anchored, how (`start`, `middle` or `end`), and the text."""


def placed(
    wanted: Sequence[tuple[Point, str]],
    dots: Sequence[Point],
    lines: Sequence[Sequence[Point]],
    room: Box,
    taken: Sequence[Box] = (),
) -> list[Label]:
    """Return the names that find a place beside their dots, the first ones first.

    Args:
        wanted: where a dot is, and its name.
        dots: all dots, none of which a name may cover.
        lines: what names cover only where there is no better place.
        room: what no name may leave.
        taken: places of other names.
    """
    columns = sorted(dots)
    taken = [*taken]
    result: list[Label] = []
    for (x, y), name in wanted[:MOST]:
        text = fitted(name, _LONGEST, SMALL)
        width = width_of(text, SMALL)
        places = [
            ("start", x + _AWAY, y),
            ("end", x - _AWAY, y),
            ("middle", x, y - _AWAY - _HALF),
            ("middle", x, y + _AWAY + _HALF),
            *((anchor, x + away, y + off) for off in (-11, 11) for anchor, away in _CORNERS),
        ]
        free: list[tuple[int, int, Box]] = []
        for number, place in enumerate(places):
            box = _box(place, width)
            inside = room.holds((box.left, box.top)) and room.holds((box.right, box.bottom))
            if inside and not any(map(box.meets, taken)) and not _covers(box, columns):
                crossed = sum(bool(clipped(line, box)) for line in lines)
                free.append((crossed, number, box))
                if not crossed:
                    break
        if free:
            _, number, box = min(free, key=lambda each: each[:2])
            anchor, at, middle = places[number]
            taken.append(box)
            result.append(((at, middle + 4), anchor, text))
    return result


def along(
    ends: Sequence[Point],
    name: str,
    frame: Box,
    lines: Sequence[Sequence[Point]],
    dots: Sequence[Point],
) -> tuple[Label, Box]:
    """Return the place beside a line of reference where its name covers least, and its box.

    Args:
        ends: of the line, from the left or from below.
        name: of the line.
        frame: what the name does not leave.
        lines: what it should not cover.
        dots: neither these.
    """
    (x, y), (end_x, end_y) = ends
    text = fitted(name, frame.width / 2, SMALL)
    width = width_of(text, SMALL)
    places: list[_Place] = []
    if x == end_x:
        for middle in (frame.top + _HALF + 2, frame.bottom - _HALF - 3):
            places += [("start", x + 5, middle), ("end", x - 5, middle)]
    elif y == end_y:
        for anchor, at in (("end", end_x - 3), ("start", x + 5)):
            places += [(anchor, at, y - _HALF - 3), (anchor, at, y + _HALF + 3)]
    else:
        for share in (0.6, 0.35, 0.8):
            at, middle = x + share * (end_x - x), y + share * (end_y - y)
            places += [("start", at + 6, middle + _HALF), ("end", at - 6, middle - _HALF)]
    dots = sorted(dots)

    def covered(place: _Place) -> int:
        box = _box(place, width)
        outside = not (frame.holds((box.left, box.top)) and frame.holds((box.right, box.bottom)))
        crossed = sum(bool(clipped(line, box)) for line in lines)
        return 1000 * outside + crossed + 2 * _covers(box, dots)

    best = min(places, key=covered)
    return ((best[1], best[2] + 4), best[0], text), _box(best, width)


def _box(place: _Place, width: float) -> Box:
    anchor, at, middle = place
    left = at - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return Box(left, middle - _HALF, left + width, middle + _HALF)


def _covers(box: Box, columns: Sequence[Point]) -> bool:
    """Return whether a dot lies in a box, or close to it."""
    first = bisect.bisect_left(columns, (box.left - 4, float("-inf")))
    for x, y in columns[first:]:
        if x > box.right + 4:
            return False
        if box.top - 3 < y < box.bottom + 3:
            return True
    return False
