from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from study_samples import DECAY, RATE, make_study, make_trial, make_wide_study

from bench.importance import MIN_TRIALS, Importances, importances
from bench.studies import StudyRecord, TrialState
from bench.study_series import view_of

SPACE = {"adamw.lr": RATE, "adamw.decay": DECAY}


def searched(count: int = 30, seed: int = 0, **spaces: Any) -> StudyRecord:
    """Return a study in which the learning rate decides nearly all, and decay nothing."""
    generator = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        exponent = generator.uniform(-5, -1)
        params = {"adamw.lr": 10**exponent, "adamw.decay": generator.uniform(0, 0.3)}
        trials.append(make_trial(number, 0.9 - 0.05 * (exponent + 3) ** 2, params=params))
    return make_study(trials, space={**SPACE, **spaces})


def found(study: StudyRecord, **options: Any) -> Importances:
    return importances(study, view_of(study).values, **options)


def test_what_decides_has_the_largest_share_and_shares_add_up_to_one() -> None:
    result = found(searched())
    assert [*result.shares] == ["adamw.lr", "adamw.decay"]
    assert result.shares["adamw.lr"] > 0.8
    assert sum(result.shares.values()) == pytest.approx(1)
    assert "30 complete trials" in result.reason


def test_they_are_those_of_optuna_on_the_scale_that_was_searched() -> None:
    study = searched()
    own = optuna.create_study(direction="maximize")
    for trial in study.trials:
        rate, decay = trial.params["adamw.lr"], trial.params["adamw.decay"]
        own.add_trial(
            optuna.trial.create_trial(
                params={"a": math.log(rate), "b": decay},
                distributions={
                    "a": optuna.distributions.FloatDistribution(math.log(1e-5), math.log(1e-1)),
                    "b": optuna.distributions.FloatDistribution(0.0, 0.3),
                },
                value=trial.objectives[0],
            )
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=3)
    expected = optuna.importance.get_param_importances(own, evaluator=evaluator)
    shares = found(study, seed=3).shares
    assert shares["adamw.lr"] == pytest.approx(expected["a"])
    assert shares["adamw.decay"] == pytest.approx(expected["b"])


def test_the_same_seed_gives_the_same_shares_and_another_others() -> None:
    study = searched()
    assert found(study, seed=1) == found(study, seed=1)
    assert found(study, seed=1).shares != found(study, seed=2).shares


def test_a_minimized_objective_has_the_same_shares() -> None:
    study = searched()
    values = view_of(study).values
    turned = {number: -value for number, value in values.items()}
    expected = importances(study, values).shares
    assert importances(study, turned).shares == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 1, MIN_TRIALS - 1])
def test_of_few_trials_it_says_that_they_are_few(count: int) -> None:
    result = found(searched(count))
    assert result.shares == {}
    assert result.reason.startswith(f"{count} complete trial")
    assert str(MIN_TRIALS) in result.reason


def test_failed_pruned_and_infinite_trials_do_not_count() -> None:
    study = searched()
    params = study.trials[0].params
    others = [
        make_trial(30, state=TrialState.FAILED, params=params),
        make_trial(31, 0.1, state=TrialState.PRUNED, params=params),
        make_trial(32, None, params=params, objectives=[math.inf]),
        make_trial(33, None, params=params, objectives=[None]),
        make_trial(34, state=TrialState.RUNNING, params=params),
    ]
    more = dataclasses.replace(study, trials=[*study.trials, *others])
    assert found(more) == found(study)


def test_infinite_values_given_directly_do_not_count_either() -> None:
    study = searched()
    values = {**view_of(study).values, 4: math.inf, 5: math.nan}
    assert "28 complete trials" in importances(study, values).reason


def test_a_param_with_a_single_value_has_no_share() -> None:
    study = searched(fixed={"kind": "choice", "choices": [7]}, narrow={**DECAY, "high": 0.0})
    trials = [
        dataclasses.replace(trial, params={**trial.params, "fixed": 7, "narrow": 0.0})
        for trial in study.trials
    ]
    shares = found(dataclasses.replace(study, trials=trials)).shares
    assert shares["fixed"] == shares["narrow"] == 0
    assert shares["adamw.lr"] == pytest.approx(found(study).shares["adamw.lr"])


def test_where_nothing_varies_there_is_nothing_to_tell() -> None:
    study = searched()
    same = [dataclasses.replace(t, params=study.trials[0].params) for t in study.trials]
    assert found(dataclasses.replace(study, trials=same)).reason == "no param varied"
    level = [dataclasses.replace(t, objectives=[0.5]) for t in study.trials]
    result = found(dataclasses.replace(study, trials=level))
    assert (result.shares, result.reason) == ({}, "all trials have the same value")


def test_values_that_hardly_differ_are_no_error() -> None:
    study = searched(12)
    level = [
        dataclasses.replace(t, objectives=[1e-200 if t.number else 2e-200]) for t in study.trials
    ]
    result = found(dataclasses.replace(study, trials=level))
    assert result.shares == {}
    assert "hardly differ" in result.reason


def test_a_conditional_param_and_defaults_outside_the_space_take_part() -> None:
    study = searched(
        kind={"kind": "choice", "choices": ["a", "b"]},
        power={**RATE, "condition": "if kind is b"},
    )
    trials = []
    for trial in study.trials:
        kind = "ab"[trial.number % 2]
        params = {**trial.params, "kind": kind, **({"power": 1e-3} if kind == "b" else {})}
        score = trial.objectives[0] - (0.3 if kind == "b" else 0.0)
        trials.append(dataclasses.replace(trial, params=params, objectives=[score]))
    odd = {"adamw.lr": 5.0, "adamw.decay": None, "kind": "c"}
    trials[0] = dataclasses.replace(trials[0], params=odd)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares = found(dataclasses.replace(study, trials=trials)).shares
    assert {*shares} == {"adamw.lr", "adamw.decay", "kind", "power"}
    assert shares["kind"] > shares["adamw.decay"]


def test_a_condition_that_varies_is_not_left_out() -> None:
    study = make_wide_study(40)
    shares = found(study).shares
    assert {*shares} == {*study.space}
    assert shares["cosine.final"] > 0
    assert next(iter(shares)) == "adamw.lr"


def test_choices_may_be_lists_and_names_may_be_anything() -> None:
    study = make_wide_study(40)
    assert "adamw.betas" in found(study).shares
    hostile = "$x$\n<b>"
    trials = [
        dataclasses.replace(t, params={hostile: t.params["adamw.lr"]})
        for t in study.trials
        if "adamw.lr" in t.params
    ]
    renamed = dataclasses.replace(study, trials=trials, space={hostile: RATE})
    assert found(renamed).shares == {hostile: 1.0}


def test_optuna_is_not_heard(capsys: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    found(searched())
    assert capsys.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before
