"""Where an axis is marked, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.charts.marks import Axis, Unit
from bench.charts.scales import Span

Tick = tuple[float, str]
"""A value, and what is written there."""
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SECOND, _MINUTE, _HOUR, _DAY = 1.0, 60.0, 3600.0, 86_400.0
_MOMENTS = (
    *(10.0**power for power in range(-9, 1)),
    *(10.0, _MINUTE, 10 * _MINUTE, _HOUR, 10 * _HOUR),
    *(_DAY * 10.0**power for power in range(6)),
)
"""Where a logarithmic axis of time is marked: people do not say 100 s."""
_MORE_MOMENTS = (
    *(factor * 10.0**power for power in range(-9, 0) for factor in (1, 2, 5)),
    *(unit * factor for unit in (_SECOND, _MINUTE) for factor in (1, 2, 5, 10, 20)),
    *(_HOUR * factor for factor in (1, 2, 5, 10)),
    *(_DAY * factor * 10.0**power for power in range(6) for factor in (1, 2, 5)),
)
_TIME_STEPS = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10_800,
    21_600,
    43_200,
)


def ticks_of(axis: Axis, span: Span, most: int) -> list[Tick]:
    """Return the marks of an axis of numbers, at most about `most` and at least one, ascending."""
    most = max(2, most)
    if span.log:
        values = _logarithmic(span, most, time=axis.unit is Unit.SECONDS)
        if len(values) >= 2:
            return [(value, written(value, axis.unit)) for value in values]
    step = _step((span.high - span.low) / most, axis.unit)
    first = math.ceil(span.low / step - 1e-9)
    last = math.floor(span.high / step + 1e-9)
    values = [place * step for place in range(first, min(last, first + 2 * most) + 1)]
    # A logarithmic axis has no place for 0, which a step may find beside a tiny low end.
    values = [each for each in values if each > 0 or not span.log] or [(span.low + span.high) / 2]
    return [(value, written(value, axis.unit, step)) for value in values]


def _step(least: float, unit: Unit) -> float:
    """Return the round step that is not smaller than the least."""
    if unit is Unit.SECONDS and 1 <= least <= _TIME_STEPS[-1]:
        return float(next(step for step in _TIME_STEPS if step >= least))
    if unit is Unit.COUNT and least <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    factors = (1, 2, 5, 10) if unit is Unit.COUNT and power < 10 else (1, 2, 2.5, 5, 10)
    return power * next(factor for factor in factors if factor * power >= least * (1 - 1e-9))


def _logarithmic(span: Span, most: int, *, time: bool) -> list[float]:
    if time and span.low >= _MOMENTS[0] and span.high <= _MOMENTS[-1]:
        few, more = _inside(_MOMENTS, span), _inside(_MORE_MOMENTS, span)
        if len(few) >= 3 or len(more) >= 2:
            return more if len(few) < 3 and len(more) <= most else _thinned(few or more, most)
    lowest = math.floor(math.log10(span.low))
    highest = math.ceil(math.log10(span.high))
    decades = range(max(lowest, -307), min(highest, 307) + 1)
    found: list[float] = []
    for factors in ((1,), (1, 3), (1, 2, 5)):
        more = _inside([factor * 10.0**power for power in decades for factor in factors], span)
        if len(more) > most and found:
            break
        found = more
        if len(found) >= max(3, most // 2):
            break
    return _thinned(found, most)


def _inside(values: Sequence[float], span: Span) -> list[float]:
    low, high = span.low * (1 - 1e-9), span.high * (1 + 1e-9)
    return [value for value in values if low <= value <= high]


def _thinned(values: list[float], most: int) -> list[float]:
    return values[:: math.ceil(len(values) / most)] if values else values


def written(value: float, unit: Unit, step: float | None = None) -> str:
    """Return a number as an axis has it; with a step, as precise as its neighbours need."""
    if unit is Unit.SHARE:
        return f"{_plain(value * 100, step * 100 if step else None)}%"
    if unit is Unit.SECONDS:
        return _time(value, step)
    if unit is Unit.MILLISECONDS:
        return _time(value / 1000, step / 1000 if step else None)
    return _plain(value, step)


def _plain(value: float, step: float | None) -> str:
    if abs(value) < (step or 0.0) * 1e-6:
        return "0"
    size = abs(value)
    if size >= 1e15 or (size < 1e-3 if step is None else step < 1e-5):
        return _powered(value, step)
    if size >= 10_000 or (size >= 1000 and step and step >= 500):
        limit, prefix = next(each for each in _PREFIXES if size >= each[0])
        return f"{_decimal(value / limit, step / limit if step else None)}{prefix}"
    return _decimal(value, step)


def _decimal(value: float, step: float | None) -> str:
    if step is None:
        return f"{value:.4g}"
    digits = max(0, math.ceil(-math.log10(step) - 1e-9))
    if abs(step * 10**digits - round(step * 10**digits)) > 1e-6:  # steps of 2.5
        digits += 1
    text = f"{value:.{min(digits, 9)}f}"
    return text.replace("-0", "0", 1) if not text.strip("-0.") else text


def _powered(value: float, step: float | None = None) -> str:
    digits = 1
    if step is not None:
        digits = math.floor(math.log10(abs(value))) - math.floor(math.log10(step)) + 1
    number, power = f"{value:.{min(max(digits, 1), 12)}e}".split("e")
    return f"{number.rstrip('0').removesuffix('.')}e{int(power)}"


def _time(seconds: float, step: float | None) -> str:
    """Return a time in the one unit that suits it, without those that follow."""
    if abs(seconds) < (step or 0.0) * 1e-6 or seconds == 0:
        return "0"
    size = abs(seconds)
    units = ((86_400.0, "d", 2.0), (3600.0, "h", 1.0), (60.0, "min", 1.0), (1.0, "s", 1.0))
    for unit, name, least in units:
        if size >= unit * least * (1 - 1e-9):
            return f"{seconds / unit:.3g} {name}"
    if size * 1000 < 1e-3:
        return f"{_powered(seconds * 1000)} ms"
    return f"{seconds * 1000:.3g} ms"
