from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import study_processes
from postgres import Server
from study_processes import SCORE, answers, open_study, start, suggest

from bench.errors import ConfigError, EnvironmentFailure
from bench.studies import Objective, TrialState
from bench.tuning import database, owners
from bench.tuning.sampling import make_pruner
from bench.tuning.shared import SharedStudy
from bench.tuning.storage import open_storage


@pytest.fixture(params=["memory", "journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield optuna.storages.InMemoryStorage()
        return
    where = {"journal": None, "sqlite": f"sqlite:///{tmp_path}/studies.db"}.get(request.param)
    if request.param == "postgresql":
        where = request.getfixturevalue("postgresql").create()
    found = open_storage(where, tmp_path, pytest.fail)
    yield found


def states(study: SharedStudy) -> list[TrialState]:
    return [trial.state for trial in study.trials()]


def test_a_trial_is_created_noted_reported_and_finished(storage: Any, tmp_path: Path) -> None:
    with open_study(None, tmp_path, storage=storage) as study:
        made = study.create()
        values = suggest(made)
        study.note(made.number, values=values, runs=["ab"], seconds=1.5)
        study.report(made.number, 1, 0.25)
        study.report(made.number, 3, 0.5)
        [trial] = study.trials()
        assert (trial.number, trial.state, trial.is_mine) == (0, TrialState.RUNNING, True)
        assert trial.params == values == trial.values
        assert trial.scores == {1: 0.25, 3: 0.5}
        assert trial.notes == {"values": values, "runs": ["ab"], "seconds": 1.5}
        study.finish(0, TrialState.COMPLETE, [0.5])
        [trial] = study.trials()
        assert (trial.state, trial.objectives, trial.is_mine) == (
            TrialState.COMPLETE,
            (0.5,),
            False,
        )
        # Someone else may have ended it: nothing changes any more, and nobody is told.
        study.finish(0, TrialState.FAILED, error="late")
        study.note(0, values={})
        study.report(0, 9, 1.0)
        study.release(0)
        assert study.trials() == [trial]
        assert not study.claim(0)


def test_a_waiting_trial_goes_to_one_of_two(storage: Any, tmp_path: Path) -> None:
    with (
        open_study(None, tmp_path, storage=storage) as one,
        open_study(None, tmp_path, storage=storage) as two,
    ):
        one.create()
        assert not two.claim(0)
        two.release(0)  # it is not its own
        assert states(one) == [TrialState.RUNNING]
        one.release(0)
        assert states(two) == [TrialState.WAITING]
        assert two.claim(0)
        assert not one.claim(0)
        assert [trial.is_mine for trial in two.trials()] == [True]
        assert [trial.is_mine for trial in one.trials()] == [False]
        assert one.release_stale() == []  # its owner lives


def test_a_new_trial_takes_no_waiting_one(storage: Any, tmp_path: Path) -> None:
    with open_study(None, tmp_path, storage=storage) as study:
        study.create()
        study.release(0)
        assert study.create().number == 1
        assert states(study) == [TrialState.WAITING, TrialState.RUNNING]


def test_a_waiting_trial_is_finished_and_a_worthless_one_has_failed(
    storage: Any, tmp_path: Path
) -> None:
    with open_study(None, tmp_path, storage=storage) as study:
        for _ in range(4):
            study.release(study.create().number)
        study.finish(0, TrialState.PRUNED)
        study.finish(1, TrialState.COMPLETE, [float("nan")])
        study.finish(2, TrialState.COMPLETE, [float("inf")])
        study.finish(3, TrialState.FAILED, error="loss\nis NaN")
        assert states(study) == [TrialState.PRUNED, *[TrialState.FAILED] * 3]
        assert [trial.error for trial in study.trials()] == [
            None,
            "its score is nan",
            "its score is inf",
            "loss is NaN",
        ]


def test_suggestions_that_were_cut_off_are_taken_up(storage: Any, tmp_path: Path) -> None:
    with open_study(None, tmp_path, storage=storage) as whole:
        expected = suggest(whole.create())
    with open_study(None, tmp_path, storage=storage, name="cut") as one:
        first = one.create().suggest_float("adamw.lr", 1e-4, 1e-1, log=True)
    with open_study(None, tmp_path, storage=storage, name="cut") as two:
        [trial] = two.trials()
        assert (trial.state, trial.values) == (TrialState.WAITING, {})
        assert two.claim(0)
        assert suggest(two.open_trial(0)) == expected
        assert first == expected["adamw.lr"]


def test_what_another_has_done_is_seen(storage: Any, tmp_path: Path) -> None:
    with (
        open_study(None, tmp_path, storage=storage) as one,
        open_study(None, tmp_path, storage=storage) as two,
    ):
        one.create()
        assert [trial.number for trial in two.trials()] == [0]
        assert two.create().number == 1
        one.note(0, values={"a": 1})
        one.finish(0, TrialState.COMPLETE, [1.0])
        assert two.trials()[0].values == {"a": 1}
        assert two.trials() == [
            trial if trial.number == 0 else two.trials()[1] for trial in one.trials()
        ]


def test_other_facts_are_refused_by_name(storage: Any, tmp_path: Path) -> None:
    then = {"space": {"adamw.lr": {"low": 1e-4, "high": 0.1}, "b": (1, 2)}, "seed": 0}
    open_study(None, tmp_path, then, storage=storage).close()
    open_study(None, tmp_path, then, storage=storage).close()
    now = {"space": {"adamw.lr": {"low": 1e-5, "high": 0.1}, "b": (1, 2)}, "seed": 0}
    with pytest.raises(ConfigError) as caught:
        open_study(None, tmp_path, now, storage=storage)
    assert str(caught.value) == (
        "study `cell` was begun with another space: `adamw.lr` `low` was 0.0001 then and is 1e-05 "
        "now; give the same as then, or `--study NAME` for a new study"
    )
    with pytest.raises(ConfigError, match=r"another space: `b` was \[1, 2\] then and is absent"):
        open_study(
            None,
            tmp_path,
            {**then, "space": {"adamw.lr": then["space"]["adamw.lr"]}},
            storage=storage,
        )
    with pytest.raises(ConfigError, match=r"another objectives: was \[\[\"score\", true\]\] then"):
        open_study(None, tmp_path, then, storage=storage, objectives=[Objective("score", False)])


def test_optunas_pruner_is_asked_for_the_score_alone(storage: Any, tmp_path: Path) -> None:
    pruner = make_pruner("median:n_startup_trials=2")
    with open_study(None, tmp_path, storage=storage, pruner=pruner) as study:
        for score in (0.5, 0.6, 0.1, 0.9):
            number = study.create().number
            study.report(number, 1, score)
            assert study.should_prune(number) == (score == 0.1)
            study.finish(number, TrialState.COMPLETE, [score])
    two = [*SCORE, Objective("latency_ms", False)]
    with open_study(
        None, tmp_path, storage=storage, pruner=pruner, objectives=two, name="two"
    ) as study:
        for score in (0.5, 0.6, 0.1):
            number = study.create().number
            study.report(number, 1, score)
            assert not study.should_prune(number)
            study.finish(number, TrialState.COMPLETE, [score, 1.0])


def test_who_closes_puts_its_trials_down(storage: Any, tmp_path: Path) -> None:
    study = open_study(None, tmp_path, storage=storage)
    study.create()
    study.close()
    study.close()
    assert list((tmp_path / "studies" / "owners").iterdir()) == []
    with open_study(None, tmp_path, storage=storage) as other:
        assert states(other) == [TrialState.WAITING]


def test_an_owner_elsewhere_is_gone_when_it_is_silent(
    storage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with monkeypatch.context() as patch:
        patch.setattr(owners, "_host", lambda: "elsewhere 1")
        far = open_study(None, tmp_path, storage=storage)
        number = far.create().number
    near = open_study(None, tmp_path, storage=storage)
    assert near.release_stale() == []
    now += owners.SILENT_SECONDS - 1
    far.beat()
    assert near.release_stale() == []  # the counter was raised: it lives
    now += owners.SILENT_SECONDS
    assert near.release_stale() == []
    now += 1
    assert near.release_stale() == [number]
    assert states(near) == [TrialState.WAITING]
    near.close()
    far.close()


def test_a_beat_is_written_every_twenty_seconds_for_trials_in_hand(
    storage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    study = open_study(None, tmp_path, storage=storage)
    study.create()
    study.create()
    study.release(1)
    for _ in range(50):
        study.beat()
        now += 1
    beats = [trial.system_attrs["bench:beats"] for trial in study._frozen()]
    assert beats == [2, 0]
    study.close()


def test_a_trial_that_nobody_signed_is_released_soon(
    storage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    study = open_study(None, tmp_path, storage=storage)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    study._storage.create_new_trial(study._id)  # as a process that was killed in a claim
    assert study.release_stale() == []
    now += owners.UNSIGNED_SECONDS + 1
    assert study.release_stale() == [0]
    study.close()


@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_a_killed_owner_is_known_to_be_gone_at_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = request.getfixturevalue("postgresql").create() if kind == "postgresql" else None
    holder = start("hold", where, tmp_path, 3)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    with open_study(where, tmp_path) as study:
        assert study.release_stale() == []
        assert not study.claim(1)
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        assert study.release_stale() == [0, 1, 2]
        assert study.release_stale() == []
        assert states(study) == [TrialState.WAITING] * 3
        [mine] = (tmp_path / "studies" / "owners").iterdir()  # that of the dead is removed
        assert study.claim(0)
        first = study.trials()[0]
        assert first.values == {}
        assert first.params.keys() == {"adamw.lr"}
        assert suggest(study.open_trial(0)).items() > first.params.items()
    assert not mine.exists()


@pytest.mark.parametrize(
    ("kind", "each"),
    [
        ("journal", 50),
        # Every transaction of which is written to disk, one after the other.
        pytest.param("sqlite", 5, marks=pytest.mark.slow),
        pytest.param("postgresql", 50, marks=pytest.mark.slow),
    ],
)
def test_several_processes_create_and_claim_without_a_clash(
    kind: str, each: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = f"sqlite:///{tmp_path}/studies.db" if kind == "sqlite" else None
    if kind == "postgresql":
        where = request.getfixturevalue("postgresql").create()
    # They also make the file or the tables at the same moment, and the study.
    created = answers([start("create", where, tmp_path, each) for _ in range(4)])
    assert sorted(number for numbers in created for number in numbers) == list(range(4 * each))
    assert all(len(numbers) == each for numbers in created)
    won = answers([start("claim", where, tmp_path, 4 * each) for _ in range(4)])
    assert sorted(number for numbers in won for number in numbers) == list(range(4 * each))
    with open_study(where, tmp_path) as study:
        trials = study.trials()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(trial.values == trial.params != {} for trial in trials)
    assert list((tmp_path / "studies" / "owners").iterdir()) == []


def test_a_claim_between_look_and_leap_is_lost(tmp_path: Path) -> None:
    one, two = (open_study(None, tmp_path) for _ in range(2))
    one.create()
    one.release(0)
    backend = one._storage._backend
    append = backend.append_logs

    def interrupted(logs: list[dict[str, Any]]) -> None:
        backend.append_logs = append
        assert two.claim(0)
        append(logs)

    backend.append_logs = interrupted
    assert not one.claim(0)  # though it had the trial in hand last
    assert [trial.is_mine for trial in two.trials()] == [True]
    one.close()
    two.close()


def test_a_restart_of_the_server_is_survived(postgresql: Server, tmp_path: Path) -> None:
    with open_study(postgresql.create(), tmp_path) as study:
        study.create()
        postgresql.stop()
        postgresql.start()
        study.report(0, 1, 0.5)
        assert study.trials()[0].scores == {1: 0.5}


def test_a_server_that_is_gone_is_one_line(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 1.0)
    study = open_study(postgresql.create(), tmp_path)
    trial = study.create()
    postgresql.stop()
    try:
        for operation in (
            study.trials,
            study.create,
            lambda: study.claim(0),
            lambda: study.finish(0, TrialState.PRUNED),
            lambda: suggest(trial),
        ):
            with pytest.raises(EnvironmentFailure) as caught:
                operation()
            assert "\n" not in str(caught.value)
            assert "the storage `postgresql://tester:***@127.0.0.1" in str(caught.value)
            assert "refused" in str(caught.value)
        with pytest.raises(ZeroDivisionError), study:
            _ = 1 / 0
    finally:
        postgresql.start()


def test_nothing_of_optuna_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with open_study(None, tmp_path) as study:
            study_processes.create_many(study, 3)
            study.finish(0, TrialState.COMPLETE, [1.0])
    assert capfd.readouterr() == ("", "")
