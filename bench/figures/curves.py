"""Loss and metric over epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench import series
from bench.charts.scales import has_peaks
from bench.figures.choice import best_panels, left_out, styles_of, with_curves
from bench.figures.looks import (
    FAINT,
    LINE,
    draw_legend,
    label_logarithm,
    legend_rows,
    shortened,
    stacked,
    style,
    wrapped,
    write_notes,
)
from bench.series import Method, Panel, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def draw_curves(sheet: Sheet) -> Figure:
    """Draw loss and metric over epochs, a line for each of the best rows.

    Of several seeds the line is their mean, as far as all of them have come, and the band reaches
    from the smallest to the largest; a seed that trained on has a thin line of its own. Panels side
    by side share their axes.
    """
    panels = best_panels(sheet.panels)
    styles = styles_of(sheet, [method for panel in panels for method in with_curves(panel)])
    drawn = [[each for each in with_curves(p) if each.label in styles] for p in panels]
    labels = [label for label in styles if any(m.label == label for ms in drawn for m in ms)]
    beside = len(panels) > 1
    width = max(10.0, 4.0 * len(panels))
    label_lines = legend_rows([*map(shortened, labels)], width)
    notes = wrapped(_notes(sheet, panels, drawn), width, 8.0)
    title = wrapped([sheet.title], width, 11.0)
    heights = [
        LINE * len(title) * 1.2 + (6.0 if beside else 3.7),
        LINE * (label_lines + 1) + 0.2,
        LINE * 0.85 * len(notes) + 0.1,
    ]
    with style():
        figure, (top, middle, bottom) = stacked(width, heights, "\n".join(title))
        if beside:
            grid = top.subplots(2, len(panels), squeeze=False, sharex=True, sharey="row")
            pairs = [*zip(*grid, strict=True)]
        else:
            pairs = [top.subplots(1, 2)]
        logarithmic = has_peaks(_losses(drawn))
        for pair, panel, methods in zip(pairs, panels, drawn, strict=True):
            _draw_panel(pair, panel, methods, styles, logarithmic=logarithmic)
            pair[0].set_title("\n".join(wrapped([panel.title], width / len(panels), 10.0)))
            for axes in pair if beside else ():
                axes.label_outer()
        _draw_legends(middle, labels, styles, _keys(drawn), label_lines)
        write_notes(bottom, notes)
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
        "train": Line2D([], [], color=FAINT, linestyle="--", linewidth=1.2),
        "val": Line2D([], [], color=FAINT),
        "kept": Line2D([], [], color=FAINT, linestyle="", marker="o", markersize=5.5),
        "band": Patch(color=FAINT, alpha=0.25, linewidth=0),
        "rest": Line2D([], [], color=FAINT, linewidth=0.6),
    }
    legends: tuple[tuple[str, int, list[Any], list[str]], ...] = (
        ("upper center", math.ceil(len(labels) / rows), handles, [*map(shortened, labels)]),
        ("lower center", len(keys), [drawn[key] for key, _ in keys], [text for _, text in keys]),
    )
    for place, columns, shown, texts in legends:
        draw_legend(figure, shown, texts, place, columns)


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
        "Train is measured during the epoch, in training mode, on images as they were trained on; "
        "val after it."
    ]
    if not all(panel.same_loss for panel in panels):
        notes[0] += " Train loss is not the log loss here: do not compare it with val loss."
    return notes + left_out(sheet, panels, [with_curves(panel) for panel in panels], drawn)


def _points(epochs: Sequence[Any], field: str | None) -> dict[int, float]:
    """Return epoch -> value, where there is one."""
    values = {each.epoch: getattr(each, field) for each in epochs if field}
    return {epoch: value for epoch, value in values.items() if value is not None}


def _losses(drawn: Sequence[Sequence[Method]]) -> Iterator[float]:
    for method in (method for methods in drawn for method in methods):
        for each in (each for trace in method.traces for each in trace.epochs):
            yield each.train_loss
            yield each.val_loss


def _scale_by_logarithm(axes: Axes) -> None:
    axes.set_yscale("log")
    label_logarithm(axes.yaxis, (1.0, 3.0))
    axes.set_ylabel("loss (logarithmic)")
