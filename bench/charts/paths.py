"""Lines and areas of a picture in pixels: cut to their frame, simplified, written short."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
"""x and y, pixels from the upper left corner."""


@dataclass(frozen=True)
class Box:
    """A rectangle, pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    def holds(self, point: Point, room: float = 0.05) -> bool:
        """Return whether a point is inside, or not farther outside than `room`."""
        x, y = point
        return (
            self.left - room <= x <= self.right + room
            and self.top - room <= y <= self.bottom + room
        )

    def meets(self, other: Box) -> bool:
        """Return whether two rectangles share a place."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def number(value: float) -> str:
    """Return a number of one decimal, as short as it can be."""
    tenths = round(value * 10)
    return f"{tenths // 10}" if tenths % 10 == 0 else f"{tenths / 10}"


def path_of(points: Sequence[Point], *, closed: bool = False) -> str:
    """Return a path through points, each told by its distance from the last."""
    # In tenths of a pixel, so that rounding does not add up.
    tenths = [(round(x * 10), round(y * 10)) for x, y in points]
    parts = [f"M{number(points[0][0])} {number(points[0][1])}"]
    for (x, y), (next_x, next_y) in itertools.pairwise(tenths):
        across, down = next_x - x, next_y - y
        if across or down:
            written = number(down / 10)
            parts.append(f"l{number(across / 10)}{'' if down < 0 else ' '}{written}")
    if closed:
        parts.append("z")
    elif len(parts) == 1:
        parts.append("h.1")  # a point, as its round cap
    return "".join(parts)


def clipped(points: Sequence[Point], box: Box) -> list[list[Point]]:
    """Return what of a line lies inside a box, in pieces."""
    pieces: list[list[Point]] = []
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    if all(left <= x <= right and top <= y <= bottom for x, y in points):
        return [list(points)]
    if len(points) == 1:
        return [list(points)] if box.holds(points[0]) else []
    for start, end in itertools.pairwise(points):
        inside = _segment(start, end, box)
        if inside is None:
            continue
        first, last = inside
        if pieces and pieces[-1][-1] == first:
            pieces[-1].append(last)
        else:
            pieces.append([first, last])
    return pieces


def _segment(start: Point, end: Point, box: Box) -> tuple[Point, Point] | None:
    """Cut a segment to a box, as Liang and Barsky (1984) do."""
    if box.holds(start, 0) and box.holds(end, 0):
        return start, end
    across, down = end[0] - start[0], end[1] - start[1]
    enter, leave = 0.0, 1.0
    for way, room in (
        (-across, start[0] - box.left),
        (across, box.right - start[0]),
        (-down, start[1] - box.top),
        (down, box.bottom - start[1]),
    ):
        if way == 0:
            if room < 0:
                return None
            continue
        share = room / way
        if way < 0:
            enter = max(enter, share)
        else:
            leave = min(leave, share)
    if enter > leave:
        return None
    first = (start[0] + enter * across, start[1] + enter * down) if enter > 0 else start
    last = (start[0] + leave * across, start[1] + leave * down) if leave < 1 else end
    return _held(first, box), _held(last, box)


def _held(point: Point, box: Box) -> Point:
    x, y = point
    return min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)


def area(points: Sequence[Point], box: Box) -> list[Point]:
    """Return what of an area lies inside a box, as Sutherland and Hodgman (1974) cut it."""
    edges = (
        (0, box.left, 1.0),
        (0, box.right, -1.0),
        (1, box.top, 1.0),
        (1, box.bottom, -1.0),
    )
    corners = list(points)
    for axis, limit, sign in edges:
        kept: list[Point] = []
        for start, end in zip([*corners[-1:], *corners[:-1]], corners, strict=True):
            before, after = sign * (start[axis] - limit), sign * (end[axis] - limit)
            if (before < 0) != (after < 0):
                share = before / (before - after)
                kept.append(
                    (
                        start[0] + share * (end[0] - start[0]),
                        start[1] + share * (end[1] - start[1]),
                    )
                )
            if after >= 0:
                kept.append(end)
        corners = kept
    return [_held(corner, box) for corner in corners]


def simplified(points: Sequence[Point], tolerance: float) -> list[Point]:
    """Return fewer points, between which the line passes none by more than about a tolerance.

    From each point that is kept, the line goes on for as long as one direction serves all that it
    passes.
    """
    kept = [points[0]]
    anchor = previous = points[0]
    reach = 0.0  # how far the line has come from its anchor
    middle = spread = 0.0  # directions that still serve, about the middle one
    for point in points[1:]:
        across, down = point[0] - anchor[0], point[1] - anchor[1]
        distance = math.hypot(across, down)
        if distance <= tolerance and not reach:
            continue
        if reach:
            away = _turn(across, down, middle)
            if distance < reach or abs(away) > spread:
                kept.append(previous)
                anchor, reach = previous, 0.0
                across, down = point[0] - anchor[0], point[1] - anchor[1]
                distance = math.hypot(across, down)
        previous = point
        if distance <= tolerance:
            continue
        own = math.asin(min(1.0, tolerance / distance))
        if reach:
            low, high = max(-spread, away - own), min(spread, away + own)
            middle, spread = middle + (low + high) / 2, (high - low) / 2
        else:
            middle, spread = math.atan2(down, across), own
        reach = distance
    if points[-1] != kept[-1]:
        kept.append(points[-1])
    return kept


def _turn(across: float, down: float, direction: float) -> float:
    """Return by how much a way turns from a direction, radians from -pi to pi."""
    return math.remainder(math.atan2(down, across) - direction, math.tau)
