"""What trials scored by their params: parallel axes, and slices."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.figures.choice import COLORS
from bench.figures.looks import (
    FAINT,
    INK,
    LINE,
    draw_legend,
    drawable,
    label_logarithm,
    log_marks,
    stacked,
    style,
    wrapped,
    write_notes,
)
from bench.figures.tuning import STATES, VERMILLION, headline
from bench.report.study_charts import cut_note, value_range
from bench.studies import TrialRecord, TrialState
from bench.study_series import Axis, StudyView
from bench.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_AXES = 14
"""Params that have an axis among parallel ones; the most important."""
MOST_SLICES = 16
"""Params that have a slice."""
COLUMNS = 4
"""Slices beside each other."""
OFF = -0.2
"""Where the line of a trial passes an axis that does not apply to it; 0 to 1 is the axis."""
SLICED = (TrialState.COMPLETE, TrialState.PRUNED)
"""Trials that slices show."""
_MARK: dict[str, Any] = {"linestyle": "", "markeredgecolor": "white", "markeredgewidth": 0.7}


def draw_parallel(view: StudyView) -> Figure:
    """Draw each complete trial as a line through its params, coloured by what it scored."""
    axes_drawn = view.by_importance[:MOST_AXES]
    trials = _complete(view)
    low, high, cut = value_range(view, [TrialState.COMPLETE])
    width = min(20.0, max(8.0, 1.35 * (len(axes_drawn) + 1)))
    winners = {trial.number for trial in view.front}
    notes = _parallel_notes(view, axes_drawn, cut)
    lines = wrapped(notes, width, 8.0)
    title = wrapped([headline(view)], width, 11.0)
    with style():
        heights = [LINE * len(title) * 1.2 + 5.2, LINE * 0.85 * len(lines) + 0.1]
        figure, (top, bottom) = stacked(width, heights, "\n".join(title))
        axes = top.subplots()
        axes.set_axis_off()
        axes.set_xlim(-0.35, len(axes_drawn) + 0.55)
        axes.set_ylim(OFF - 0.1, 1.3)
        sign = 1 if view.objective.maximize else -1
        for trial in sorted(trials, key=lambda each: sign * view.values[each.number]):
            value = min(max(view.values[trial.number], low), high)
            share = 0.5 if high == low else (value - low) / (high - low)
            places = [_fraction(axis, trial) for axis in axes_drawn]
            axes.plot(
                range(len(places) + 1),
                [*places, share],
                color=VERMILLION if trial.number in winners else _color(share, sign),
                linewidth=2.4 if trial.number in winners else 1.1,
                alpha=1.0 if trial.number in winners else 0.75,
                zorder=3 if trial.number in winners else 2,
            )
        for place, axis in enumerate(axes_drawn):
            off = any(axis.place(trial.params) is None for trial in trials)
            _draw_axis(axes, place, axis.name, _marks(axis), off=off)
        ends = [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")] if high > low else [(0.5, f"{low:.4g}")]
        _draw_axis(axes, len(axes_drawn), view.label, ends, off=False)
        write_notes(bottom, lines)
    return figure


def draw_slices(view: StudyView) -> Figure:
    """Draw what trials scored against each param, the most important first."""
    from matplotlib.lines import Line2D

    drawn = view.by_importance[:MOST_SLICES]
    low, high, cut = value_range(view, SLICED)
    columns = min(COLUMNS, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    width = max(7.0, 2.9 * columns)
    left = len(view.axes) - len(drawn)
    notes = [cut_note(cut)] if cut else []
    notes += [f"Not drawn: {left} params of less importance."] if left else []
    notes += ["A trial stands in the slices of those params only that applied to it."]
    lines = wrapped([" ".join(notes)], width, 8.0)
    title = wrapped([headline(view)], width, 11.0)
    states = [state for state in SLICED if view.study.count(state)]
    marks = [*{what: (number, look, what) for number, look, what in _marked(view)}.values()]
    with style():
        heights = [
            LINE * len(title) * 1.2 + 2.3 * rows,
            LINE + 0.15,
            LINE * 0.85 * len(lines) + 0.1,
        ]
        figure, (top, middle, bottom) = stacked(width, heights, "\n".join(title))
        grid = top.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes, axis in zip(grid, drawn, strict=False):
            _draw_slice(axes, view, axis, states, (low, high))
        for axes in grid[len(drawn) :]:
            axes.set_axis_off()
        for axes in grid[::columns]:
            axes.set_ylabel(_short(view.label, 34))
        handles = [
            *(Line2D([], [], linestyle="", markersize=5, **STATES[state]) for state in states),
            *(Line2D([], [], **_MARK, **look) for _, look, _ in marks),
        ]
        labels = [*map(str, states), *(label for _, _, label in marks)]
        draw_legend(middle, handles, labels, "upper center", len(labels))
        write_notes(bottom, lines)
    return figure


def _fraction(axis: Axis, trial: TrialRecord) -> float:
    """Return where the line of a trial crosses an axis; below its foot, where it has no value."""
    place = axis.fraction(trial.params)
    if place is None:
        return OFF
    return _inside(place) + 0.1 * _spread(trial.number) if axis.choices else place


def _inside(fraction: float) -> float:
    """Return where a choice lies on its axis, so that its lines can spread about it."""
    return 0.05 + 0.9 * fraction


def _spread(number: int) -> float:
    """Return a number from -0.5 to 0.5 for a trial, evenly spread and always the same."""
    return math.modf(number * 0.618)[0] - 0.5


def _complete(view: StudyView) -> list[TrialRecord]:
    return [
        trial
        for trial in view.study.trials
        if trial.state is TrialState.COMPLETE and trial.number in view.values
    ]


def _color(share: float, sign: int) -> Any:
    """Return the colour of a value between the worst and the best: pale to dark."""
    from matplotlib import colormaps

    return colormaps["viridis_r"](0.1 + 0.9 * (share if sign > 0 else 1 - share))


def _marks(axis: Axis) -> list[tuple[float, str]]:
    """Return what is written beside an axis: a place between 0 and 1, and a text."""
    if axis.choices:
        last = max(1, len(axis.choices) - 1)
        texts = [_short(text, 14) for text in axis.choices]
        return [(_inside(place / last), text) for place, text in enumerate(texts)]
    ends = [(0.0, axis.low), (1.0, axis.high)] if axis.high > axis.low else [(0.5, axis.low)]
    return [(place, f"{value:.4g}") for place, value in ends]


def _draw_axis(
    axes: Axes, place: int, name: str, marks: Sequence[tuple[float, str]], *, off: bool
) -> None:
    axes.plot([place, place], [0, 1], color=INK, linewidth=1.0, zorder=4)
    axes.text(
        place,
        1.1,
        _folded(name),
        horizontalalignment="center",
        verticalalignment="bottom",
        fontsize=8.5,
        fontweight="bold",
    )
    for height, text in [*marks, (OFF, "off")] if off else marks:
        at_end = height in (0.0, 1.0)
        axes.text(
            place if at_end or height == OFF else place + 0.04,
            height + (0.0 if not at_end else 0.02 if height else -0.02),
            text,
            horizontalalignment="center" if at_end or height == OFF else "left",
            verticalalignment=("bottom" if height else "top") if at_end else "center",
            fontsize=8,
            color=FAINT if height == OFF else INK,
            zorder=5,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.6},
        )


def _parallel_notes(view: StudyView, drawn: Sequence[Axis], cut: int) -> list[str]:
    several = len(view.study.objectives) > 1
    notes = ["The darker, the better; " + ("the front" if several else "the best") + " is orange."]
    if cut:
        notes.append(cut_note(cut))
    counts = [
        (len(view.axes) - len(drawn), "param of less importance", "params of less importance"),
        (
            len(view.study.trials) - len(_complete(view)),
            "trial that is not complete",
            "trials that are not complete",
        ),
    ]
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    notes += [f"Not drawn: {', '.join(parts)}."] if parts else []
    return [" ".join(notes)]


def _draw_slice(
    axes: Axes,
    view: StudyView,
    axis: Axis,
    states: Sequence[TrialState],
    limits: tuple[float, float],
) -> None:
    low, high = limits
    marked = {number for number, _, _ in _marked(view)}
    points: dict[int, tuple[float, float]] = {}
    for trial in view.study.trials:
        place = axis.place(trial.params)
        if place is not None and trial.number in view.values:
            # Trials with one choice are spread out, always in the same way.
            spread = 0.3 * _spread(trial.number) if axis.choices else 0.0
            points[trial.number] = (place + spread, min(max(view.values[trial.number], low), high))
    for state in states:
        shown = [
            points[trial.number]
            for trial in view.study.trials
            if trial.state is state and trial.number in points and trial.number not in marked
        ]
        if shown:
            axes.plot(*zip(*shown, strict=True), linestyle="", markersize=4.5, **STATES[state])
    for number, look, _ in _marked(view):
        if number in points:
            axes.plot([points[number][0]], [points[number][1]], **_MARK, **look, zorder=4)
    room = 0.08 * (high - low) or 0.05
    axes.set_ylim(low - room, high + room)
    axes.set_xlabel(_short(axis.name, 34), fontsize=8.5)
    _lay_out(axes, axis)


def _lay_out(axes: Axes, axis: Axis) -> None:
    """Have the horizontal axis of a slice go as its param was searched."""
    if axis.choices:
        longest = max(map(len, axis.choices))
        crowded = longest * len(axis.choices) > 26
        axes.set_xticks(
            range(len(axis.choices)),
            [_short(text, 14) for text in axis.choices],
            rotation=25 if crowded else 0,
            horizontalalignment="right" if crowded else "center",
        )
        axes.set_xlim(-0.5, len(axis.choices) - 0.5)
        return
    if axis.log and axis.high > axis.low:
        axes.set_xscale("log")
        label_logarithm(axes.xaxis, log_marks(axis.low, axis.high))
        room = (axis.high / axis.low) ** 0.05
        axes.set_xlim(axis.low / room, axis.high * room)
    elif axis.high > axis.low:
        room = 0.05 * (axis.high - axis.low)
        axes.set_xlim(axis.low - room, axis.high + room)
    axes.tick_params(axis="x", labelsize=8)


def _marked(view: StudyView) -> list[tuple[int, dict[str, Any], str]]:
    """Return the trials that stand out in slices: number, marker, and what they are."""
    several = len(view.study.objectives) > 1
    front = [trial.number for trial in (view.front if several else view.front[:1])]
    what = "on the Pareto front" if several else "best"
    look: dict[str, Any] = {"marker": "*", "color": VERMILLION, "markersize": 13}
    marks = [(number, look, what) for number in front]
    if view.default and 0 in view.values and 0 not in front:
        look = {"marker": "D", "color": COLORS[2], "markersize": 7}
        marks.append((0, look, "default params"))
    return marks


def _short(text: str, most: int) -> str:
    text = drawable(one_line(text))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _folded(name: str) -> str:
    """Return the name of a param on short lines, broken after a dot or an underscore if it can."""
    spaced = drawable(one_line(name)).replace(".", ".\u200b").replace("_", "_\u200b")
    words = spaced.replace("\u200b", " ")
    lines = textwrap.wrap(words, 16)[:4]
    return "\n".join(line.replace(". ", ".").replace("_ ", "_") for line in lines)
