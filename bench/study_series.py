"""What is shown of a study, in tables and pictures: order, history, front, axes of its params.

This is the choice of data, made from a `StudyRecord` alone; `bench.cli.study_tables` prints it and
`bench.figures` draws it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench import metrics, stats
from bench.importance import Importances, importances
from bench.records import canonical
from bench.studies import Objective, StudyRecord, TrialRecord, TrialState
from bench.text import one_line

LOGARITHMIC_RATIO = 100.0
"""An objective other than the score is drawn on a logarithmic axis from this ratio on."""


@dataclass(frozen=True)
class Expected:
    """What the best of k trials is expected to score.

    Attributes:
        curve: for k = 1 and following; empty where it cannot be told.
        trials: how many it was estimated from.
        failed: how many of them have no score.
        reason: one sentence: why it cannot be told, or what it holds for.
    """

    curve: tuple[stats.Interval, ...]
    trials: int
    failed: int
    reason: str


@dataclass(frozen=True)
class Axis:
    """How a param is laid out.

    Attributes:
        name: as `--set` knows it.
        log: whether it is searched by its logarithm.
        choices: what a category may be, in the order of its places 0, 1, ...; empty of a number.
        low: the smallest value, or place.
        high: the largest.
    """

    name: str
    log: bool
    choices: tuple[str, ...]
    low: float
    high: float

    def place(self, params: Mapping[str, Any]) -> float | None:
        """Return where a trial lies: a number, or the place of a choice; None if nowhere."""
        if self.name not in params:
            return None
        value = params[self.name]
        if self.choices:
            text = spoken(value)
            return float(self.choices.index(text)) if text in self.choices else None
        number = number_of(value)
        return None if number is None or (self.log and number <= 0) else number

    def fraction(self, params: Mapping[str, Any]) -> float | None:
        """Return where a trial lies between the ends of the axis, 0 to 1; None if nowhere."""
        place = self.place(params)
        if place is None:
            return None
        low, high = self.low, self.high
        if self.log:
            place, low, high = math.log(place), math.log(low), math.log(high)
        return 0.5 if high == low else (place - low) / (high - low)


@dataclass(frozen=True)
class StudyView:
    """A study with what follows from it.

    Attributes:
        values: of each trial by number, what it scored; missing where that is not known.
        ranked: the trials, best first; after the complete ones those that were pruned, those under
            way, and those that failed.
        history: at each complete trial in turn, its number and the best value up to it.
        front: complete trials that no other beats in every objective, by the first objective;
            with one objective the best trial.
        causes: the errors of failed trials, the most frequent first.
        axes: of the params, in the order of the space.
    """

    study: StudyRecord
    values: dict[int, float]
    ranked: tuple[TrialRecord, ...]
    history: tuple[tuple[int, float], ...]
    front: tuple[TrialRecord, ...]
    causes: tuple[tuple[str, int], ...]
    axes: tuple[Axis, ...]

    @cached_property
    def importances(self) -> Importances:
        """How much each param mattered; it takes seconds at first, as Optuna is imported."""
        return importances(self.study, self.values)

    @cached_property
    def expected(self) -> Expected:
        """What the best of k trials is expected to score, of a random search."""
        return _expected(self)

    @property
    def by_importance(self) -> list[Axis]:
        """The axes of params, the most important first; in the study's order if that is unknown."""
        shares = self.importances.shares
        return sorted(self.axes, key=lambda axis: -shares.get(axis.name, 0.0))

    @property
    def best(self) -> float | None:
        """The best value of a complete trial."""
        return self.history[-1][1] if self.history else None

    @property
    def label(self) -> str:
        """How the values are called."""
        return objective_label(self.study, self.objective)

    @property
    def objective(self) -> Objective:
        """What trials are ordered by: the score, if it is among the objectives."""
        return self.study.objectives[main_objective(self.study)]

    @property
    def winner(self) -> TrialRecord | None:
        """The trial that the study chose, or that is the best so far; None of several."""
        if len(self.study.objectives) > 1:
            return None
        chosen = [trial for trial in self.study.trials if trial.number in self.study.best[:1]]
        return next(iter([*chosen, *self.front]), None)

    @property
    def default(self) -> TrialRecord | None:
        """The trial of the default params."""
        return next((trial for trial in self.study.trials if trial.number == 0), None)


def view_of(study: StudyRecord) -> StudyView:
    """Return a study with what follows from it."""
    values = {}
    for trial in study.trials:
        value = value_of(study, trial)
        if value is not None:
            values[trial.number] = value
    causes = Counter(
        one_line(trial.error or "no cause was recorded")
        for trial in study.trials
        if trial.state is TrialState.FAILED
    )
    return StudyView(
        study,
        values,
        tuple(_ranked(study, values)),
        tuple(_history(study, values)),
        tuple(_front(study)),
        tuple(causes.most_common()),
        tuple(_axis(name, space, study.trials) for name, space in study.space.items()),
    )


def main_objective(study: StudyRecord) -> int:
    """Return the place of the objective that trials are ordered by."""
    names = [objective.name for objective in study.objectives]
    return names.index("score") if "score" in names else 0


def value_of(study: StudyRecord, trial: TrialRecord) -> float | None:
    """Return what a trial scored, or had when it was given up; None if that is not known."""
    place = main_objective(study)
    if len(trial.objectives) > place:
        return number_of(trial.objectives[place])
    if trial.scores and study.objectives[place].name == "score":
        return number_of(trial.scores[max(trial.scores)])
    return None


def objective_label(study: StudyRecord, objective: Objective) -> str:
    """Return how an objective is called beside an axis or above a column."""
    if objective.name != "score":
        name = one_line(objective.name)
        words, _, unit = name.rpartition("_")
        units = {"ms": "ms", "seconds": "s"}
        return f"{words} ({units[unit]})" if unit in units else name.replace("_", " ")
    monitor = _monitor(study)
    if not monitor:
        return "val score"
    sign = "−" if monitor in metrics.LOWER_IS_BETTER else ""
    return f"val score ({sign}{monitor.replace('_', ' ')})"


def spoken(value: Any) -> str:
    """Return a param's value as tables and axes say it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else canonical(value)


def spoken_value(value: Any) -> str:
    """Return an objective's value as tables say it; `–` for what is no number."""
    number = number_of(value)
    if number is None:
        return "–"
    if number.is_integer() and abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.4f}" if 1e-3 <= abs(number) < 100 or number == 0 else f"{number:.4g}"


def spoken_space(space: Mapping[str, Any]) -> str:
    """Return what is searched of a param: a range, or choices; and under which condition."""
    if space.get("kind") == "choice":
        text = ", ".join(spoken(choice) for choice in space.get("choices", ()))
    else:
        text = f"{spoken(space.get('low'))} to {spoken(space.get('high'))}"
        text += " logarithmic" if space.get("log") else ""
        step = space.get("step")
        if step is not None and not (space.get("kind") == "int" and step == 1):
            text += f" in steps of {spoken(step)}"
    return f"{text} if {space['condition']}" if space.get("condition") else text


def trials_of(study: StudyRecord) -> str:
    """Return how many trials there are and what became of them: `9 trials (3 pruned)`."""
    others = [state for state in TrialState if state is not TrialState.COMPLETE]
    parts = [f"{study.count(state)} {state}" for state in others if study.count(state)]
    count = f"{len(study.trials)} trial{'s' * (len(study.trials) != 1)}"
    return f"{count} ({', '.join(parts)})" if parts else count


def title_of(study: StudyRecord) -> str:
    """Return the cell that a study tunes, in one line."""
    return one_line(f"{study.dataset} · {model_of(study)} · {study.optimizer}")


def model_of(study: StudyRecord) -> str:
    """Return the model, with what it starts from."""
    weights = study.base.get("weights")
    started = isinstance(weights, dict) and " from " not in study.model
    return f"{study.model} from {weights['name']}" if started and weights else study.model


def number_of(value: Any) -> float | None:
    """Return a finite number; None for all else, as infinities are null in a study's file."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _monitor(study: StudyRecord) -> str | None:
    monitor = study.base.get("protocol", {}).get("monitor")
    return monitor if isinstance(monitor, str) else None


def _ranked(study: StudyRecord, values: Mapping[int, float]) -> list[TrialRecord]:
    sign = -1 if study.objectives[main_objective(study)].maximize else 1
    order = (
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.RUNNING,
        TrialState.WAITING,
        TrialState.FAILED,
    )

    def place(trial: TrialRecord) -> tuple[int, float, int]:
        value = values.get(trial.number)
        return (
            order.index(trial.state),
            math.inf if value is None else sign * value,
            trial.number,
        )

    return sorted(study.trials, key=place)


def _history(study: StudyRecord, values: Mapping[int, float]) -> Iterable[tuple[int, float]]:
    choose = max if study.objectives[main_objective(study)].maximize else min
    best = None
    for trial in sorted(study.trials, key=lambda trial: trial.number):
        value = values.get(trial.number)
        if trial.state is TrialState.COMPLETE and value is not None:
            best = value if best is None else choose(best, value)
            yield trial.number, best


def _front(study: StudyRecord) -> list[TrialRecord]:
    """Return the complete trials that no other beats: as good in all objectives, better in one."""
    signs = [1 if objective.maximize else -1 for objective in study.objectives]
    points = []
    for trial in study.trials:
        numbers = [number_of(value) for value in trial.objectives]
        if trial.state is TrialState.COMPLETE and len(numbers) == len(signs):
            known = [number for number in numbers if number is not None]
            if len(known) == len(signs):
                goods = tuple(s * number for s, number in zip(signs, known, strict=True))
                points.append((goods, trial))
    front = [
        (goods, trial)
        for goods, trial in points
        if not any(
            other != goods and all(o >= g for o, g in zip(other, goods, strict=True))
            for other, _ in points
        )
    ]
    front.sort(key=lambda pair: (*(-good for good in pair[0]), pair[1].number))
    return [trial for _, trial in front[: 1 if len(signs) == 1 else None]]


def _axis(name: str, space: Mapping[str, Any], trials: Sequence[TrialRecord]) -> Axis:
    """Return the axis of a param, wide enough for defaults that lie outside what is searched."""
    used = [trial.params[name] for trial in trials if name in trial.params]
    numbers = [number for number in map(number_of, used) if number is not None]
    if space.get("kind") == "choice":
        texts = tuple(dict.fromkeys(spoken(value) for value in [*space["choices"], *used]))
        return Axis(name, False, texts, 0.0, float(len(texts) - 1))
    log = bool(space.get("log"))
    ends = [*numbers, *(number_of(space.get(end)) for end in ("low", "high"))]
    known = [end for end in ends if end is not None and (end > 0 or not log)]
    return Axis(name, log, (), min(known, default=0.0), max(known, default=1.0))


def _expected(view: StudyView) -> Expected:
    """Return the expected best of a random search; of no other search are trials exchangeable."""
    study = view.study
    over = [trial for trial in study.trials if trial.state.is_over and trial.number > 0]
    found = [
        view.values[trial.number]
        for trial in over
        if trial.state is TrialState.COMPLETE and trial.number in view.values
    ]
    reason = ""
    if len(study.objectives) > 1:
        reason = "it is for one objective; here there are several"
    elif study.sampler.split(":")[0].strip().lower() != "random":
        reason = (
            f"it is for `--sampler random` only: trials of `{study.sampler}` are no independent "
            "draws"
        )
    elif any(trial.state is TrialState.PRUNED for trial in over):
        reason = "pruned trials have no score at the end of training; search without a pruner"
    elif not found:
        reason = "no random trial has a score yet"
    if reason:
        return Expected((), 0, 0, reason)
    failed = len(over) - len(found)
    sign = 1 if view.objective.maximize else -1
    turned = [sign * value for value in found]
    low, high = _bounds(view, turned)
    if failed and not math.isfinite(low):
        reason = f"{failed} trials failed, and {view.label} has no worst value to count them as"
        return Expected((), 0, 0, reason)
    curve = stats.expected_best(turned, failed, low=low, high=high)
    if sign < 0:
        curve = [stats.Interval(-each.mean, -each.high, -each.low) for each in curve]
    says = f"from {len(over)} random trials"
    says += f", of which {failed} failed and count as the worst score" if failed else ""
    return Expected(tuple(curve), len(over), failed, says)


def _bounds(view: StudyView, values: Sequence[float]) -> tuple[float, float]:
    """Return between what a score can be, where more is better."""
    low, high = -math.inf, math.inf
    if view.objective.name != "score":
        high = high if view.objective.maximize else 0.0  # seconds and the like are never negative
    elif _monitor(view.study) in metrics.LOWER_IS_BETTER:
        high = 0.0
    else:
        low, high = 0.0, 1.0
    # What lies outside is no metric of ours, and nothing is known of its bounds.
    return (low, high) if all(low <= each <= high for each in values) else (-math.inf, math.inf)
