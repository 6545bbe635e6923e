"""How the rows of a block learned: curves over epochs, gaps, optimizers side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench import series
from bench.charts import Axis, Band, Chart, Dot, Line, Mark, Rule, Unit
from bench.charts.scales import has_peaks
from bench.records import EpochMetrics
from bench.report.choice import MOST_SERIES, Section, Shown
from bench.series import Method, Panel, Trace
from bench.store import Store
from bench.text import one_line

MOST_POINTS = 40
"""Epochs of a curve that are drawn, evenly spaced; of more a page would grow and show no more."""
MOST_BANDS = 3
"""Rows whose train curves have bands as well; of more there would be nothing but bands."""

Traces = Mapping[str, tuple[Trace, ...]]
"""The curves of rows, by the id of the row."""
Reading = Callable[[EpochMetrics], float | None]
"""A value of an epoch."""


def read(rows: Sequence[Shown], store: Store) -> dict[str, tuple[Trace, ...]]:
    """Return the curves of rows that have their records, each read once."""
    once = {shown.id: shown for shown in rows}
    return {name: series.traces_of(shown.row, store) for name, shown in once.items()}


def panel_of(section: Section, rows: Sequence[Shown], traces: Traces) -> Panel:
    """Return some rows of a block with their curves; those that have none are left out."""
    methods = [Method(each.label, each.row, traces[each.id]) for each in rows if traces[each.id]]
    return series.panel_of(section.block, methods)


def charts(
    section: Section, rows: Sequence[Shown], beside: Sequence[Sequence[Shown]], traces: Traces
) -> tuple[Chart, ...]:
    """Return the curves of some rows of a block.

    Args:
        section: the block.
        rows: those whose curves are drawn together, with their records.
        beside: for each model whose optimizers are compared, its rows, with their records.
        traces: the curves of all of them.
    """
    panel = panel_of(section, rows, traces)
    if not panel.methods:
        return ()
    found = [_loss(section, panel), _metric(section, panel)]
    gap = _gap(section, panel)
    found += [gap] if gap is not None else []
    # An optimizer has one colour in all charts, if there are enough of them.
    names = [*dict.fromkeys(_optimizer(shown) for group in beside for shown in group)]
    for number, group in enumerate(beside):
        chart = _beside(section, group, traces, number, names)
        found += [chart] if chart is not None else []
    return tuple(found)


def over_seeds(traces: Sequence[Trace], of: Reading) -> list[tuple[int, list[float]]]:
    """Return the values of all seeds at each epoch that all have come to, thinned.

    An epoch at which a seed's value is no number is left out.
    """
    runs = [{epoch.epoch: of(epoch) for epoch in trace.epochs} for trace in traces]
    common = sorted(set.intersection(*({*run} for run in runs))) if runs else []
    if len(common) > MOST_POINTS:
        last = len(common) - 1
        places = {round(each * last / (MOST_POINTS - 1)) for each in range(MOST_POINTS)}
        common = [common[place] for place in sorted(places)]
    result = []
    for epoch in common:
        values = [value for run in runs if (value := run[epoch]) is not None]
        if len(values) == len(runs) and all(map(math.isfinite, values)):
            result.append((epoch, values))
    return result


def curve(
    traces: Sequence[Trace],
    of: Reading,
    number: int,
    hover: str,
    *,
    train: bool = False,
    banded: bool = True,
) -> Iterator[Mark]:
    """Yield a line through the means of seeds, and a band from the smallest to the largest.

    Args:
        traces: of a row.
        of: the value that is drawn.
        number: of its series.
        hover: what pointing at the line says.
        train: whether it is of train, and so dashed.
        banded: whether there is a band.
    """
    points = over_seeds(traces, of)
    if not points:
        return
    x = tuple(float(epoch) for epoch, _ in points)
    if banded and len(traces) > 1 and len(points) > 1:
        low = tuple(min(values) for _, values in points)
        yield Band(x, low, tuple(max(values) for _, values in points), number)
    means = tuple(statistics.fmean(values) for _, values in points)
    if len(points) == 1:
        yield Dot(x[0], means[0], number, hover=hover, hollow=train)
    else:
        yield Line(x, means, number, hover, dashed=train, thin=train)


def _reading(field: str) -> Reading:
    def of(epoch: EpochMetrics) -> float | None:
        value: float | None = getattr(epoch, field)
        return value

    return of


def _curves(panel: Panel, name: str, train: str | None, val: str, unit: Unit) -> tuple[Mark, ...]:
    """Return the marks of a chart of all rows: train dashed, val solid, the epochs kept."""
    marks: list[Mark] = []
    for number, method in enumerate(panel.methods):
        if train is not None:
            hover = f"{method.label}: train {name}"
            few = len(panel.methods) <= MOST_BANDS
            marks += curve(method.traces, _reading(train), number, hover, train=True, banded=few)
        hover = f"{method.label}: val {name}{_seeds(method)}"
        marks += curve(method.traces, _reading(val), number, hover)
        for trace in method.traces:
            kept = [epoch for epoch in trace.epochs if epoch.epoch == trace.best_epoch]
            for epoch in kept:
                value = _reading(val)(epoch)
                if value is not None and math.isfinite(value):
                    said = f"{value:.1%}" if unit is Unit.SHARE else f"{value:.3f}"
                    text = f"{method.label}, seed {trace.seed}: epoch {epoch.epoch} was kept, "
                    marks.append(Dot(epoch.epoch, value, number, hover=f"{text}val {name} {said}"))
    return tuple(marks)


def _seeds(method: Method) -> str:
    return f", mean of {len(method.traces)} seeds" if len(method.traces) > 1 else ""


def _loss(section: Section, panel: Panel) -> Chart:
    marks = _curves(panel, "loss", "train_loss", "val_loss", Unit.PLAIN)
    values = [
        value
        for mark in marks
        if isinstance(mark, Line | Dot)
        for value in (mark.y if isinstance(mark, Line) else (mark.y,))
    ]
    note = "" if panel.same_loss else " Train loss is not the log loss here: compare it with none."
    return Chart(
        f"{section.id}-loss",
        "Loss over epochs",
        Axis("epoch", Unit.COUNT),
        Axis("loss", log=has_peaks(values)),
        marks,
        _names(panel),
        _note(panel) + note,
    )


def _metric(section: Section, panel: Panel) -> Chart:
    name, train, val = series.measured(panel)
    return Chart(
        f"{section.id}-learning",
        f"{name[0].upper()}{name[1:]} over epochs" if name != "mAP" else "mAP over epochs",
        Axis("epoch", Unit.COUNT),
        Axis(name, Unit.SHARE),
        _curves(panel, name, train, val, Unit.SHARE),
        _names(panel),
        _note(panel, train is not None),
    )


def _gap(section: Section, panel: Panel) -> Chart | None:
    """Return how far train is ahead of val; None where the two cannot be compared."""
    name, train, val = series.measured(panel)
    if train is None and not panel.same_loss:
        return None
    ahead, behind = (train, val) if train is not None else ("val_loss", "train_loss")
    label = f"train less val {name}" if train is not None else "val less train loss"

    def of(epoch: EpochMetrics) -> float | None:
        first, second = _reading(ahead)(epoch), _reading(behind)(epoch)
        return None if first is None or second is None else first - second

    marks: list[Mark] = [Rule(y=0.0)]
    for number, method in enumerate(panel.methods):
        hover = f"{method.label}: {label}{_seeds(method)}"
        marks += curve(method.traces, of, number, hover)
    return Chart(
        f"{section.id}-gap",
        "Overfitting gap over epochs",
        Axis("epoch", Unit.COUNT),
        Axis(label, Unit.SHARE if train is not None else Unit.PLAIN),
        tuple(marks),
        _names(panel),
        "Above 0, train is ahead of val. Train is measured in training mode, so that dropout and "
        "augmentation hold it back.",
    )


def _beside(
    section: Section,
    rows: Sequence[Shown],
    traces: Traces,
    number: int,
    names: Sequence[str],
) -> Chart | None:
    """Return the val curves of one model's optimizers; None of fewer than two."""
    methods = [Method(_optimizer(each), each.row, traces[each.id]) for each in rows]
    methods = [method for method in methods if method.traces]
    if len(methods) < 2:
        return None
    panel = series.panel_of(section.block, methods)
    shown = names if len(names) <= MOST_SERIES else _names(panel)
    name, _, val = series.measured(panel)
    marks: list[Mark] = []
    for method in methods:
        hover = f"{method.label}: val {name}{_seeds(method)}"
        marks += curve(method.traces, _reading(val), shown.index(method.label), hover)
    return Chart(
        f"{section.id}-optimizers-{number}",
        f"{one_line(rows[0].row.name, 60)}: optimizers side by side",
        Axis("epoch", Unit.COUNT),
        Axis(f"val {name}", Unit.SHARE),
        tuple(marks),
        tuple(shown),
        _means(panel),
    )


def _optimizer(shown: Shown) -> str:
    return one_line(shown.row.optimizer_name, 60)


def _names(panel: Panel) -> tuple[str, ...]:
    return tuple(method.label for method in panel.methods)


def _note(panel: Panel, has_train: bool = True) -> str:
    """Return what the kinds of lines mean, and what is left out."""
    dashes = "Solid: val; dashed: train, measured during the epoch in training mode."
    kinds = dashes if has_train else "Val after each epoch."
    fewer = sum(row.rank is not None for row in panel.block.rows) - len(panel.methods)
    more = f"{fewer:,} further row{'s' * (fewer > 1)} not drawn." if fewer > 0 else ""
    return " ".join(filter(None, [kinds, "Dots: the epochs kept.", _means(panel), more]))


def _means(panel: Panel) -> str:
    several = any(len(method.traces) > 1 for method in panel.methods)
    return "Lines: means of seeds; bands: from the smallest to the largest." if several else ""
