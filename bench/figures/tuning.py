"""A study's history, what its params matter, what more trials bring, and its Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench import study_series
from bench.figures.choice import COLORS
from bench.figures.looks import (
    FAINT,
    INK,
    LINE,
    draw_legend,
    label_logarithm,
    shortened,
    stacked,
    style,
    wrapped,
    write_notes,
)
from bench.report.study_charts import cut_note, value_range
from bench.studies import Objective, TrialState
from bench.study_series import StudyView
from bench.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH = 10.0
BLUE, VERMILLION, GREEN = COLORS[0], COLORS[1], COLORS[2]
MOST_BARS = 25
"""Params whose importance is drawn; the largest ones."""
STATES: dict[TrialState, dict[str, Any]] = {
    TrialState.COMPLETE: {"marker": "o", "color": BLUE},
    TrialState.PRUNED: {"marker": "X", "color": FAINT},
    TrialState.RUNNING: {"marker": "o", "color": FAINT, "markerfacecolor": "none"},
    TrialState.WAITING: {"marker": "s", "color": FAINT, "markerfacecolor": "none"},
    TrialState.FAILED: {"marker": "v", "color": VERMILLION},
}
_POINT: dict[str, Any] = {"linestyle": "", "markersize": 5.5, "markeredgewidth": 0.8}


def draw_history(view: StudyView) -> Figure:
    """Draw what each trial scored by its number and state, and the best so far as steps."""
    from matplotlib.lines import Line2D

    low, high, cut = value_range(view, STATES)
    present = [state for state in STATES if view.study.count(state)]
    looks: list[tuple[Line2D, str]] = []
    figure, axes, middle = _single(view, _state_notes(view, cut))
    with style():
        for state in present:
            trials = [trial for trial in view.study.trials if trial.state is state]
            shown = [trial for trial in trials if trial.number in view.values]
            places = [trial.number for trial in shown]
            heights = [min(max(view.values[number], low), high) for number in places]
            axes.plot(places, heights, **_POINT, **STATES[state], zorder=3)
            rest = [trial.number for trial in trials if trial.number not in view.values]
            # At the foot: that they were tried is known, what they would have scored is not.
            axes.plot(
                rest,
                [0.02] * len(rest),
                transform=axes.get_xaxis_transform(),
                **_POINT,
                **STATES[state],
                zorder=3,
            )
            looks.append((Line2D([], [], **_POINT, **STATES[state]), str(state)))
        if view.history:
            numbers, best = zip(*view.history, strict=True)
            last = max(trial.number for trial in view.study.trials)
            axes.step([*numbers, last], [*best, best[-1]], where="post", color=INK, linewidth=1.4)
            looks.append((Line2D([], [], color=INK, linewidth=1.4), "best so far"))
        if 0 in view.values and view.default and view.default.state is TrialState.COMPLETE:
            axes.axhline(view.values[0], color=FAINT, linestyle=":", linewidth=1.2)
            looks.append((Line2D([], [], color=FAINT, linestyle=":"), "default params"))
        _limit(axes, low, high)
        axes.set_xlabel("trial")
        axes.set_ylabel(shortened(view.label))
        _whole_numbers(axes)
        handles, labels = zip(*looks, strict=True)
        draw_legend(middle, handles, labels, "upper center", len(labels))
    return figure


def draw_importances(view: StudyView) -> Figure:
    """Draw the importance of each param as a bar, the largest at the top."""
    from matplotlib.ticker import PercentFormatter

    shares = dict([*view.importances.shares.items()][:MOST_BARS])
    left = len(view.importances.shares) - len(shares)
    says = view.importances.reason
    notes = [f"{says[:1].upper()}{says[1:]}. What params do only together is in none of them."]
    notes += [f"Not drawn: {left} params of less importance."] if left else []
    lines = wrapped(notes, WIDTH, 8.0)
    with style():
        figure, (top, bottom) = _stacked(view, 0.27 * len(shares) + 0.8, lines)
        axes = top.subplots()
        axes.barh(range(len(shares)), [*shares.values()], color=BLUE, height=0.7)
        axes.set_yticks(range(len(shares)), [shortened(name) for name in shares])
        axes.set_ylim(len(shares) - 0.4, -0.6)
        axes.set_xlim(0, max(shares.values()) * 1.12)
        for place, share in enumerate(shares.values()):
            axes.text(share, place, f" {share:.1%}", verticalalignment="center", fontsize=8)
        axes.grid(visible=False, axis="y")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("importance")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        write_notes(bottom, lines)
    return figure


def draw_expected(view: StudyView) -> Figure:
    """Draw what the best of k random trials is expected to score, in its band."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    curve = view.expected.curve
    counts = [*range(1, len(curve) + 1)]
    means = [each.mean for each in curve]
    worst, best, _ = value_range(view, [TrialState.COMPLETE])
    # A failed trial may pull the beginning below all scores; one score far off must not.
    drop = max(best - worst, 1e-3)
    seen = [min(max(each, worst - drop), best + drop) for each in means]
    room = max((max(seen) - min(seen)) * 0.5, 1e-3)
    low, high = min(seen) - room, max(seen) + room
    notes = [
        f"Estimated {view.expected.reason}. The band holds at 95 % for the whole curve at once; "
        "where it leaves the picture, so many trials cannot bound it further."
    ]
    figure, axes, middle = _single(view, notes)
    with style():
        axes.fill_between(
            counts,
            [max(each.low, low - room) for each in curve],
            [min(each.high, high + room) for each in curve],
            color=BLUE,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(counts, means, color=BLUE, marker="." if len(means) == 1 else "")
        handles: list[Any] = [Line2D([], [], color=BLUE), Patch(color=BLUE, alpha=0.18)]
        labels = ["expected best", "95 % band"]
        if view.default and view.default.number in view.values:
            axes.axhline(view.values[0], color=FAINT, linestyle=":", linewidth=1.2)
            low, high = min(low, view.values[0] - room / 4), max(high, view.values[0] + room / 4)
            handles.append(Line2D([], [], color=FAINT, linestyle=":"))
            labels.append("default params")
        axes.set_ylim(low, high)
        axes.set_xlim(0.5, len(curve) + 0.5)
        axes.set_xlabel("random trials")
        axes.set_ylabel(shortened(f"best {view.label}"))
        _whole_numbers(axes)
        draw_legend(middle, handles, labels, "upper center", len(labels))
    return figure


def draw_front(view: StudyView) -> Figure:
    """Draw the first objective against each other one, and the trials on the Pareto front."""
    from matplotlib.lines import Line2D

    objectives = view.study.objectives
    front = {trial.number for trial in view.front}
    shown = [
        trial
        for trial in view.study.trials
        if trial.state is TrialState.COMPLETE
        and len(trial.objectives) == len(objectives)
        and all(study_series.number_of(value) is not None for value in trial.objectives)
    ]
    labels = [shortened(study_series.objective_label(view.study, each)) for each in objectives]
    pairs = [(place, 0) for place in range(1, len(objectives))]
    line = "-" if len(pairs) == 1 else ""  # of more, a front is no line in a plane
    notes = wrapped(_front_notes(view), WIDTH, 8.0)
    with style():
        figure, (top, middle, bottom) = _stacked(view, 3.9, notes, legend=True)
        grid = top.subplots(1, len(pairs), squeeze=False, sharey=True)[0]
        for axes, (x, y) in zip(grid, pairs, strict=True):
            _draw_pair(axes, shown, front, (x, y), objectives, line)
            axes.set_xlabel(labels[x])
            axes.set_ylabel(labels[y])
            axes.label_outer()
        handles = [
            Line2D([], [], **_POINT, **STATES[TrialState.COMPLETE]),
            Line2D([], [], **{**_POINT, "linestyle": line}, color=VERMILLION, marker="D"),
        ]
        draw_legend(middle, handles, ["trial", "on the Pareto front"], "upper center", 2)
        write_notes(bottom, notes)
    return figure


def _draw_pair(
    axes: Axes,
    trials: Sequence[Any],
    front: set[int],
    pair: tuple[int, int],
    objectives: Sequence[Objective],
    line: str,
) -> None:
    from matplotlib.ticker import EngFormatter

    x, y = pair
    points = {trial.number: (trial.objectives[x], trial.objectives[y]) for trial in trials}
    others = [point for number, point in points.items() if number not in front]
    if others:
        axes.plot(*zip(*others, strict=True), **_POINT, **STATES[TrialState.COMPLETE])
    best = sorted((points[number], number) for number in front)
    places = [point for point, _ in best]
    axes.plot(
        *zip(*places, strict=True),
        # What is to be had at each value of the horizontal objective, or beyond it.
        **{**_POINT, "linestyle": line},
        drawstyle="steps-pre" if objectives[x].maximize else "steps-post",
        color=VERMILLION,
        marker="D",
        linewidth=1.0,
        zorder=3,
    )
    for place, axis, scale in ((x, axes.xaxis, axes.set_xscale), (y, axes.yaxis, axes.set_yscale)):
        values = [trial.objectives[place] for trial in trials]
        ratio = max(values) / min(values) if min(values) > 0 else 0.0
        if objectives[place].name != "score" and ratio > study_series.LOGARITHMIC_RATIO:
            scale("log")
            label_logarithm(axis, (1.0,))
        if max(values) >= 10_000:  # parameters
            axis.set_major_formatter(EngFormatter(sep=""))
    _number_points(axes, best)


def _number_points(axes: Axes, points: Sequence[tuple[tuple[float, float], int]]) -> None:
    """Write the number of each point beside it, but for those too near to one that has its own."""
    taken: list[tuple[float, float]] = []
    for point, number in points:
        across, up = axes.transAxes.inverted().transform(axes.transData.transform(point))
        if all(abs(across - a) > 0.035 or abs(up - u) > 0.045 for a, u in taken):
            taken.append((across, up))
            axes.annotate(
                str(number), point, (4, 4), textcoords="offset points", fontsize=7.5, color=INK
            )


def _single(view: StudyView, notes: Sequence[str]) -> tuple[Figure, Axes, SubFigure]:
    """Return a figure with one pair of axes, and the part for its legend."""
    lines = wrapped(notes, WIDTH, 8.0)
    with style():
        figure, (top, middle, bottom) = _stacked(view, 3.7, lines, legend=True)
        axes = top.subplots()
        write_notes(bottom, lines)
    return figure, axes, middle


def _stacked(
    view: StudyView, height: float, notes: Sequence[str], *, legend: bool = False
) -> tuple[Figure, list[SubFigure]]:
    title = wrapped([headline(view)], WIDTH, 11.0)
    heights = [
        LINE * len(title) * 1.2 + height,
        *([LINE + 0.15] if legend else []),
        LINE * 0.85 * len(notes) + 0.1,
    ]
    return stacked(WIDTH, heights, "\n".join(title))


def headline(view: StudyView) -> str:
    """Return what stands above all pictures of a study."""
    study = view.study
    pruner = f", pruner {study.pruner}" if study.pruner != "none" else ""
    what = one_line(f"{study.sampler}{pruner}, {study.budget}")
    return f"{study_series.title_of(study)} · {what}"


def _state_notes(view: StudyView, cut: int) -> list[str]:
    notes = []
    if any(trial.number not in view.values for trial in view.study.trials):
        notes.append("At the foot: trials without a score.")
    if view.study.count(TrialState.PRUNED):
        notes.append("Pruned trials stand where they were when they were given up.")
    if cut:
        notes.append(cut_note(cut))
    return [" ".join(notes)] if notes else []


def _front_notes(view: StudyView) -> list[str]:
    wishes = [
        f"{'more' if objective.maximize else 'less'} "
        f"{study_series.objective_label(view.study, objective)}"
        for objective in view.study.objectives
    ]
    return [
        f"Wanted: {', '.join(wishes)}. No other trial beats those on the front in all of them; "
        "their numbers stand beside them where there is room."
    ]


def _limit(axes: Axes, low: float, high: float) -> None:
    room = 0.06 * (high - low) or 0.05
    axes.set_ylim(low - 2 * room, high + room)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
