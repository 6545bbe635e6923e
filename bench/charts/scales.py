"""From values to places along an axis: what an axis spans, so that all marks find room."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.charts.marks import Axis, Band, Cell, Chart, Dot, Line, Mark, Rule, Unit

_FARTHEST = 1e300
"""Beyond it differences overflow; nothing that is measured comes near."""
_X_ROOM, _Y_ROOM = 0.03, 0.06
"""Shares of an axis that stay free at its ends."""
_LOG_RATIO = 20.0
"""From this ratio on, what is drawn wants a logarithmic axis."""


@dataclass(frozen=True)
class Span:
    """What an axis reaches over; `low` is less than `high`, and above 0 where it is logarithmic."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float | None:
        """Return where a value lies, 0 at the low end to 1 at the high one, or beyond.

        None for what has no place: NaN, infinite, or not above 0 on a logarithmic axis.
        """
        if not drawable(value) or (self.log and value <= 0):
            return None
        if self.log:
            low = math.log(self.low)
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)


def ranges_widely(values: Iterable[float]) -> bool:
    """Return whether values, as costs, are better drawn on a logarithmic axis.

    All are above 0, and the largest is many times the least. Infinite ones and NaN have no say.
    """
    known = [value for value in values if drawable(value)]
    return bool(known) and min(known) > 0 and max(known) > _LOG_RATIO * min(known)


def has_peaks(values: Iterable[float]) -> bool:
    """Return whether values over time, as losses, are better drawn on a logarithmic axis.

    All are above 0, and the largest is many times the median: a loss that ends near 0 is small for
    long and needs none. Infinite ones and NaN have no say.
    """
    known = sorted(value for value in values if drawable(value))
    return bool(known) and known[0] > 0 and known[-1] > _LOG_RATIO * known[len(known) // 2]


def drawable(value: float) -> bool:
    """Return whether a value is a number that pictures can show."""
    return -_FARTHEST < value < _FARTHEST  # not so for NaN


def spans_of(chart: Chart) -> tuple[Span, Span]:
    """Return what both axes of a chart span; some place for all its marks, even if it has none."""
    x, y = _values(chart)
    return _span(chart.x, x, _X_ROOM), _span(chart.y, y, _Y_ROOM)


def _values(chart: Chart) -> tuple[list[float], list[float]]:
    xs: list[float] = []
    ys: list[float] = []
    for mark in chart.marks:
        for x, y in _corners(mark):
            if _fits(x, chart.x) and _fits(y, chart.y):
                xs += [x] if x is not None else []
                ys += [y] if y is not None else []
    return xs, ys


def _fits(value: float | None, axis: Axis) -> bool:
    return value is None or (drawable(value) and not (axis.log and value <= 0))


def _corners(mark: Mark) -> Iterator[tuple[float | None, float | None]]:
    match mark:
        case Line():
            yield from zip(mark.x, mark.y, strict=False)
        case Band():
            yield from zip(mark.x, mark.low, strict=False)
            yield from zip(mark.x, mark.high, strict=False)
        case Dot():
            yield mark.x, mark.y
            for x in (mark.x_low, mark.x_high):
                if x is not None:
                    yield x, mark.y
            for y in (mark.y_low, mark.y_high):
                if y is not None:
                    yield mark.x, y
        case Cell():
            yield mark.x - 0.5, mark.y - 0.5
            yield mark.x + 0.5, mark.y + 0.5
        case Rule():
            if mark.x is not None or mark.y is not None:
                yield mark.x, mark.y


def _span(axis: Axis, values: Iterable[float], room: float) -> Span:
    if axis.categories:
        return Span(-0.5, len(axis.categories) - 0.5)
    found = sorted(values)
    given_low, given_high = _given(axis.low, axis), _given(axis.high, axis)
    if given_low is not None and given_high is not None and given_low > given_high:
        given_low, given_high = given_high, given_low
    ends = [each for each in (given_low, given_high) if each is not None]
    low, high = (found[0], found[-1]) if found else (min(ends, default=0), max(ends, default=0))
    low = given_low if given_low is not None else low
    high = given_high if given_high is not None else high
    if axis.log:
        return _logarithmic(low, high, room, given_low is not None, given_high is not None)
    low, high = min(low, high), max(low, high)
    least, most = low, high
    size = max(abs(low), abs(high))
    if high - low <= max(size * 1e-9, 1e-100):
        whole = axis.unit is Unit.COUNT and size < 1e9
        wider = 0.5 if whole or size < 1e-100 else size * 0.05
        low, high = low - wider, high + wider
    else:
        spare = room * (high - low)
        low -= 0.0 if given_low is not None else spare
        high += 0.0 if given_high is not None else spare
    if axis.unit is not Unit.PLAIN and least >= 0:  # none of these is ever negative
        low = max(low, 0.0)
    if axis.unit is Unit.SHARE and most <= 1 and low < 1:
        high = min(high, 1.0)
    return Span(low, high)


def _given(value: float | None, axis: Axis) -> float | None:
    return value if value is not None and _fits(value, axis) else None


def _logarithmic(low: float, high: float, room: float, fixed_low: bool, fixed_high: bool) -> Span:
    if low <= 0 or high <= 0:  # nothing was found
        low = high = 1.0
    low, high = max(min(low, high), 1e-290), max(low, high, 1e-290)
    if high <= low * (1 + 1e-9):
        return Span(low / 2, high * 2, log=True)
    factor = (high / low) ** room if high / low < _FARTHEST else 1.0
    return Span(low if fixed_low else low / factor, high if fixed_high else high * factor, log=True)
