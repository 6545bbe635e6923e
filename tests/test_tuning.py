"""Studies from end to end: real runs in real workers, on a set of a few dozen images."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done, Watcher

import bench_local.pool
from bench import leaderboard, studies, tables
from bench.api import Result
from bench.errors import BenchError, ConfigError, UsageError
from bench.records import Purpose, RunRecord
from bench.store import Store
from bench.studies import StudyRecord, TrialState

Experiment = Callable[..., Result]
RATES = {"space": {"adamw.lr": "1e-4..1e-1 log"}, "search": ["adamw.lr"], "sampler": "random"}
"""One param, and trials that depend on nothing but their number."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def trials_of(store: Store) -> list[RunRecord]:
    return [record for record in store.records() if record.spec.purpose is Purpose.TRIAL]


def only_study(result: Result) -> StudyRecord:
    [study] = result.studies
    return study


def outcome(study: StudyRecord) -> list[Any]:
    """Return what came of a study, without what depends on the clock."""
    return [(t.number, t.state, dict(t.params), dict(t.scores)) for t in study.trials]


def test_the_tuned_row_stands_beside_the_default_one(experiment: Experiment, store: Store) -> None:
    result = experiment(tune="4", seeds=2, **RATES)
    study = only_study(result)
    assert study.over
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert study.trials[0].overrides == {}
    assert study.trials[0].params == {"adamw.lr": 0.002}
    best = max(study.trials, key=lambda trial: (trial.objectives[0], -trial.number))
    assert study.best == [best.number]
    rows = {row.is_tuned: row for row in result.leaderboard.rows}
    [block] = result.leaderboard.blocks
    if best.number == 0:  # nothing was trained a second time
        assert [*rows] == [False]
    else:
        assert rows[True].optimizer_name == "adamw (tuned)"
        assert rows[False].optimizer_name == "adamw"
        assert rows[True].seeds == rows[False].seeds == 2
        tuning = rows[True].tuning
        assert tuning is not None
        assert (tuning.trials, tuning.failed, tuning.pruned, tuning.epochs) == (4, 0, 0, 8)
        assert tuning.seconds == pytest.approx(study.seconds)
        plain = rows[True].to_dict()
        assert (plain["tuned"], plain["trials"], plain["tuning"]["budget"]) == (
            *(True, 4),
            "4 trials",
        )
        assert tables.headings(block)["tuning"] == "tuning"
        assert tables.cells(rows[True])["tuning"].startswith("4 trials, 8 epochs, ")
        assert tables.cells(rows[False])["tuning"] == "default"
        assert "tuned,True" not in tables.to_csv(result.leaderboard)
    stored = json.loads((store.root / "leaderboard.json").read_text())
    assert [row["tuned"] for row in stored["rows"]] == [r.is_tuned for r in result.leaderboard.rows]


def test_trials_see_val_alone_and_finals_have_fresh_seeds(
    experiment: Experiment, store: Store
) -> None:
    result = experiment(tune="3", seeds=2, **RATES)
    trials = trials_of(store)
    assert len(trials) == 3
    for record in trials:
        assert set(record.metrics) == {"val"}
        with np.load(store.folder(record.id) / "predictions.npz") as arrays:
            assert arrays.files
            assert not [name for name in arrays.files if name.startswith("test")]
        assert not (store.folder(record.id) / "model.safetensors").exists()
    finals = [record.spec.seed for record in result.records]
    assert {*finals} == {0, 1}
    assert not {*finals} & {record.spec.seed for record in trials}
    assert {record.spec.key["dataset"]["fingerprint"] for record in trials} == {
        record.spec.key["dataset"]["fingerprint"] for record in result.records
    }


def test_a_command_that_is_repeated_starts_nothing(
    experiment: Experiment, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = experiment(tune="3", **RATES)

    def refuse(*arguments: Any) -> None:
        pytest.fail("a worker pool was started")

    monkeypatch.setattr(bench_local.pool, "Pool", refuse)
    watcher.messages.clear()
    again = experiment(tune="3", **RATES)
    assert watcher.messages == []
    assert again.leaderboard.to_dict() == first.leaderboard.to_dict()
    assert [study.to_dict() for study in again.studies] == [s.to_dict() for s in first.studies]


def test_a_larger_budget_goes_on_with_the_study(experiment: Experiment, store: Store) -> None:
    first = only_study(experiment(tune="3", **RATES))
    then = only_study(experiment(tune="5", **RATES))
    assert then.id == first.id
    assert outcome(then)[:3] == outcome(first)
    assert len(then.trials) == 5
    assert [trial.runs for trial in then.trials[:3]] == [trial.runs for trial in first.trials]
    # The row of an earlier winner gives way to that of the later one.
    board = experiment(tune="5", **RATES).leaderboard
    assert sum(row.is_tuned for row in board.rows) == (then.best != [0])


def test_every_cell_has_the_same_budget_and_its_own_space(
    experiment: Experiment, store: Store
) -> None:
    result = experiment(
        "tiny", optimizers="adamw,momentum", tune="3", sampler="random", search="optimizer"
    )
    spaces = {study.optimizer: {*study.space} for study in result.studies}
    assert all(len(study.trials) == 3 for study in result.studies)
    assert spaces["adamw"] == {f"adamw.{p}" for p in ("lr", "weight_decay", "beta1", "beta2")}
    assert spaces["momentum"] == {f"momentum.{p}" for p in ("lr", "momentum", "weight_decay")}
    assert all(
        {*trial.params} == spaces[study.optimizer]
        for study in result.studies
        for trial in study.trials
    )


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("random", "halving"),
        ("grid", "none"),
        pytest.param("random", "none", marks=pytest.mark.slow),
        pytest.param("grid", "halving", marks=pytest.mark.slow),
    ],
)
def test_the_number_of_workers_changes_no_search(
    experiment: Experiment, tmp_path: Path, sampler: str, pruner: str
) -> None:
    values = {**RATES, "sampler": sampler, "pruner": pruner, "tune": "6", "epochs": 4}
    alone = experiment(**values, deterministic=True, results=tmp_path / "a")
    many = experiment(**values, deterministic=True, workers=3, results=tmp_path / "b")
    assert outcome(only_study(alone)) == outcome(only_study(many))
    assert only_study(alone).best == only_study(many).best


def test_halving_pauses_trials_and_goes_on_with_the_best(
    experiment: Experiment, store: Store
) -> None:
    values = {**RATES, "tune": "9", "epochs": 9, "deterministic": True}
    study = only_study(experiment(**values, pruner="halving"))
    reached = Counter(max(trial.scores) for trial in study.trials)
    assert reached == {1: 6, 3: 2, 9: 1}
    assert study.count(TrialState.PRUNED) == 8
    assert study.epochs == 9 + 3 * 2 + 1 * 6
    for rung, following in ((1, 3), (3, 9)):
        passed = [t.scores[rung] for t in study.trials if following in t.scores]
        stopped = [t.scores[rung] for t in study.trials if max(t.scores) == rung]
        assert min(passed) >= max(stopped)
    # The one that was paused twice has come to what it would have come to in one go.
    [winner] = [t for t in study.trials if t.state is TrialState.COMPLETE]
    [run] = winner.runs
    rungs = {record.spec.until for record in trials_of(store) if record.spec.whole_id == run}
    assert rungs == {1, 3, None}
    whole = only_study(experiment(**values, results=store.root.parent / "whole"))
    assert winner.objectives == whole.trials[winner.number].objectives
    assert not [*store.runs.glob("*/checkpoint.pt")], "nobody goes on with these"


def test_a_pruner_of_optunas_ends_trials_below_the_median(experiment: Experiment) -> None:
    study = only_study(
        experiment(**RATES, tune="10", epochs=4, pruner="median:n_startup_trials=3", seeds=1)
    )
    assert study.count(TrialState.PRUNED) > 0
    assert study.count(TrialState.PRUNED) + study.count(TrialState.COMPLETE) == 10
    assert all(t.epochs < 4 for t in study.trials if t.state is TrialState.PRUNED)


def test_several_seeds_a_trial_count_by_their_mean(experiment: Experiment, store: Store) -> None:
    study = only_study(experiment(tune="2", tune_seeds=3, **RATES))
    for trial in study.trials:
        records = [store.read(run) for run in trial.runs]
        scores = [record.metrics["val"]["accuracy"] for record in records if record]
        assert len({record.spec.seed for record in records if record}) == 3
        assert trial.objectives == [pytest.approx(sum(scores) / 3)]
        assert trial.epochs == 3 * 2


def test_a_budget_of_epochs_or_of_time_is_kept(experiment: Experiment, tmp_path: Path) -> None:
    epochs = only_study(experiment(tune="7epochs", **RATES))
    assert (len(epochs.trials), epochs.epochs, epochs.budget) == (3, 6, "7 epochs")
    timed = only_study(experiment(tune="1s", **RATES, results=tmp_path / "timed"))
    assert timed.seconds >= 1
    assert timed.seconds - timed.trials[-1].seconds < 1


def test_protocol_fields_are_searched_within_the_block(experiment: Experiment) -> None:
    result = experiment(
        tune="4", sampler="random", search="protocol.batch_size", space={"adamw.lr": [0.05]}
    )
    [block] = result.leaderboard.blocks
    study = only_study(result)
    assert len({trial.params["protocol.batch_size"] for trial in study.trials}) > 1
    for row in block.rows:
        assert row.protocol["batch_size"] == (
            study.trials[study.best[0]].params["protocol.batch_size"]
            if row.is_tuned
            else row.protocol["batch_size"]
        )


# Several objectives


def test_the_pareto_front_is_trained_and_shown(experiment: Experiment) -> None:
    result = experiment(
        "cnn",
        tune="6",
        objectives="score,parameters",
        sampler="random",
        search="cnn.filters,cnn.dense",
        epochs=1,
    )
    study = only_study(result)
    values = {trial.number: trial.objectives for trial in study.trials}
    for number, (score, size) in values.items():
        beaten = any(
            (s >= score and p <= size) and (s > score or p < size) for s, p in values.values()
        )
        assert (number in study.best) is not beaten
    tuned = [row for row in result.leaderboard.rows if row.is_tuned]
    assert len(tuned) == len([number for number in study.best if number])
    for row in tuned:
        assert row.tuning is not None
        assert row.tuning.on_front
        assert row.parameters == values[row.tuning.trial][1]


# Failures and bad input


def test_infinite_losses_are_failures_and_never_the_best(experiment: Experiment) -> None:
    result = experiment(tune="4", search="adamw.lr", space={"adamw.lr": [1e30, 0.01]})
    study = only_study(result)
    failed = [trial for trial in study.trials if trial.params["adamw.lr"] == 1e30]
    assert failed
    assert all(trial.state is TrialState.FAILED for trial in failed)
    assert all(str(trial.error).startswith("diverged: ") for trial in failed)
    assert not {*study.best} & {trial.number for trial in failed}
    [tuning] = [row.tuning for row in result.leaderboard.rows if row.tuning]
    assert tuning.failed == len(failed)


def test_a_study_all_of_whose_trials_fail_is_given_up_in_one_line(
    experiment: Experiment, watcher: Watcher, cli: Callable[..., Done], tmp_path: Path
) -> None:
    # The default fails as well, or it would be the best.
    broken = {"set": {"adamw.weight_decay": 1e30}, "space": {"adamw.lr": [1e29, 1e30]}}
    result = experiment(tune="9", search="adamw.lr", **broken)
    study = only_study(result)
    assert [trial.state for trial in study.trials] == [TrialState.FAILED] * 5
    assert result.fruitless == [study]
    [line] = [text for text in watcher.messages if "every trial failed" in text]
    assert "5 trials" in line
    assert "diverged" in line


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"search": "adamv"}, "adamv"),
        ({"space": {"adamw.lt": "0.1..1"}}, "adamw"),
        ({"space": {"adamw.lr": "1..0.1"}}, "adamw.lr"),
        ({"sampler": "tpee"}, "tpe"),
        ({"pruner": "halvin"}, "halving"),
        ({"pruner": "halving:eat=3"}, "did you mean `eta`"),
        ({"objectives": "accurracy"}, "there is no objective `accurracy`"),
        ({"objectives": "score,latency_ms", "workers": 2}, "leave `--workers` out"),
        ({"objectives": "score,parameters", "pruner": "halving"}, "leave one of the two out"),
        ({"objectives": "score,parameters", "sampler": "cmaes"}, "cmaes"),
        ({"tune": "1 epoch"}, "one trial takes 2 (2 epochs, 1 seed)"),
        ({"tune": "30s", "sampler": "grid"}, "in trials or epochs"),
        ({"storage": "postgres//nobody"}, "postgres//nobody"),
        ({"storage": "sqlite:////nowhere/at/all.db"}, "/nowhere/at/all.db"),
        ({"storage": "redis://nobody"}, "no database of kind `redis`"),
        ({"pruner": "halving:first=2"}, "no rung at which trials could end before 2 epochs"),
    ],
)
def test_bad_input_is_one_line_before_any_work(
    experiment: Experiment, watcher: Watcher, store: Store, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(BenchError) as caught:
        experiment(**{"tune": "3", **values})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert watcher.started == []
    assert not [text for text in watcher.messages if text.startswith("starting workers")]


@pytest.mark.parametrize("storage", ["foo", "redis://nobody", "postgresql+pysgopc://a/b"])
def test_what_can_be_no_storage_is_refused_with_the_plan(
    experiment: Experiment, cli: Callable[..., Done], store: Store, storage: str
) -> None:
    words = ("run", "--models", "tiny", "--tune", 3, "--search", "adamw", "--storage", storage)
    done = cli(*words, "--results", store.root, "--plan")
    assert (done.code, done.out) == (2, "")
    assert storage in done.err
    assert done.err.count("\n") == 1
    # A study that is finished needs no storage; a wrong word is wrong all the same.
    experiment(tune="2", **RATES)
    with pytest.raises(UsageError, match=re.escape(storage)):
        experiment(tune="2", **RATES, storage=storage)


def test_a_loss_is_not_told_in_percent(experiment: Experiment, watcher: Watcher) -> None:
    study = only_study(experiment(tune="2", **RATES, monitor="log_loss"))
    [line] = [text for text in watcher.messages if " in 2 trials" in text or "best of 2" in text]
    score = max(trial.objectives[0] for trial in study.trials)
    assert f"val {-score:.4f}" in line
    assert "%" not in line


def test_tuned_rows_of_a_grid_say_what_was_asked_for(experiment: Experiment, store: Store) -> None:
    result = experiment(
        tune="4", **RATES, set={"adamw.weight_decay": [0.0, 0.1]}, study="grid", epochs=1
    )
    names = {row.optimizer_name for row in result.leaderboard.rows}
    tuned = {name for name in names if name.endswith(", tuned)")}
    assert tuned <= {"adamw (weight_decay=0.0, tuned)", "adamw (weight_decay=0.1, tuned)"}
    assert len(tuned) == sum(study.best != [0] for study in result.studies)
    assert {study.label for study in result.studies} == {"grid"}


def test_what_a_lost_study_has_cost_is_not_told_as_nothing(
    experiment: Experiment, store: Store
) -> None:
    study = only_study(
        experiment(tune="2", search="adamw.lr", space={"adamw.lr": [0.02]}, epochs=3)
    )
    assert study.best == [1]
    (studies.folder_of(store.root) / f"{study.id}.json").unlink()
    board = leaderboard.build(store.records(), store)
    [row] = [row for row in board.rows if row.is_tuned]
    assert tables.cells(row)["tuning"] == "its study is lost"
    columns = [*csv.DictReader(io.StringIO(tables.to_csv(board)))]
    assert {line["trials"] for line in columns if line["tuned"] == "True"} == {""}


def test_a_default_that_is_no_choice_asks_for_nothing(experiment: Experiment) -> None:
    study = only_study(
        experiment(
            tune="2",
            sampler="random",
            search="schedule",
            space={"protocol.schedule": ["cosine", "step"]},
        )
    )
    assert study.trials[0].params["protocol.schedule"] == "one-cycle"
    assert not {name for name in study.trials[0].params if name.startswith(("cosine", "step"))}


def test_what_goes_with_tune_does_nothing_without_it(cli: Callable[..., Done]) -> None:
    done = cli("run", "--models", "tiny", "--sampler", "random")
    assert (done.code, done.err) == (
        2,
        "error: the command line: `sampler` does nothing here; it goes with `--tune N`\n",
    )


def test_another_space_is_refused_and_another_study_is_not(
    experiment: Experiment, watcher: Watcher
) -> None:
    first = experiment(tune="2", **RATES)
    watcher.messages.clear()
    other = {**RATES, "space": {"adamw.lr": "1e-3..1e-2 log"}}
    with pytest.raises(ConfigError) as caught:
        experiment(tune="3", **other)
    assert "adamw.lr" in str(caught.value)
    assert "--study" in str(caught.value)
    assert watcher.messages == [], "no worker was started"
    assert "\n" not in str(caught.value)
    second = experiment(tune="2", study="narrow", **other)
    assert only_study(second).id != only_study(first).id


def test_another_space_is_refused_where_the_study_is_done_too(experiment: Experiment) -> None:
    experiment(tune="2", **RATES)
    other = {**RATES, "space": {"adamw.lr": "1e-3..1e-2 log"}}
    with pytest.raises(ConfigError, match="--study"):
        experiment(tune="2", **other)


def test_fewer_seeds_than_before_show_so_many_of_the_tuned_too(experiment: Experiment) -> None:
    # A smaller network is on the front, whatever its score.
    values = {"tune": "2", "objectives": "score,parameters", "space": {"cnn.filters": [4]}}
    values |= {"search": "cnn.filters", "sampler": "random", "epochs": 1}
    assert 1 in only_study(experiment("cnn", **values, seeds=2)).best
    fewer = experiment("cnn", **values, seeds=1)
    assert {record.spec.seed for record in fewer.records} == {0}
    assert {row.seeds for row in experiment("cnn", **values, seeds=2).leaderboard.rows} == {2}


def test_values_that_do_not_go_together_are_refused_before_any_work(
    experiment: Experiment, watcher: Watcher
) -> None:
    with pytest.raises(UsageError, match="`warmup` takes 3 epochs and a run has 2; give less"):
        experiment(tune="6", search="protocol.warmup", space={"protocol.warmup": [0, 3]}, epochs=2)
    assert watcher.started == []


def test_a_timeout_is_a_failed_trial(experiment: Experiment, store: Store) -> None:
    # By default it sleeps for a minute in each step.
    result = experiment(
        "sleeps", tune="2", timeout=6, space={"sleeps.seconds": [0.0]}, search="sleeps.seconds"
    )
    default, other = only_study(result).trials
    assert default.state is TrialState.FAILED
    assert str(default.error).startswith("timeout: ")
    assert other.state is TrialState.COMPLETE
    assert {row.is_tuned: [*row.errors] == [] for row in result.leaderboard.rows} == {
        True: True,
        False: False,
    }


def test_a_broken_study_file_is_named_and_the_rest_reads(
    experiment: Experiment, store: Store
) -> None:
    experiment(tune="2", **RATES)
    (studies.folder_of(store.root) / "0123456789ab.json").write_text('{"schema": 1')
    found, [warning] = studies.read_all(store.root)
    assert len(found) == 1
    assert "0123456789ab.json" in warning


def test_a_plan_says_what_tuning_takes_and_imports_no_torch(cli: Callable[..., Done]) -> None:
    done = cli("run", "--models", "cnn", "--datasets", "digits", "--tune", "20", "--plan")
    assert done.code == 0
    assert "tuning with 20 trials takes up to about" in done.out


def test_usage_errors_are_those_of_the_command_line() -> None:
    assert issubclass(ConfigError, UsageError)
