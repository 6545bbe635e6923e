"""What trials of several studies scored against the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.figures.choice import COLORS, MARKERS, MOST_PANELS
from bench.figures.looks import (
    FAINT,
    LINE,
    draw_legend,
    label_logarithm,
    legend_rows,
    log_marks,
    shortened,
    stacked,
    style,
    wrapped,
    write_notes,
)
from bench.rate_series import RatePanel, RateSheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_rates(sheet: RateSheet) -> Figure:
    """Draw what trials scored against the learning rate, one colour an optimizer."""
    from matplotlib.lines import Line2D

    panels = sheet.panels[:MOST_PANELS]
    names = sheet.optimizers[: len(COLORS)]
    looks = dict(zip(names, zip(COLORS, MARKERS, strict=True), strict=False))
    width = max(9.0, 4.2 * len(panels))
    lines = wrapped([" ".join(_rate_notes(sheet, panels, looks))], width, 8.0)
    title = wrapped([sheet.title], width, 11.0)
    rows = legend_rows([*map(shortened, names)], width)
    with style():
        heights = [
            LINE * len(title) * 1.2 + 4.0,
            LINE * rows + 0.15,
            LINE * 0.85 * len(lines) + 0.1,
        ]
        figure, (top, middle, bottom) = stacked(width, heights, "\n".join(title))
        grid = top.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
        for axes, panel in zip(grid, panels, strict=True):
            _draw_rate_panel(axes, panel, looks)
            axes.set_title("\n".join(wrapped([panel.title], width / len(panels), 10.0)))
            axes.set_ylabel(shortened(sheet.label))
            axes.label_outer()
        handles = [
            Line2D([], [], color=color, marker=marker, markersize=5.5, linestyle="")
            for color, marker in looks.values()
        ]
        columns = math.ceil(len(names) / rows)
        draw_legend(middle, handles, [*map(shortened, names)], "upper center", columns)
        write_notes(bottom, lines)
    return figure


def _draw_rate_panel(axes: Axes, panel: RatePanel, looks: dict[str, tuple[str, str]]) -> None:
    axes.set_xscale("log")
    for curve in panel.curves:
        if curve.optimizer not in looks:
            continue
        color, marker = looks[curve.optimizer]
        axes.plot(
            *zip(*curve.points, strict=True),
            linestyle="-" if curve.alone else "",
            linewidth=1.0,
            marker=marker,
            markersize=5.5,
            color=color,
            markeredgecolor="white",
            markeredgewidth=0.5,
        )
        if curve.default:
            ring: dict[str, Any] = {
                "markerfacecolor": "none",
                "markeredgecolor": color,
                "markersize": 12,
            }
            axes.plot([curve.default[0]], [curve.default[1]], marker="o", linestyle="", **ring)
        foot = axes.get_xaxis_transform()
        height = 0.02 + 0.03 * [*looks].index(curve.optimizer)
        axes.plot(
            curve.failed,
            [height] * len(curve.failed),
            transform=foot,
            linestyle="",
            marker="x",
            color=color,
        )
    rates = [rate for curve in panel.curves for rate, _ in curve.points]
    label_logarithm(axes.xaxis, log_marks(min(rates), max(rates)))
    axes.set_xlabel("learning rate")
    best = max if panel.maximize else min
    values = [value for curve in panel.curves for _, value in curve.points]
    axes.axhline(best(values), color=FAINT, linestyle=":", linewidth=1.0)


def _rate_notes(
    sheet: RateSheet, panels: Sequence[RatePanel], looks: dict[str, tuple[str, str]]
) -> list[str]:
    curves = [curve for panel in panels for curve in panel.curves]
    notes = ["Complete trials."]
    if not all(curve.alone for curve in curves):
        notes = ["Complete trials; points without a line scatter since other params vary too."]
    if any(curve.default for curve in curves):
        notes.append("A ring is about the default learning rate.")
    if any(curve.failed for curve in curves):
        notes.append("Crosses at the foot: trials that failed.")
    notes.append("Dotted: the best of all.")
    fewer = [(len(sheet.optimizers) - len(looks), "optimizers")]
    fewer.append((len(sheet.panels) - len(panels), "models or protocols"))
    if any(count for count, _ in fewer):
        parts = ", ".join(f"{count} further {what}" for count, what in fewer if count)
        notes.append(f"Not drawn: {parts}.")
    return notes
