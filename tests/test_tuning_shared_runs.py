"""Two `bench run` with results folders of their own and one PostgreSQL share a study."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from postgres import Server
from processes import Bench, in_session, left_over

from bench import studies
from bench.records import Purpose
from bench.store import Store
from bench.studies import StudyRecord, TrialState
from bench.tuning.storage import open_storage

TRIALS = 8
LIMIT_SECONDS = 240


class Machine:
    """A `bench run` that works on the study, as one on another machine would."""

    def __init__(self, folder: Path, where: str, *words: str, tune: int = TRIALS) -> None:
        self.folder = folder
        self.results = folder / "results"
        folder.mkdir(exist_ok=True)
        self.bench = Bench(
            self.results,
            (
                *("--datasets", "digits", "--models", "cnn", "--limit", "300", "--device", "cpu"),
                *("--optimizers", "adamw", "--search", "adamw.lr", "--sampler", "random"),
                *("--epochs", "3", "--deterministic", "--keep", "none"),
                *("--tune", str(tune), "--storage", where, *words),
            ),
            folder / "log.txt",
        )

    def wait(self) -> int:
        return self.bench.process.wait(timeout=LIMIT_SECONDS)

    def study(self) -> StudyRecord:
        [study], warnings = studies.read_all(self.results)
        assert not warnings
        return study

    def trials(self) -> set[int]:
        """Return the numbers of the trials that were trained in its folder."""
        return {
            int(record.spec.tuned["trial"])
            for record in Store(self.results).records()
            if record.spec.purpose is Purpose.TRIAL
        }

    def finals(self) -> list[dict[str, Any]]:
        return [
            record.metrics
            for record in Store(self.results).records()
            if record.spec.purpose is Purpose.FINAL
        ]


def stored(where: str, folder: Path) -> list[str]:
    """Return the states of all trials as the database has them, by number."""
    storage = open_storage(where, folder, pytest.fail)
    return [
        trial.state.name
        for study in storage.get_all_studies()
        for trial in storage.get_all_trials(study._study_id)
    ]


def outcome(study: StudyRecord) -> list[Any]:
    return [(t.number, t.state, dict(t.params), dict(t.scores)) for t in study.trials]


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["none", "halving"])
def test_two_runs_share_the_trials_of_a_study(
    postgresql: Server, tmp_path: Path, pruner: str
) -> None:
    where = postgresql.create()
    machines = [Machine(tmp_path / name, where, "--pruner", pruner) for name in "ab"]
    try:
        assert [machine.wait() for machine in machines] == [0, 0], machines[0].bench.err
    finally:
        for machine in machines:
            machine.bench.kill()
    one, two = (machine.study() for machine in machines)
    assert one.over
    assert two.over
    assert [trial.number for trial in one.trials] == list(range(TRIALS))
    assert outcome(one) == outcome(two)
    assert (one.id, one.best, one.commands) == (two.id, two.best, two.commands)
    states = stored(where, tmp_path)
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"}
    assert states[:TRIALS] == [_named(trial.state) for trial in one.trials]
    # Each trained a part of them, and what was trained twice is only what one took over.
    a, b = (machine.trials() for machine in machines)
    assert a
    assert b
    assert a | b == set(range(TRIALS))
    if pruner == "none":
        assert not a & b
    # Both train what was found, in their own folders.
    assert machines[0].finals() == machines[1].finals()


@pytest.mark.slow
def test_one_of_two_is_killed_and_the_other_takes_over(postgresql: Server, tmp_path: Path) -> None:
    where = postgresql.create()
    machines = [Machine(tmp_path / name, where, "--epochs", "60") for name in "ab"]
    first, second = machines
    try:
        both = ["RUNNING", "RUNNING"]
        first.bench.wait_until(
            lambda: [s for s in stored(where, tmp_path) if s == "RUNNING"] == both,
            "both had a trial in hand",
        )
        pids = in_session(first.bench.pid)
        os.kill(first.bench.pid, signal.SIGKILL)
        first.bench.process.wait()
        assert not left_over(pids)
        assert second.wait() == 0, second.bench.err
    finally:
        for machine in machines:
            machine.bench.kill()
    study = second.study()
    assert study.over
    assert [trial.number for trial in study.trials] == list(range(TRIALS))
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    assert set(stored(where, tmp_path)) == {"COMPLETE"}
    # What the first one had finished was not trained again; what it had in hand was.
    assert second.trials() == set(range(TRIALS)) - first.trials()


def _named(state: TrialState) -> str:
    return "FAIL" if state is TrialState.FAILED else state.name
