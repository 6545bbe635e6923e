"""The test metric of each row, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench import tables
from bench.figures.choice import best_panels, left_out, styles_of, with_curves
from bench.figures.looks import FAINT, LINE, STRIPE, shortened, stacked, style, wrapped, write_notes
from bench.rows import METRIC_NAMES, percent
from bench.series import Method, Panel, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RANKED = 30
"""Rows of a ranking that are drawn in a panel."""


def draw_ranking(sheet: Sheet) -> Figure:
    """Draw the test metric of each row with its interval, in rank order, ties on one stripe."""
    from matplotlib.ticker import PercentFormatter

    panels = best_panels(sheet.panels)
    drawn = [panel.methods[:MOST_RANKED] for panel in panels]
    styles = styles_of(sheet, [method for panel in panels for method in with_curves(panel)])
    width = 10.0
    several = len(panels) > 1
    notes = wrapped(_notes(sheet, panels, drawn), width, 8.0)
    title = wrapped([sheet.title], width, 11.0)
    room = 0.35 + (0.3 if several else 0.0)
    sizes = [room + 0.3 * len(methods) for methods in drawn]
    heights = [
        LINE * len(title) * 1.2 + sum(sizes) + 0.5,
        LINE * 0.85 * len(notes) + 0.1,
    ]
    with style():
        figure, (top, bottom) = stacked(width, heights, "\n".join(title))
        grid = top.subplots(
            len(panels), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": sizes}
        )[:, 0]
        for axes, panel, methods in zip(grid, panels, drawn, strict=True):
            _draw_rows(axes, methods, styles)
            if several:
                lines = wrapped([panel.title], width, 10.0)
                axes.set_title("\n".join(lines), loc="left")
        grid[-1].set_xlabel(f"test {METRIC_NAMES[panels[0].block.metric]}")
        grid[-1].xaxis.set_major_formatter(PercentFormatter(1.0))
        write_notes(bottom, notes)
    return figure


def _draw_rows(axes: Axes, methods: Sequence[Method], styles: dict[str, tuple[str, str]]) -> None:
    for place, method in enumerate(methods):
        score = method.row.score
        assert score is not None
        color, marker = styles.get(method.label, (FAINT, "o"))
        axes.errorbar(
            [score.mean],
            [place],
            xerr=[[score.mean - score.low], [score.high - score.mean]],
            color=color,
            marker=marker,
            markersize=6.5,
            capsize=3,
            elinewidth=1.4,
        )
        seeds = "1 seed" if method.row.seeds == 1 else f"{method.row.seeds} seeds"
        axes.text(
            1.01,
            place,
            f"{percent(score)}, {seeds}",
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
        )
        if (method.row.tie_group or 0) % 2:
            axes.axhspan(place - 0.5, place + 0.5, color=STRIPE, zorder=0, linewidth=0)
    axes.set_yticks(
        range(len(methods)), [f"{shortened(each.label)}   {each.row.rank}" for each in methods]
    )
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _notes(sheet: Sheet, panels: Sequence[Panel], drawn: Sequence[Sequence[Method]]) -> list[str]:
    """Return what a reader must know of the ranking."""
    notes = list(dict.fromkeys(tables.footnote(panel.block) for panel in panels))
    counts = sorted({method.row.n for methods in drawn for method in methods})
    images = " or ".join(f"{count:,}" for count in counts)
    notes.append(
        f"{images} test images. The number before a row is its rank; rows of one rank, on one "
        "stripe, cannot be told apart."
    )
    if len(panels) > 1:
        notes[-1] += " Ranks hold within a block only."
    return notes + left_out(sheet, panels, [panel.methods for panel in panels], drawn)
