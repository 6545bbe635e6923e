"""The study of one cell, with made-up runs: what it hands out, and what it makes of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from samples import make_record, make_spec

from bench.budget import parse_budget
from bench.dispatch import Claim, Task
from bench.errors import UsageError
from bench.jobs import Job, JobKind
from bench.records import Purpose, RunRecord, RunSpec, RunStatus
from bench.registry import Registry
from bench.studies import Objective, TrialState
from bench.tuning.cell import CellStudy
from bench.tuning.policies import make_policy
from bench.tuning.sampling import make_sampler
from bench.tuning.shared import SharedStudy
from bench.tuning.tuner import Studies

EPOCHS = 9
SCORE = [Objective("score", True)]


class OneParam:
    """A space with one param."""

    def suggest(self, trial: Any) -> dict[str, Any]:
        return {"adamw.lr": trial.suggest_float("adamw.lr", 1e-4, 1e-1, log=True)}

    def defaults(self) -> dict[str, Any]:
        return {"adamw.lr": 0.01}


class Cell(CellStudy):
    """A study whose runs are made up: `train` ends one."""

    def __init__(self, folder: Path, storage: Any, budget: str, seeds: int, pruner: str) -> None:
        self.handed: list[tuple[RunSpec, Task, Callable[[RunRecord], None]]] = []
        self.refuses = False
        self.claim = Claim.TAKEN
        base = make_spec(protocol={"epochs": EPOCHS})
        study = SharedStudy.open(
            *(storage, "cell", SCORE, make_sampler("random", 0, SCORE, lambda number: None)),
            *(None, {"space": {}}, folder),
        )
        policy = make_policy(pruner, parse_budget(budget), EPOCHS, seeds)
        super().__init__(
            *("0123456789ab", base, OneParam(), study, policy, Registry(), SCORE),  # type: ignore[arg-type]
            seeds=seeds,
            training=self._made_up,
            results=folder,
        )

    def next(self) -> Task | None:
        self.changed = True  # looks at once, where it would wait for a while
        return super().next()

    def varied(self, overrides: Mapping[str, Any], **fields: Any) -> RunSpec:
        if self.refuses and overrides:
            raise UsageError("these do not go together")
        key = {**self.base.key, **overrides, "seed": fields["seed"]}
        return dataclasses.replace(self.base, **fields, key=key)

    def _made_up(self, spec: RunSpec, after: Callable[[RunRecord], None]) -> Task:
        job = Job(str(len(self.handed)), JobKind.RUN, {}, Path("log"))
        task = Task(job, lambda status, error, facts: None, acquire=lambda: self.claim)
        self.handed.append((spec, task, after))
        return task

    def train(
        self,
        place: int = 0,
        status: RunStatus = RunStatus.OK,
        score: float = 0.5,
        epochs: int | None = None,
    ) -> None:
        """End the run that was handed out at this place among those under way."""
        spec, _, after = self.handed.pop(place)
        spec = dataclasses.replace(spec, purpose=Purpose.TRIAL)
        done = spec.last_epoch if epochs is None else epochs
        after(
            dataclasses.replace(
                make_record(spec, status=status),
                metrics={"val": {"accuracy": score, "n": 10}},
                timing={"wall_seconds": float(done), "epochs": done},
                error=None if status is RunStatus.OK else "it broke",
            )
        )


@pytest.fixture
def make(tmp_path: Path) -> Any:
    storage = optuna.storages.InMemoryStorage()

    def cell(budget: str = "3", seeds: int = 1, pruner: str = "none") -> Cell:
        return Cell(tmp_path, storage, budget, seeds, pruner)

    return cell


def test_a_failing_seed_spares_what_has_not_begun_and_costs_what_has(make: Any) -> None:
    cell = make(seeds=3)
    assert cell.next()
    assert cell.next()
    cell.train(0, RunStatus.DIVERGED, epochs=2)
    [(_, _, _)] = cell.handed
    cell.look()
    assert cell.trials[0].state is TrialState.RUNNING, "one of its runs is under way"
    cell.train(0)
    cell.look()
    [trial] = cell.trials
    assert trial.state is TrialState.FAILED
    assert trial.error == "diverged: it broke"
    assert (trial.notes["epochs"], len(trial.notes["runs"])) == (2 + EPOCHS, 2)
    assert cell.next()
    assert cell.handed[0][0].tuned["trial"] == 1


def test_an_interrupted_seed_puts_its_trial_down(make: Any) -> None:
    cell = make(seeds=2)
    cell.next()
    cell.next()
    cell.train(0, RunStatus.INTERRUPTED)
    cell.train(0)  # nobody asks any more
    cell.look()
    [trial] = cell.trials
    assert (trial.state, trial.scores) == (TrialState.WAITING, {})


def test_a_crashed_seed_is_tried_once_more(make: Any) -> None:
    cell = make(seeds=2)
    cell.next()
    cell.next()
    cell.train(0, RunStatus.CRASHED)
    cell.train(0)
    cell.next()
    cell.train(0, RunStatus.CRASHED)
    cell.look()
    assert cell.trials[0].error == "crashed: it broke"


def test_several_workers_give_up_what_always_fails(make: Any) -> None:
    cell = make("100")
    begun = 0
    for _ in range(100):
        while len(cell.handed) < 3 and cell.next():
            begun += 1
        if not cell.handed:
            break
        cell.train(0, RunStatus.FAILED)
    assert cell.is_over
    assert begun <= 5 + 2


def test_one_that_works_after_all_gives_the_others_a_chance(make: Any) -> None:
    cell = make("20")
    for _ in range(7):
        assert cell.next()
    for _ in range(5):
        cell.train(0, RunStatus.FAILED)
    assert cell.next() is None
    assert not cell.is_over
    cell.train(0)
    assert cell.next()


def test_what_was_given_up_is_taken_up_where_all_others_failed(make: Any) -> None:
    cell = make("20")
    for _ in range(6):
        cell.next()
    cell.train(5, RunStatus.INTERRUPTED)
    for _ in range(5):
        cell.train(0, RunStatus.FAILED)
    assert cell.next()
    assert cell.handed[0][0].tuned["trial"] == 5


@pytest.mark.parametrize("budget", ["90epochs", "90s"])
def test_trials_that_cost_nothing_come_to_an_end(make: Any, budget: str) -> None:
    cell = make(budget)
    cell.next()
    cell.train()
    cell.refuses = True
    for _ in range(1000):
        assert cell.next() is None
        if cell.is_over:
            break
    assert cell.is_over
    assert len(cell.trials) < 100


def test_equal_trials_that_wait_for_one_another_are_not_endless(make: Any) -> None:
    cell = make("90s")
    cell.next().acquire()
    cell.claim = Claim.ELSEWHERE
    for _ in range(100):
        if (task := cell.next()) is None:
            break
        task.acquire()
    assert 1 < len(cell.handed) < 20
    cell.claim = Claim.TAKEN
    for _, task, _ in cell.handed:
        task.acquire()
    assert cell.next()


def test_a_smaller_budget_is_kept_beside_what_was_tried_before(make: Any) -> None:
    before = make("5")
    for number in range(5):
        before.next()
        before.train(score=0.1 * number)
    before.close()
    cell = make("3")
    assert cell.next() is None
    assert cell.is_over
    assert [trial.number for trial in cell.trials] == [0, 1, 2]
    assert [trial.number for trial in cell.best()] == [2]
    cell.close()
    again = make("5")
    again.next()
    assert [trial.number for trial in again.best()] == [4]


def test_what_another_has_brought_further_since_the_look_is_not_taken_up(make: Any) -> None:
    one, two = make("3", pruner="halving"), make("3", pruner="halving")
    one.next()
    one.train(0, RunStatus.INTERRUPTED)
    look = two.look

    def late() -> None:
        look()
        # Meanwhile the other one takes it up, and reaches the rung.
        if not one.handed:
            one.next()
            one.train()

    two.look = late
    while two.next() is None:
        pass
    [(spec, _, _)] = two.handed
    assert (spec.tuned["trial"], spec.until) == (1, 1)


def test_attending_takes_a_small_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("bench.tuning.tuner.time.monotonic", lambda: now[0])
    asked = []

    class Far:
        """A cell whose database is far away."""

        def attend(self) -> None:
            asked.append(now[0])
            now[0] += 0.4

    supply = Studies([Far()])  # type: ignore[list-item]
    now[0] = 1.0
    while now[0] < 100:
        supply.attend()
        now[0] += 0.25
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert 8 < min(gaps) <= max(gaps) < 20
