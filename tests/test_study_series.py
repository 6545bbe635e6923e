from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from study_samples import (
    LATENCY,
    RATE,
    SCORE,
    SIZE,
    make_rate_study,
    make_study,
    make_trial,
    make_wide_study,
)

from bench import study_series
from bench.rate_series import rate_sheets
from bench.studies import Objective, StudyRecord, TrialState
from bench.study_series import view_of


def two(*points: tuple[float | None, float | None], **fields: Any) -> StudyRecord:
    """Return a study of score, the more the better, and latency, the less the better."""
    trials = [
        make_trial(number, objectives=list(point), params={"adamw.lr": 0.1})
        for number, point in enumerate(points)
    ]
    return make_study(trials, objectives=[SCORE, LATENCY], **fields)


# Order, history and front


def test_trials_are_ordered_by_state_and_value() -> None:
    study = make_study(
        [
            make_trial(0, 0.5),
            make_trial(1, state=TrialState.FAILED),
            make_trial(2, 0.9, state=TrialState.PRUNED),
            make_trial(3, 0.7),
            make_trial(4, state=TrialState.WAITING),
            make_trial(5, 0.7),
            make_trial(6, 0.2, state=TrialState.RUNNING),
            make_trial(7, None, objectives=[math.inf]),
        ]
    )
    view = view_of(study)
    assert [trial.number for trial in view.ranked] == [3, 5, 0, 7, 2, 6, 4, 1]
    assert view.history == ((0, 0.5), (3, 0.7), (5, 0.7))
    assert view.best == 0.7
    assert [trial.number for trial in view.front] == [3]
    assert view.values == {0: 0.5, 2: 0.9, 3: 0.7, 5: 0.7, 6: 0.2}


def test_an_objective_of_which_less_is_better_turns_the_order() -> None:
    trials = [make_trial(n, objectives=[value]) for n, value in enumerate((3.0, 1.0, 2.0))]
    view = view_of(make_study(trials, objectives=[LATENCY]))
    assert [trial.number for trial in view.ranked] == [1, 2, 0]
    assert view.history == ((0, 3.0), (1, 1.0), (2, 1.0))
    assert view.winner is view.front[0]
    assert view.label == "latency (ms)"


def test_what_is_pruned_has_the_score_of_the_last_rung() -> None:
    trial = make_trial(0, None, state=TrialState.PRUNED, scores={1: 0.2, 9: 0.4, 3: 0.3})
    assert view_of(make_study([trial])).values == {0: 0.4}
    only = make_study([trial], objectives=[LATENCY])
    assert view_of(only).values == {}


def test_the_front_holds_what_no_other_beats_in_everything() -> None:
    study = two((0.9, 5.0), (0.8, 1.0), (0.8, 2.0), (0.7, 1.0), (0.85, 4.0), (0.9, 5.0))
    assert [trial.number for trial in view_of(study).front] == [0, 5, 4, 1]
    assert view_of(study).winner is None


def test_a_value_that_is_not_finite_is_on_no_front() -> None:
    study = two((0.9, math.inf), (0.5, 2.0), (None, 1.0), (math.nan, 0.5))
    assert [trial.number for trial in view_of(study).front] == [1]


def test_the_winner_is_the_studys_own_or_the_best_so_far() -> None:
    study = make_study([make_trial(0, 0.5), make_trial(1, 0.7)])
    best = view_of(study).winner
    assert best is not None
    assert best.number == 1
    chosen = view_of(dataclasses.replace(study, best=[0])).winner
    assert chosen is not None
    assert chosen.number == 0
    assert view_of(make_study([make_trial(0, state=TrialState.FAILED)])).winner is None


def test_causes_are_counted_and_the_most_frequent_comes_first() -> None:
    errors = ["oom", "diverged", None, "diverged", "two\nlines"]
    trials = [make_trial(n, state=TrialState.FAILED, error=e) for n, e in enumerate(errors)]
    causes = view_of(make_study(trials)).causes
    assert causes[0] == ("diverged", 2)
    assert {*causes[1:]} == {("oom", 1), ("no cause was recorded", 1), ("two lines", 1)}


# The expected best


def random_study(count: int = 12, **fields: Any) -> StudyRecord:
    trials = [make_trial(number, 0.5 + number / 100) for number in range(count)]
    return make_study(trials, **{"sampler": "random", **fields})


def test_the_expected_best_is_that_of_random_trials_without_the_defaults() -> None:
    expected = view_of(random_study()).expected
    assert expected.trials == len(expected.curve) == 11
    assert expected.curve[-1].mean == pytest.approx(0.61)
    assert expected.curve[0].mean == pytest.approx(sum(0.5 + n / 100 for n in range(1, 12)) / 11)


def test_failed_random_trials_count_and_those_under_way_do_not() -> None:
    study = random_study()
    more = [make_trial(12, state=TrialState.FAILED), make_trial(13, 0.9, state=TrialState.RUNNING)]
    expected = view_of(dataclasses.replace(study, trials=[*study.trials, *more])).expected
    assert (expected.trials, expected.failed) == (12, 1)
    assert "1 failed and count" in expected.reason
    assert expected.curve[0].mean < view_of(study).expected.curve[0].mean


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sampler": "tpe"}, "trials of `tpe` are no independent draws"),
        ({"sampler": "grid"}, "--sampler random"),
        ({"objectives": [SCORE, LATENCY]}, "one objective"),
        ({"trials": [make_trial(0, 0.5)]}, "no random trial"),
        (
            {"trials": [make_trial(1, 0.5), make_trial(2, 0.1, state=TrialState.PRUNED)]},
            "pruned trials have no score",
        ),
    ],
)
def test_where_trials_are_not_exchangeable_it_says_why_not(
    fields: dict[str, Any], reason: str
) -> None:
    expected = view_of(dataclasses.replace(random_study(), **fields)).expected
    assert expected.curve == ()
    assert reason in expected.reason


def test_of_less_is_better_the_curve_falls_within_its_band() -> None:
    trials = [make_trial(n, objectives=[float(n)]) for n in range(1, 9)]
    study = make_study(trials, sampler="random:seed=1", objectives=[LATENCY])
    curve = view_of(study).expected.curve
    assert [curve[0].mean, curve[-1].mean] == [4.5, 1.0]
    assert all(0 <= each.low <= each.mean <= each.high for each in curve)


def test_a_loss_has_no_worst_value_to_count_failed_trials_as() -> None:
    trials = [make_trial(1, -0.4), make_trial(2, -0.6)]
    study = make_study(trials, sampler="random", protocol={"monitor": "log_loss"})
    view = view_of(study)
    assert view.label == "val score (−log loss)"
    assert [each.mean for each in view.expected.curve] == [pytest.approx(-0.5), -0.4]
    assert all(each.low == -math.inf and each.high <= 0 for each in view.expected.curve)
    failing = dataclasses.replace(study, trials=[*trials, make_trial(3, state=TrialState.FAILED)])
    assert "no worst value" in view_of(failing).expected.reason


def test_scores_beyond_their_bounds_are_no_error() -> None:
    study = dataclasses.replace(random_study(), trials=[make_trial(n, 5.0 + n) for n in range(4)])
    assert view_of(study).expected.curve[-1].mean == 8.0


# Axes and words


def test_an_axis_holds_defaults_that_lie_outside_what_is_searched() -> None:
    space = {"a.lr": RATE, "protocol.batch_size": SIZE}
    trials = [
        make_trial(0, 0.5, params={"a.lr": 0.5, "protocol.batch_size": 100}),
        make_trial(1, 0.5, params={"a.lr": 1e-3, "protocol.batch_size": 32}),
    ]
    rate, size = view_of(make_study(trials, space=space)).axes
    assert (rate.low, rate.high) == (1e-5, 0.5)
    assert rate.fraction(trials[0].params) == 1
    assert rate.fraction({"a.lr": 1e-5}) == 0
    assert size.choices == ("32", "64", "128", "100")
    assert size.place(trials[0].params) == 3
    assert size.place({}) is None
    assert rate.place({"a.lr": 0.0}) is None
    assert rate.place({"a.lr": None}) is None


def test_an_axis_of_one_value_has_its_trials_in_the_middle() -> None:
    space = {"x": {"kind": "int", "low": 3, "high": 3}, "y": {"kind": "choice", "choices": ["a"]}}
    x, y = view_of(make_study([make_trial(0, 0.5, params={"x": 3, "y": "a"})], space=space)).axes
    assert x.fraction({"x": 3}) == y.fraction({"y": "a"}) == 0.5


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (RATE, "1e-05 to 0.1 logarithmic"),
        ({"kind": "int", "low": 1, "high": 9, "step": 2}, "1 to 9 in steps of 2"),
        ({"kind": "int", "low": 1, "high": 9, "step": 1}, "1 to 9"),
        (SIZE, "32, 64, 128"),
        ({**SIZE, "condition": "x=y"}, "32, 64, 128 if x=y"),
        ({"kind": "choice", "choices": [True, None, "a", [0.9, 1]]}, "true, null, a, [0.9,1]"),
    ],
)
def test_what_is_searched_is_said_in_a_line(space: dict[str, Any], said: str) -> None:
    assert study_series.spoken_space(space) == said


def test_objectives_are_named_with_their_units() -> None:
    names = ("score", "latency_ms", "train_seconds", "parameters")
    study = make_study()
    said = [study_series.objective_label(study, Objective(name, False)) for name in names]
    assert said == ["val score", "latency (ms)", "train (s)", "parameters"]


# Learning rates of several studies


def test_a_dataset_has_one_sheet_with_a_curve_for_each_optimizer() -> None:
    studies = [
        make_rate_study([1e-3, 1e-2], optimizer="adamw"),
        make_rate_study([1e-1], optimizer="momentum", name="m"),
        make_rate_study([1e-1], optimizer="momentum", name="other", model="big"),
        make_rate_study([1e-1], optimizer="lion", name="third", dataset="digits"),
        make_study([make_trial(0, 0.5)], space={"net.depth": {"kind": "int"}}, name="no rate"),
        make_study(name="nothing yet"),
    ]
    shapes, digits = rate_sheets(studies)
    assert (shapes.title, digits.title) == ("shapes", "digits")
    assert shapes.optimizers == ("adamw", "momentum")
    assert [panel.title for panel in shapes.panels] == ["net", "big"]
    adamw, momentum = shapes.panels[0].curves
    assert adamw.points == ((1e-3, pytest.approx(0.8)), (1e-2, 0.9))
    assert adamw.default == adamw.points[0]
    assert momentum.points == ((0.1, 0.8),)
    assert adamw.alone


def test_studies_of_two_protocols_stand_in_panels_of_their_own() -> None:
    studies = [
        make_rate_study([1e-3], protocol={"epochs": epochs}, name=f"e{epochs}") for epochs in (5, 9)
    ]
    (sheet,) = rate_sheets(studies)
    assert [panel.title for panel in sheet.panels] == ["net, epochs 5", "net, epochs 9"]


def test_what_failed_is_kept_by_its_rate_and_two_studies_of_a_cell_are_one_curve() -> None:
    wide = [make_wide_study(20, seed=seed, name=str(seed)) for seed in (0, 1)]
    (sheet,) = rate_sheets(wide)
    ((curve,),) = [panel.curves for panel in sheet.panels]
    states = [trial.state for study in wide for trial in study.trials]
    assert len(curve.failed) == states.count(TrialState.FAILED) > 0
    assert len(curve.points) == states.count(TrialState.COMPLETE)
    assert [*curve.points] == sorted(curve.points)
    assert not curve.alone
