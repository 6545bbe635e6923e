"""How long rows of a block trained until they reached what its best row came close to.

The target is 95 % of the highest val score that any of the rows has at the epoch it kept, mean over
seeds. A target has to be within reach of the best row, whatever the dataset, and must not hang on
the last noisy digits of a curve: so the data set it, a twentieth below the best.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from bench import curves, series, stats
from bench.charts import Axis, Chart, Line, Mark, Rule, Unit
from bench.charts.scales import ranges_widely
from bench.curves import Curve
from bench.report.choice import Section, Shown
from bench.report.content import Column, Table, Value
from bench.report.learning import MOST_POINTS, Traces, panel_of
from bench.series import Method, Panel
from bench.text import duration

SHARE = 0.95
"""Of the best val score, what is to be reached."""

_COLUMNS = (
    Column("method", "method"),
    Column("reached", "seeds that reached it", True),
    Column("epochs", "epochs", True),
    Column("steps", "steps", True),
    Column("seconds", "train time", True),
)
_SHARED = Value("–", hover="its runs shared their device: not to be compared")
_OLDER = Value("–", hover="its curves are of an earlier version, which counted none")


def reached(
    section: Section, rows: Sequence[Shown], traces: Traces
) -> tuple[Table | None, Chart | None]:
    """Return a table of the times to a target, and val over the time of training.

    Args:
        section: the block.
        rows: with their records.
        traces: their curves.
    """
    panel = panel_of(section, rows, traces)
    name, _, field = series.measured(panel)
    kind = Curve.SCORE if field == "val_score" else Curve.ACCURACY
    ends = [end for method in panel.methods if (end := _end(method, kind)) is not None]
    if not ends or max(ends) <= 0:
        return None, None
    target = SHARE * max(ends)
    table = Table(
        f"Time to a val {name} of {target:.1%}",
        _COLUMNS,
        tuple(_row(method, kind, target) for method in panel.methods),
        _note(panel, name),
    )
    return table, _chart(section, panel, name, kind, target)


def _end(method: Method, kind: Curve) -> float | None:
    """Return the mean over seeds of val at the epoch kept; None where it is unknown."""
    values = []
    for trace in method.traces:
        kept = next((e for e in trace.epochs if e.epoch == trace.best_epoch), trace.epochs[-1])
        value = kind.of(kept)
        if value is None or not math.isfinite(value):
            return None
        values.append(value)
    return statistics.fmean(values)


def _row(method: Method, kind: Curve, target: float) -> tuple[Value, ...]:
    found = [curves.time_to_target(trace.epochs, kind, target) for trace in method.traces]
    # To leave out seeds that failed would favour what fails often.
    found += [None] * method.row.failures
    over = [each for each in found if each is not None]
    epochs = [None if each is None else float(each.epoch) for each in found]
    steps = [None if each is None or each.steps is None else float(each.steps) for each in found]
    seconds = [None if each is None else each.seconds for each in found]
    return (
        Value(method.label, method.label),
        Value(f"{len(over)} of {len(found)}", len(over) / len(found)),
        _middle(epochs, "{:g}".format),
        _OLDER if any(each.steps is None for each in over) else _middle(steps, "{:,.0f}".format),
        _SHARED if method.row.shared else _middle(seconds, duration),
    )


def _middle(times: Sequence[float | None], said: Callable[[float], str]) -> Value:
    """Return the median over seeds, with what is known of it; those that never came count."""
    found = stats.reaching(times)

    def spoken(time: float) -> str:
        return said(time) if math.isfinite(time) else "never"

    if not found.reached:
        return Value("never")
    text = spoken(found.median)
    if found.runs == 1:
        return Value(text, found.median)
    low, high = spoken(found.low), spoken(found.high)
    text += f" ({low} to {high})" if low != high else ""
    hover = (
        f"the median of {found.runs} seeds; from {low} to {high} it lies with a probability of "
        f"{found.level:.0%} or more"
    )
    return Value(text, found.median if math.isfinite(found.median) else None, hover)


def _note(panel: Panel, name: str) -> str:
    best = f"{SHARE:.0%} of the val {name} that the best of these rows has at the epoch it kept"
    text = f"The target is {best}. Train time is that of the training steps alone."
    if any(len(method.traces) + method.row.failures > 1 for method in panel.methods):
        text += " Medians over seeds; one that failed or never reached it counts as the slowest."
    return text


def _chart(section: Section, panel: Panel, name: str, kind: Curve, target: float) -> Chart | None:
    """Return val over the time of training, mean over seeds; None where no time says anything."""
    marks: list[Mark] = []
    for place, method in enumerate(panel.methods):
        points = _over_time(method, kind)
        if method.row.shared or not points:
            continue
        x, y = zip(*points, strict=True)
        hover = f"{method.label}: val {name} {y[-1]:.1%} after {duration(x[-1])}"
        marks.append(Line(tuple(x), tuple(y), place, hover))
    if not marks:
        return None
    lines = [mark for mark in marks if isinstance(mark, Line)]
    ends = [line.x[-1] for line in lines]
    left_out = len(panel.methods) - len(lines)
    shared = f" Left out: {left_out} whose runs shared their device." if left_out else ""
    return Chart(
        f"{section.id}-over-time",
        f"Val {name} over train time",
        Axis("train time", Unit.SECONDS, log=ranges_widely(ends)),
        Axis(f"val {name}", Unit.SHARE),
        (*marks, Rule(y=target, label=f"target {target:.1%}")),
        tuple(method.label for method in panel.methods),
        f"Means of seeds over the time of their training steps.{shared}",
    )


def _over_time(method: Method, kind: Curve) -> list[tuple[float, float]]:
    """Return the mean seconds and the mean val of the epochs that all seeds have come to."""
    length = min(len(trace.epochs) for trace in method.traces)
    spent = [0.0] * len(method.traces)
    points = []
    for place in range(length):
        epochs = [trace.epochs[place] for trace in method.traces]
        spent = [before + epoch.seconds for before, epoch in zip(spent, epochs, strict=True)]
        values = [value for epoch in epochs if (value := kind.of(epoch)) is not None]
        if len(values) == len(epochs) and all(map(math.isfinite, [*values, *spent])):
            points.append((statistics.fmean(spent), statistics.fmean(values)))
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return [*points[::step], *(points[-1:] if (len(points) - 1) % step else [])]
