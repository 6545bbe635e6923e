"""What a report tells of the tuning of cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench import importance, study_series
from bench.importance import Importances
from bench.report import study_charts
from bench.report.content import Column, Facts, StudyPart, Table, Value
from bench.store import Store
from bench.studies import StudyRecord, TrialRecord
from bench.study_series import StudyView
from bench.text import duration, one_line

IN_FULL = 12
"""Studies that are told in full; the best ones."""
MOST_TRIALS = 15


def study_parts(store: Store, studies: Sequence[StudyRecord]) -> tuple[StudyPart, ...]:
    """Return what is told of studies, the best first; of more than `IN_FULL` a line each.

    Args:
        store: keeps the importances of studies that are over, which take seconds at first.
        studies: of its folder.
    """
    views = sorted(map(study_series.view_of, studies), key=_place)
    return tuple(
        _in_full(view, store, f"s{number}") if number < IN_FULL else _in_brief(view, f"s{number}")
        for number, view in enumerate(views)
    )


def _place(view: StudyView) -> tuple[float, str]:
    """Return what studies are ordered by: the best score, of any dataset."""
    best = view.best if view.objective.name == "score" else None
    return (math.inf if best is None else -best, view.study.id)


def _in_full(view: StudyView, store: Store, part_id: str) -> StudyPart:
    study = view.study
    if study.over:
        importances = importance.remembered(store, study, view.values)
    else:
        why = f"the study is not over; `bench show {study.id}` tells them as they are"
        importances = Importances({}, why)
    facts = [*_facts(view)]
    if not importances.shares:
        facts.append(("importances", f"none: {importances.reason}"))
    if not view.expected.curve:
        facts.append(("expected best", f"none: {view.expected.reason}"))
    return StudyPart(
        part_id,
        study_series.title_of(study),
        _answer(view),
        tuple((one_line(name), one_line(text, 2000)) for name, text in facts),
        study_charts.of(view, importances),
        _trials(view),
    )


def _in_brief(view: StudyView, part_id: str) -> StudyPart:
    facts = (("study", view.study.id), ("trials", study_series.trials_of(view.study)))
    return StudyPart(part_id, study_series.title_of(view.study), _answer(view), facts)


def _answer(view: StudyView) -> str:
    """Return in a sentence what tuning came to, against the default params."""
    study, default, winner = view.study, view.default, view.winner
    count = f"{len(study.trials)} trial{'s' * (len(study.trials) != 1)}"
    so_far = "" if study.over else " so far"
    if len(study.objectives) > 1:
        names = [study_series.objective_label(study, each) for each in study.objectives]
        if not view.front:
            return f"no trial is complete with a value, of {count}{so_far}"
        no_other = f"that no other beats in {' and '.join(names)} at once"
        return one_line(f"{len(view.front)} of {count}{so_far} {no_other}")
    if winner is None or winner.number not in view.values:
        return f"no trial is complete with a value, of {count}{so_far}"
    best = view.values[winner.number]
    found = f"{view.label} {study_series.spoken_value(best)}"
    if winner.number == 0:
        return one_line(f"{count}{so_far} found nothing better than the defaults: {found}")
    text = f"trial {winner.number} of {len(study.trials)}{so_far} has the best {found}"
    if default is not None and default.number in view.values:
        usual = view.values[default.number]
        change = study_series.spoken_value(abs(best - usual))
        text += f", {change} from the defaults' {study_series.spoken_value(usual)}"
    return one_line(f"{text}; val chose it, so expect less on test")


def _facts(view: StudyView) -> Facts:
    study = view.study
    wishes = [
        f"{'highest' if objective.maximize else 'lowest'} "
        f"{study_series.objective_label(study, objective)}"
        for objective in study.objectives
    ]
    seeds = f"{study.tune_seeds} seed{'s' * (study.tune_seeds != 1)} a trial"
    facts = [
        ("study", f"{study.id} {study.name}"),
        *([("label", study.label)] if study.label else []),
        ("state", "over" if study.over else "under way, or interrupted"),
        ("wanted", ", ".join(wishes)),
        ("trials", study_series.trials_of(study)),
        ("spent", f"{duration(study.seconds)} of training, {study.epochs:,} epochs"),
        ("budget", f"{study.budget}; {seeds}"),
        ("sampler", f"{study.sampler}, seed {study.study_seed}"),
        ("pruner", study.pruner),
    ]
    facts += [(name, study_series.spoken_space(space)) for name, space in study.space.items()]
    facts += [("failed", f"{count} × {cause}") for cause, count in view.causes[:5]]
    for number, command in zip(study.best, study.commands, strict=False):
        facts.append((f"trial {number} is trained by", command))
    for number, runs in zip(study.best, study.finals, strict=False):
        if runs:
            facts.append((f"final runs of trial {number}", ", ".join(runs)))
    return tuple(facts)


def _trials(view: StudyView) -> Table | None:
    """Return the best trials, and that of the defaults."""
    shown = [*view.ranked[:MOST_TRIALS]]
    if not shown:
        return None
    default = view.default
    if default is not None and default not in shown:
        shown[-1] = default
    study = view.study
    columns = (
        Column("trial", "trial", numeric=True),
        Column("state", "state"),
        *(
            Column(f"o{place}", one_line(study_series.objective_label(study, each)), numeric=True)
            for place, each in enumerate(study.objectives)
        ),
        Column("epochs", "epochs", numeric=True),
        Column("took", "took", numeric=True),
        Column("params", "params"),
    )
    note = ""
    if len(shown) < len(study.trials):
        note = f"{len(shown)} of {len(study.trials)}, the best ones and the defaults."
    rows = tuple(_row(view, trial) for trial in shown)
    return Table("trials, best first", columns, rows, note)


def _row(view: StudyView, trial: TrialRecord) -> tuple[Value, ...]:
    numbers: Mapping[int, float | None] = {study_series.main_objective(view.study): None}
    if len(trial.objectives) == len(view.study.objectives):
        numbers = dict(enumerate(map(study_series.number_of, trial.objectives)))
    else:
        numbers = dict.fromkeys(numbers, view.values.get(trial.number))
    objectives = [numbers.get(place) for place in range(len(view.study.objectives))]
    return (
        Value(str(trial.number), float(trial.number)),
        Value(str(trial.state), hover=one_line(trial.error or "")),
        *(Value(study_series.spoken_value(each), each) for each in objectives),
        Value(f"{trial.epochs:,}", float(trial.epochs)),
        Value(duration(trial.seconds), trial.seconds),
        Value(study_charts.params_of(trial)),
    )
