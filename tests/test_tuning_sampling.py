from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from study_processes import SCORE, open_study

from bench.errors import ConfigError, UsageError
from bench.studies import Objective, TrialState
from bench.tuning.sampling import check_sampler, is_grid, make_pruner, make_sampler, nearest

TWO = (*SCORE, Objective("latency_ms", False))


def nothing(_: int) -> None:
    return None


def suggest(trial: Any) -> dict[str, Any]:
    """Ask as a space does: ranges, a choice, and a param that only some trials have."""
    found = {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "filters": trial.suggest_int("filters", 16, 64, step=16),
        "norm": trial.suggest_categorical("norm", ["batch", "none"]),
    }
    if found["norm"] == "batch":
        found["eps"] = trial.suggest_float("eps", 1e-8, 1e-3, log=True)
    return found


def numbers_alone(trial: Any) -> None:
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_float("momentum", 0.0, 0.99)


def choices_alone(trial: Any) -> None:
    trial.suggest_categorical("norm", ["batch", "none"])
    trial.suggest_int("filters", 16, 64, step=16)


def searched(results: Path, text: str, count: int, openings: int = 1, **values: Any) -> list[Any]:
    """Return the params of trials of a study that was opened several times."""
    objectives = values.pop("objectives", SCORE)
    for _ in range(openings):
        sampler = make_sampler(text, 7, objectives, values.get("fixed", nothing))
        with open_study(None, results, sampler=sampler, name=text, objectives=objectives) as study:
            for _ in range(count // openings):
                trial = study.create()
                found = suggest(trial)
                scores = [-abs(math.log10(found["lr"]) + 2), 1.0]
                study.finish(trial.number, TrialState.COMPLETE, scores[: len(objectives)])
            trials = study.trials()
    return [trial.params for trial in trials]


@pytest.mark.parametrize(
    "text",
    [
        *("tpe", "random", "tpe:multivariate=true", "nsgaii:population_size=4", "qmc"),
        pytest.param("gp", marks=pytest.mark.slow),
    ],
)
def test_a_study_that_is_opened_again_goes_on_as_it_would_have(text: str, tmp_path: Path) -> None:
    count = 12 if text == "gp" else 24
    once = searched(tmp_path / "once", text, count)
    assert once == searched(tmp_path / "thrice", text, count, openings=3)
    # A population's children may be like their parents.
    assert len({str(params) for params in once}) >= count - 8 * text.startswith("nsgaii")
    assert {params["filters"] for params in once} == {16, 32, 48, 64}


def test_the_seed_and_the_number_make_a_random_trial(tmp_path: Path) -> None:
    order = {}
    for name, numbers in (("forth", [0, 1, 2, 3]), ("back", [3, 2, 1, 0])):
        sampler = make_sampler("random", 0, SCORE, nothing)
        with open_study(None, tmp_path, sampler=sampler, name=name) as study:
            for _ in numbers:
                study.create()
            # Whoever takes up a trial, and in whichever order: it is given the same.
            order[name] = {number: suggest(study.open_trial(number)) for number in numbers}
    assert order["forth"] == order["back"]
    other = make_sampler("random", 1, SCORE, nothing)
    with open_study(None, tmp_path, sampler=other, name="other") as study:
        assert suggest(study.create()) != order["forth"][0]


def test_tpe_comes_nearer_than_chance(tmp_path: Path) -> None:
    late = {
        text: [abs(math.log10(params["lr"]) + 2) for params in searched(tmp_path, text, 40)[20:]]
        for text in ("tpe", "random")
    }
    assert sorted(late["tpe"])[10] < sorted(late["random"])[10] / 2


@pytest.mark.parametrize("text", ["tpe", "grid", "nsgaii", "qmc", "tpe:multivariate=true", "cmaes"])
def test_trials_that_are_fixed_are_not_sampled(text: str, tmp_path: Path) -> None:
    points = {
        0: {"lr": 1.0, "filters": 39, "norm": "layer"},
        1: {"lr": 0.02, "filters": 8, "norm": "none"},
    }
    first, second, third = searched(tmp_path, text, 3, fixed=points.get)
    # In Optuna's books each is the nearest that the space has.
    assert first.items() >= {"lr": 0.1, "filters": 32, "norm": "batch"}.items()
    assert second == {"lr": 0.02, "filters": 16, "norm": "none"}
    assert third["lr"] not in (0.1, 0.02)


@pytest.mark.parametrize(
    ("value", "distribution", "expected"),
    [
        (1.0, FloatDistribution(1e-4, 1e-1, log=True), 1e-1),
        (0.0, FloatDistribution(1e-4, 1e-1, log=True), 1e-4),
        (0.27, FloatDistribution(0.0, 1.0, step=0.25), 0.25),
        (3, FloatDistribution(0.0, 10.0), 3.0),
        (17, IntDistribution(16, 64, step=16), 16),
        (100, IntDistribution(16, 48, step=16), 48),
        (-1, IntDistribution(1, 8, log=True), 1),
        (None, FloatDistribution(0.1, 1.0), 0.1),
        (True, IntDistribution(0, 8), 0),
        (50, CategoricalDistribution([16, 32, 64]), 64),
        ("layer", CategoricalDistribution(["batch", "none"]), "batch"),
        (None, CategoricalDistribution(["batch", None]), None),
        (True, CategoricalDistribution([1, True]), True),
    ],
)
def test_the_nearest_value_inside(value: Any, distribution: Any, expected: Any) -> None:
    found = nearest(value, distribution)
    assert found == expected
    assert type(found) is type(expected)
    assert distribution._contains(distribution.to_internal_repr(found))


@pytest.mark.parametrize(
    "text",
    [
        *("TPE", "TPESampler", "Random", "nsgaii", "NSGAIIISampler", "qmc", "BruteForceSampler"),
        *("GP", "cma-es", "grid", "tpe:n_startup_trials=5,constant_liar=false", "tpe:group=true"),
        *("qmc:qmc_type=halton,scramble=true", "tpe:n-ei-candidates=12", "cmaes:sigma0=1"),
    ],
)
def test_samplers_are_known_by_name(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(make_sampler(text, 0, SCORE, nothing), optuna.samplers.BaseSampler)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("tpee", "Optuna has no such sampler (did you mean `tpe`?); it has `bruteforce`, `cmaes`"),
        ("base", "Optuna has no such sampler"),
        ("tpe:n_startup=5", "there is no option `n_startup` (did you mean `n_startup_trials`?)"),
        ("tpe:seed=5", "give the seed with --study-seed"),
        ("tpe:gamma=5", "there is no option `gamma`"),
        ("tpe:n_startup_trials=many", "`n_startup_trials` is of type int, not `many`"),
        ("tpe:multivariate=3", "`multivariate` is of type bool, not `3`"),
        ("tpe:n_startup_trials=true", "`n_startup_trials` is of type int, not `True`"),
        ("tpe:group=true,multivariate=false", "``group`` option can only be enabled"),
        ("nsgaii:population_size=1", "`population_size` must be greater than or equal to 2"),
        ("grid:size=3", "there is no option `size`"),
        ("tpe:", "options are written `sampler:key=value`"),
        ("tpe:group", "options are written `sampler:key=value`"),
        ("tpe:group=true,group=true", "`group` is given twice"),
    ],
)
def test_a_wrong_sampler_is_one_line(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_sampler(text, 0, SCORE, nothing)
    assert part in str(caught.value)
    assert str(caught.value).startswith(f"--sampler `{text}`: ")
    assert "\n" not in str(caught.value)


def test_a_grid_is_told_from_the_rest() -> None:
    assert is_grid("grid")
    assert is_grid("GridSampler")
    assert not is_grid("tpe")


@pytest.mark.parametrize("text", ["tpe", "random", "grid", "nsgaii", "qmc", "tpe:group=true"])
@pytest.mark.parametrize("objectives", [SCORE, TWO])
def test_samplers_that_can_are_let_through(
    text: str, objectives: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_sampler(lambda: make_sampler(text, 0, objectives, nothing), suggest, objectives, text)
    assert capfd.readouterr() == ("", "")


def test_samplers_that_cannot_are_told_with_those_that_can() -> None:
    with pytest.raises(UsageError) as caught:
        check_sampler(
            lambda: make_sampler("bruteforce", 0, SCORE, nothing), suggest, SCORE, "bruteforce"
        )
    assert str(caught.value).startswith("the sampler `bruteforce` cannot search this: ")
    assert "step" in str(caught.value)
    assert str(caught.value).endswith("; `tpe`, `random`, `nsgaii`, `nsgaiii`, `qmc` can")
    assert "\n" not in str(caught.value)
    check_sampler(
        lambda: make_sampler("bruteforce", 0, SCORE, nothing), choices_alone, SCORE, "bruteforce"
    )


def test_cmaes_searches_one_objective() -> None:
    def check(objectives: Any) -> None:
        check_sampler(
            lambda: make_sampler("cmaes", 0, objectives, nothing),
            numbers_alone,
            objectives,
            "cmaes",
        )

    check(SCORE)
    with pytest.raises(
        UsageError, match=r"`cmaes` cannot search this: .*multi-objective"
    ) as caught:
        check(TWO)
    assert str(caught.value).endswith("; `tpe`, `random`, `nsgaii`, `nsgaiii`, `qmc` can")


def test_a_package_that_a_sampler_needs_is_named() -> None:
    # In a process of its own, as Optuna looks for the package once.
    code = (
        "import sys; sys.modules['cmaes'] = None; sys.path.insert(0, sys.argv[1])\n"
        "from test_tuning_sampling import *\n"
        "def made(): return make_sampler('cmaes', 0, SCORE, nothing)\n"
        "try: check_sampler(made, numbers_alone, SCORE, 'cmaes')\n"
        "except UsageError as error: print(error)"
    )
    command = [sys.executable, "-c", code, Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout == (
        "the sampler `cmaes` cannot search this: it needs the package `cmaes` "
        "(pip install cmaes); `tpe`, `random`, `nsgaii`, `nsgaiii`, `qmc` can\n"
    )


def test_what_is_wrong_with_the_space_is_not_put_on_the_sampler() -> None:
    def broken(trial: Any) -> None:
        trial.suggest_float("lr", 1.0, 0.0)

    def refused(_: Any) -> None:
        raise ConfigError("the space is empty")

    with pytest.raises(ValueError, match="low"):
        check_sampler(lambda: make_sampler("tpe", 0, SCORE, nothing), broken, SCORE, "tpe")
    with pytest.raises(ConfigError, match="the space is empty"):
        check_sampler(lambda: make_sampler("tpe", 0, SCORE, nothing), refused, SCORE, "tpe")


@pytest.mark.parametrize(
    "text",
    [
        *("median", "MedianPruner", "percentile:percentile=25", "patient:patience=3", "wilcoxon"),
        *("threshold:lower=0.1", "successive-halving", "median:n_warmup_steps=2"),
    ],
)
def test_pruners_are_known_by_name(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(make_pruner(text), optuna.pruners.BasePruner)


def test_no_pruner_is_none() -> None:
    assert make_pruner("none") is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("mediann", "there is no such pruner (did you mean `median`?)"),
        ("percentile", "it needs an option `percentile`; write `percentile:percentile=VALUE`"),
        ("percentile:percentile=250", "Percentile must be between 0 and 100"),
        ("threshold", "Either lower or upper must be specified"),
        ("patient:patience=3,wrapped_pruner=median", "there is no option `wrapped_pruner`"),
        ("none:x=1", "`none` has no options"),
    ],
)
def test_a_wrong_pruner_is_one_line(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_pruner(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
