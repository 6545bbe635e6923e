"""What `bench show` prints of a study: what was searched, how its trials went, what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from bench import study_series
from bench.studies import StudyRecord, TrialRecord
from bench.study_series import StudyView, spoken, spoken_value, trials_of
from bench.text import duration, one_line

MOST_TRIALS = 12
"""Trials that are printed, the best ones."""
MOST_STEPS = 12
"""Improvements in the history that are printed, the last ones."""
MOST_CAUSES = 5
"""Causes of failures that are printed, the most frequent ones."""
LONGEST_LINE = 4000
"""Characters of any other line."""
LONGEST_PARAMS = 110
"""Characters of a trial's params in a table."""


def print_study(view: StudyView) -> None:
    """Print a study: header, space, trials, failures, history, winner or front, importances."""
    study = view.study
    for name, text in _header(view):
        click.echo(f"{name:<11} {one_line(text, LONGEST_LINE)}".rstrip())
    _print_space(study)
    _print_trials(view)
    _print_failures(view)
    _print_history(view)
    _print_expected(view)
    if len(study.objectives) > 1:
        _print_front(view)
    else:
        _print_winner(view)
    _print_outcome(view)
    _print_importances(view)  # last, since they take seconds


def to_dict(view: StudyView) -> dict[str, Any]:
    """Return a study and what follows from it as plain data."""
    return {
        **view.study.to_dict(),
        "ranked": [trial.number for trial in view.ranked],
        "values": {str(number): value for number, value in view.values.items()},
        "history": [{"trial": number, "best": best} for number, best in view.history],
        "front": [trial.number for trial in view.front],
        "causes": dict(view.causes),
        "importances": dict(view.importances.shares),
        "importances_note": view.importances.reason,
        "expected_best": [
            {"trials": k, "mean": each.mean, "low": each.low, "high": each.high}
            for k, each in enumerate(view.expected.curve, 1)
        ],
        "expected_best_note": view.expected.reason,
    }


def print_list(found: Sequence[StudyRecord], *, as_json: bool) -> None:
    """Print one line a study."""
    from bench.cli.common import print_columns, print_json

    views = [study_series.view_of(study) for study in found]
    if as_json:
        studies = [{**view.study.to_dict(), "best_value": view.best} for view in views]
        print_json({"schema": 1, "studies": studies})
        return
    labelled = any(study.label for study in found)
    rows = [
        (
            view.study.id,
            view.study.name,
            *([view.study.label or "–"] if labelled else []),
            view.study.sampler,
            trials_of(view.study),
            "over" if view.study.over else "under way",
            "–" if view.best is None else f"{view.best:.4f}",
        )
        for view in views
    ]
    label = ["label"] if labelled else []
    print_columns(("study", "name", *label, "sampler", "trials", "state", "best val"), rows)


def _header(view: StudyView) -> list[tuple[str, str]]:
    study = view.study
    state = "over" if study.over else "under way, or interrupted"
    spent = f"{duration(study.seconds)} of training, {study.epochs:,} epochs"
    wishes = [
        f"{'highest' if objective.maximize else 'lowest'} "
        f"{study_series.objective_label(study, objective)}"
        for objective in study.objectives
    ]
    seeds = f"{study.tune_seeds} seed{'s' * (study.tune_seeds != 1)} a trial"
    return [
        ("study", f"{study.id} {study.name}"),
        *([("label", study.label)] if study.label else []),
        ("cell", study_series.title_of(study)),
        ("state", state),
        ("sampler", f"{study.sampler}, seed {study.study_seed}"),
        ("pruner", study.pruner),
        ("budget", f"{study.budget}; {seeds}"),
        ("spent", f"{trials_of(study)}, {spent}"),
        ("wanted", ", ".join(wishes)),
        ("started", study.started_at),
        ("updated", study.updated_at),
    ]


def _print_space(study: StudyRecord) -> None:
    click.echo("\nsearched")
    rows = [(name, study_series.spoken_space(space)) for name, space in study.space.items()]
    _print_table(rows, left=2)


def _print_trials(view: StudyView) -> None:
    study, shown = view.study, view.ranked[:MOST_TRIALS]
    if not shown:
        click.echo("\nno trial has begun")
        return
    more = f", {len(shown)} of {len(study.trials)}; --json has all"
    _say(f"trials, best first{more if len(shown) < len(study.trials) else ''}", apart=True)
    columns = [study_series.objective_label(study, each) for each in study.objectives]
    rows = [("trial", "state", *columns, "epochs", "took", "params")]
    for trial in shown:
        rows.append(
            (
                str(trial.number),
                str(trial.state),
                *_values(view, trial),
                str(trial.epochs),
                duration(trial.seconds),
                _params(trial),
            )
        )
    _print_table(rows, left=2, ragged=True)


def _values(view: StudyView, trial: TrialRecord) -> list[str]:
    """Return the value of each objective, where one is known."""
    if len(trial.objectives) == len(view.study.objectives):
        return [spoken_value(value) for value in trial.objectives]
    main = study_series.main_objective(view.study)
    known = view.values.get(trial.number)
    return [
        spoken_value(known if place == main else None)
        for place in range(len(view.study.objectives))
    ]


def _params(trial: TrialRecord) -> str:
    text = ", ".join(f"{name}={spoken(value)}" for name, value in trial.params.items())
    default = "the defaults: " if trial.number == 0 else ""
    return one_line(default + text, LONGEST_PARAMS)


def _print_failures(view: StudyView) -> None:
    if not view.causes:
        return
    click.echo("\nfailed")
    for cause, count in view.causes[:MOST_CAUSES]:
        click.echo(f"  {count} × {cause}")
    if len(view.causes) > MOST_CAUSES:
        left = sum(count for _, count in view.causes[MOST_CAUSES:])
        click.echo(f"  {left} of other causes; --json has them")


def _print_history(view: StudyView) -> None:
    steps: list[tuple[int, float]] = []
    for number, best in view.history:
        if not steps or best != steps[-1][1]:
            steps.append((number, best))
    if not steps:
        return
    shown = steps[-MOST_STEPS:]
    note = (
        f", the last {len(shown)} of {len(steps)} improvements" if len(shown) < len(steps) else ""
    )
    _say(f"best so far: {view.label}{note}", apart=True)
    rows = [("trial", "best"), *((str(number), spoken_value(best)) for number, best in shown)]
    _print_table(rows)


def _print_importances(view: StudyView) -> None:
    found = view.importances
    if not found.shares:
        _say(f"no importances: {found.reason}", apart=True)
        return
    _say(f"importances ({found.reason})", apart=True)
    _print_table([(name, f"{share:.1%}") for name, share in found.shares.items()], left=1)


def _print_expected(view: StudyView) -> None:
    expected = view.expected
    if not expected.curve:
        _say(f"no expected best after k trials: {expected.reason}", apart=True)
        return
    _say(f"expected best after k trials ({expected.reason})", apart=True)
    rows = [("k", view.label, "95 % band")]
    for k in _round_numbers(len(expected.curve)):
        each = expected.curve[k - 1]
        rows.append(
            (
                str(k),
                spoken_value(each.mean),
                f"{spoken_value(each.low)} to {spoken_value(each.high)}",
            )
        )
    _print_table(rows)


def _round_numbers(last: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, ... up to a number, and the number."""
    rounds = [mantissa * 10**power for power in range(len(str(last))) for mantissa in (1, 2, 5)]
    return [*(number for number in rounds if number < last), last]


def _print_front(view: StudyView) -> None:
    if not view.front:
        return
    study = view.study
    _say(
        f"Pareto front: {len(view.front)} trials that no other beats in every objective", apart=True
    )
    rows = [
        (
            "trial",
            *(study_series.objective_label(study, each) for each in study.objectives),
            "params",
        )
    ]
    rows += [(str(trial.number), *_values(view, trial), _params(trial)) for trial in view.front]
    _print_table(rows, ragged=True)


def _print_winner(view: StudyView) -> None:
    winner, default = view.winner, view.default
    if winner is None:
        click.echo("\nno winner: no trial is complete with a value")
        return
    what = "winner" if view.study.best else "best so far"
    known = view.values.get(winner.number)
    _say(f"{what}: trial {winner.number}, {view.label} {spoken_value(known)}", apart=True)
    usual: Mapping[str, Any] = default.params if default else {}
    rows = [("param", what, "default")]
    for name in view.study.space:
        chosen, common = (
            spoken(params[name]) if name in params else "–" for params in (winner.params, usual)
        )
        rows.append((name, chosen, common))
    _print_table(rows, left=3)
    if default and default.number in view.values and winner.number != 0:
        click.echo(f"  the defaults came to {spoken_value(view.values[default.number])}")


def _print_outcome(view: StudyView) -> None:
    """Print how to train what was found, and the runs that did."""
    study = view.study
    for number, command in zip(study.best, study.commands, strict=False):
        _say(f"to train trial {number}:", apart=True)
        _say(f"  {command}")
    for number, runs in zip(study.best, study.finals, strict=False):
        if runs:
            _say(f"final runs of trial {number}: {', '.join(runs)}")


def _say(text: str, *, apart: bool = False) -> None:
    """Print one line, whatever stands in it, after an empty one if it is to stand apart."""
    indent = " " * (len(text) - len(text.lstrip()))
    click.echo("\n" * apart + indent + one_line(text, LONGEST_LINE))


def _print_table(rows: Iterable[Sequence[str]], *, left: int = 0, ragged: bool = False) -> None:
    """Print aligned columns.

    Args:
        rows: of one length.
        left: how many of the first columns begin at the left; the others end at the right.
        ragged: whether the last column begins at the left too, and is as long as it is.
    """
    table = [[one_line(cell, 200) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            begins = place < left or (ragged and place == len(row) - 1)
            cells.append(cell.ljust(width) if begins else cell.rjust(width))
        click.echo(("  " + "  ".join(cells)).rstrip())
