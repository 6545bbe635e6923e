"""The critical-difference diagram of Demšar (2006): mean ranks over datasets on one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures.looks import FAINT, INK, shortened, stacked, style, wrapped, write_notes
from bench.rows import METRIC_NAMES
from bench.standings import Standings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_METHODS = 24
"""Names that find room beside the line."""
_STEP, _CLIQUE = 0.3, 0.13  # inches from name to name, and from clique to clique


def draw_standings(standings: Standings) -> Figure:
    """Draw the mean ranks of methods, the best on the left, those not told apart on one bar."""
    methods = standings.methods[:MOST_METHODS]
    cliques = [clique for clique in standings.standing.cliques if clique[0] < len(methods)]
    left = (len(methods) + 1) // 2
    width, depth = 10.0, _CLIQUE * len(cliques) + _STEP * left + 0.25
    notes = wrapped(_notes(standings, len(methods)), width, 8.0)
    title = f"mean ranks over {len(standings.datasets)} datasets"
    with style():
        figure, (top, bottom) = stacked(width, [depth + 1.0, 0.17 * len(notes) + 0.1], title)
        axes = top.subplots()
        _draw_scale(axes, standings, depth)
        ranks = standings.standing.ranks
        for level, clique in enumerate(cliques, 1):
            ends = [ranks[clique[0]] - 0.03, ranks[min(clique[-1], len(methods) - 1)] + 0.03]
            axes.plot(ends, [-_CLIQUE * level] * 2, color=INK, linewidth=3.5)
        low, high = axes.get_xlim()
        for place, name in enumerate(methods):
            on_left = place < left
            line = place if on_left else len(methods) - 1 - place
            y = -_CLIQUE * len(cliques) - _STEP * (line + 1)
            end = low if on_left else high
            axes.plot([ranks[place], ranks[place], end], [0, y, y], color=FAINT, linewidth=0.9)
            text = f"{shortened(name)}  {ranks[place]:.2f}"
            side = "right" if on_left else "left"
            axes.text(end, y, f" {text} ", horizontalalignment=side, verticalalignment="center")
        write_notes(bottom, notes)
    return figure


def _draw_scale(axes: Axes, standings: Standings, depth: float) -> None:
    """Draw the line of ranks, and above it how long the critical difference is."""
    worst = max(2, round(float(standings.standing.ranks.max()) + 0.499))
    axes.set_xlim(0.9, worst + 0.1)
    axes.set_ylim(-depth, 0.75)
    axes.set_axis_off()
    axes.plot([1, worst], [0, 0], color=INK, linewidth=1.2)
    for rank in range(1, worst + 1):
        axes.plot([rank, rank], [0, 0.07], color=INK, linewidth=1.2)
        axes.text(rank, 0.12, str(rank), horizontalalignment="center", verticalalignment="bottom")
    critical = min(standings.standing.critical, worst - 1)
    axes.plot([1, 1 + critical], [0.5, 0.5], color=INK, linewidth=1.2)
    for end in (1, 1 + critical):
        axes.plot([end, end], [0.46, 0.54], color=INK, linewidth=1.2)
    said = f"critical difference {standings.standing.critical:.2f}"
    axes.text(1, 0.58, said, horizontalalignment="left", verticalalignment="bottom")


def _notes(standings: Standings, drawn: int) -> list[str]:
    notes = [
        f"Ranks by test {METRIC_NAMES[standings.metric]} on {', '.join(standings.datasets)}, 1 the "
        "best. Methods on one bar cannot be told apart (Nemenyi at 5 %); that all are alike, "
        f"Friedman: p {standings.standing.p:.2g}."
    ]
    if drawn < len(standings.methods):
        notes.append(f"The best {drawn} of {len(standings.methods)} methods are drawn.")
    if standings.left_out:
        notes.append(f"{standings.left_out} without a score on each dataset are left out.")
    return notes
