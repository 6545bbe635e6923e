"""Charts of a study: history, importances, parallel coordinates, expected best, Pareto front."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from bench import study_series
from bench.charts import Axis, Band, Chart, Dot, Line, Mark, Rule, Unit
from bench.importance import Importances
from bench.studies import TrialRecord, TrialState
from bench.study_series import StudyView, spoken
from bench.text import one_line

CUT = 4.0
"""Values that fall short of the median by more times what the best is above it are off the axis."""
MOST_BARS = 25
"""Params whose importance is drawn; the largest ones."""
MOST_AXES = 14
"""Params that have an axis among parallel ones; the most important."""
MOST_LINES = 60
"""Trials that have a line through these: the best half of them, and some of the others."""
OFF = -0.12
"""Where the line of a trial passes the axis of a param that did not apply to it."""
NAME = 40
"""Characters of the name of a param."""
LONGEST_PARAMS = 300
"""Characters of what is said of a trial's params."""

_SERIES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "under way",
}


def of(view: StudyView, importances: Importances) -> tuple[Chart, ...]:
    """Return the charts of a study, those that say something of it.

    Args:
        view: of the study.
        importances: of its params.
    """
    charts = [_history(view), _importances(view, importances)]
    if len(view.study.objectives) == 2:
        charts.append(_front(view))
    charts += [_expected(view), _parallel(view, importances)]
    return tuple(chart for chart in charts if chart is not None)


def params_of(trial: TrialRecord) -> str:
    """Return a trial's params in a line: `adamw.lr=0.002, batch_size=64`."""
    text = ", ".join(f"{name}={spoken(value)}" for name, value in trial.params.items())
    return one_line(("the defaults: " if trial.number == 0 else "") + text, LONGEST_PARAMS)


def value_range(view: StudyView, states: Collection[TrialState]) -> tuple[float, float, int]:
    """Return between which values trials of these states are drawn, and how many are worse.

    One value that is far from all others would leave no room to tell them apart.
    """
    sign = 1 if view.objective.maximize else -1
    values = sorted(
        sign * view.values[trial.number]
        for trial in view.study.trials
        if trial.state in states and trial.number in view.values
    )
    if not values:
        return 0.0, 1.0, 0
    best, median = values[-1], values[len(values) // 2]
    edge = median - CUT * (best - median)
    if best == median or edge <= values[0]:
        edge = values[0]
    ends = sorted((sign * edge, sign * best))
    return ends[0], ends[1], sum(value < edge for value in values)


def cut_note(cut: int) -> str:
    """Return what is said of trials that are worse than the axis reaches."""
    which = "1 trial stands" if cut == 1 else f"{cut} trials stand"
    return f"{which} at the edge and scored worse than that."


def _history(view: StudyView) -> Chart | None:
    """Return what each trial scored, and the best so far."""
    states = [state for state in _SERIES if any(_shown(view, state))]
    if not states:
        return None
    low, high, cut = value_range(view, states)
    marks: list[Mark] = []
    default = view.default
    if default and default.state is TrialState.COMPLETE and 0 in view.values:
        marks.append(Rule(y=_inside(view.values[0], low, high), label="default params"))
    if view.history:
        numbers, best = (list(each) for each in zip(*view.history, strict=True))
        last = max(trial.number for trial in view.study.trials)
        ends = [_inside(each, low, high) for each in (*best, best[-1])]
        x = tuple(map(float, (*numbers, last)))
        marks.append(Line(x, tuple(ends), len(states), "the best so far", stepped=True))
    for number, state in enumerate(states):
        for trial in _shown(view, state):
            value = view.values[trial.number]
            what = "" if state is TrialState.COMPLETE else f", {state}"
            hover = f"trial {trial.number}: {value:.4g}{what}; {params_of(trial)}"
            hollow = state is not TrialState.COMPLETE
            y = _inside(value, low, high)
            marks.append(Dot(float(trial.number), y, number, hover=hover, hollow=hollow))
    lacking = sum(trial.number not in view.values for trial in view.study.trials)
    notes = [cut_note(cut)] if cut else []
    if lacking:
        notes.append(f"{_trials(lacking)} without a score, of {len(view.study.trials)}, not drawn.")
    if TrialState.PRUNED in states:
        notes.append("Pruned trials stand where they were when they were given up.")
    return Chart(
        _name(view, "history"),
        "Trials and the best so far",
        Axis("trial"),
        Axis(view.label),
        tuple(marks),
        (*(_SERIES[state] for state in states), *(["best so far"] if view.history else [])),
        " ".join(notes),
    )


def _importances(view: StudyView, importances: Importances) -> Chart | None:
    """Return the importance of each param as a bar from the left, the largest first."""
    shares = [*importances.shares.items()][:MOST_BARS]
    if not shares:
        return None
    left = len(importances.shares) - len(shares)
    marks: list[Mark] = []
    for place, (name, share) in enumerate(shares):
        text = f"{share:.1%}"
        marks.append(Line((0.0, share), (float(place), float(place))))
        hover = f"{one_line(name, NAME)}: {text}"
        marks.append(Dot(share, float(place), label=text, hover=hover))
    says = importances.reason
    notes = [f"{says[:1].upper()}{says[1:]}. What params do only together is in none of them."]
    notes += [f"Not drawn: {left} params of less importance."] if left else []
    return Chart(
        _name(view, "importances"),
        "Importance of params",
        Axis("importance", Unit.SHARE, low=0.0, high=1.35 * max(share for _, share in shares)),
        Axis("", categories=tuple(one_line(name, NAME) for name, _ in shares)),
        tuple(marks),
        note=" ".join(notes),
    )


def _expected(view: StudyView) -> Chart | None:
    """Return what the best of k random trials is expected to score, in its band."""
    curve = view.expected.curve
    if not curve:
        return None
    worst, best, _ = value_range(view, [TrialState.COMPLETE])
    # A failed trial may pull the beginning below all scores; one score far off must not.
    drop = max(best - worst, 1e-3)
    low, high = worst - drop, best + drop
    x = tuple(float(k) for k in range(1, len(curve) + 1))
    marks: list[Mark] = [
        Band(
            x,
            tuple(_inside(each.low, low, high) for each in curve),
            tuple(_inside(each.high, low, high) for each in curve),
        ),
        Line(x, tuple(_inside(each.mean, low, high) for each in curve), hover="expected best"),
    ]
    default = view.default
    if default and default.number in view.values:
        value = _inside(view.values[default.number], low, high)
        marks.append(Rule(y=value, label="default params"))
    return Chart(
        _name(view, "expected"),
        "Expected best of k trials",
        Axis("random trials"),
        Axis(f"best {view.label}"),
        tuple(marks),
        note=f"Estimated {view.expected.reason}. The band holds at 95 % for the whole curve at "
        "once; where it ends at the edge, so many trials cannot bound it further.",
    )


def _front(view: StudyView) -> Chart | None:
    """Return the first objective against the second, and the front: trials that none dominates."""
    objectives = view.study.objectives
    front = {trial.number for trial in view.front}
    points = {}
    for trial in view.study.trials:
        numbers = [study_series.number_of(value) for value in trial.objectives]
        known = [number for number in numbers if number is not None]
        if trial.state is TrialState.COMPLETE and len(known) == 2:
            points[trial.number] = (trial, known[1], known[0])
    if not points:
        return None
    best = sorted(points[number][1:] for number in front if number in points)
    labels = [one_line(study_series.objective_label(view.study, each)) for each in objectives]
    x, y = (tuple(each) for each in zip(*best, strict=True)) if best else ((), ())
    marks: list[Mark] = [Line(x, y, 1, "the front", thin=True)]
    for number, (trial, across, up) in points.items():
        hover = f"trial {number}: {labels[0]} {up:.4g}, {labels[1]} {across:.4g}; "
        on = number in front
        label = str(number) if on else ""
        marks.append(Dot(across, up, int(on), label, hover + params_of(trial), hollow=not on))
    values = [each[1] for each in points.values()]
    wide = min(values) > 0 and max(values) / min(values) > study_series.LOGARITHMIC_RATIO
    wishes = [
        f"{'more' if objective.maximize else 'less'} {label}"
        for objective, label in zip(objectives, labels, strict=True)
    ]
    return Chart(
        _name(view, "front"),
        "Pareto front",
        Axis(labels[1], log=wide),
        Axis(labels[0]),
        tuple(marks),
        ("trial", "on the front"),
        f"Wanted: {' and '.join(wishes)}. On the front: those for which no other trial is as good "
        "in both and better in one.",
    )


def _parallel(view: StudyView, importances: Importances) -> Chart | None:
    """Return complete trials as lines through their params, the best of them in colour."""
    shares = importances.shares
    axes = sorted(view.axes, key=lambda axis: -shares.get(axis.name, 0.0))[:MOST_AXES]
    trials = [t for t in view.ranked if t.state is TrialState.COMPLETE and t.number in view.values]
    if not axes or len(trials) < 2:
        return None
    low, high, cut = value_range(view, [TrialState.COMPLETE])
    drawn = _some(trials)
    front = {trial.number for trial in view.front}
    good = {trial.number for trial in trials[: max(1, len(trials) // 4)]}
    marks: list[Mark] = [Rule(x=float(place)) for place in range(len(axes) + 1)]
    unused = False
    for trial in reversed(drawn):
        value = view.values[trial.number]
        places = []
        for axis in axes:
            fraction = axis.fraction(trial.params)
            unused |= fraction is None
            spread = 0.05 * _spread(trial.number) if axis.choices else 0.0
            places.append(OFF if fraction is None else 0.03 + 0.94 * fraction + spread)
        end = 0.5 if high == low else (_inside(value, low, high) - low) / (high - low)
        series = 0 if trial.number in front else 1 if trial.number in good else -1
        marks.append(
            Line(
                tuple(float(place) for place in range(len(axes) + 1)),
                tuple(round(place, 3) for place in (*places, 0.03 + 0.94 * end)),
                series,
                f"trial {trial.number}: {view.label} {value:.4g}; {params_of(trial)}",
                thin=series != 0,
            )
        )
    names = [one_line(axis.name, NAME) for axis in axes]
    notes = [
        f"From the lowest value of each to the highest; {view.label}: {low:.4g} to {high:.4g}."
    ]
    notes += ["Below 0: the param did not apply."] if unused else []
    notes += [cut_note(cut)] if cut else []
    if len(drawn) < len(trials):
        notes.append(
            f"{len(drawn)} of {len(trials)} complete trials, the best ones and some others."
        )
    left = len(view.axes) - len(axes)
    notes += [f"Not drawn: {left} params of less importance."] if left else []
    best = "on the front" if len(view.study.objectives) > 1 else "best"
    return Chart(
        _name(view, "parallel"),
        "Params of the trials",
        Axis("", categories=(*names, view.label)),
        Axis("place in the range", low=2 * OFF if unused else 0.0, high=1.0),
        tuple(marks),
        (best, "upper quarter"),
        " ".join(notes),
        wide=True,
    )


def _shown(view: StudyView, state: TrialState) -> list[TrialRecord]:
    return [
        trial for trial in view.study.trials if trial.state is state and trial.number in view.values
    ]


def _some(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return trials that are drawn of those ranked: the best, and others evenly spaced."""
    if len(trials) <= MOST_LINES:
        return [*trials]
    half = MOST_LINES // 2
    rest = trials[half:]
    step = (len(rest) - 1) / (half - 1)
    return [*trials[:half], *(rest[round(place * step)] for place in range(half))]


def _inside(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _spread(number: int) -> float:
    """Return a number from -0.5 to 0.5 for a trial, evenly spread and always the same."""
    return math.modf(number * 0.618)[0] - 0.5


def _trials(count: int) -> str:
    return f"{count} trial{'s' * (count != 1)}"


def _name(view: StudyView, what: str) -> str:
    return f"study-{view.study.id}-{what}"
