"""The study of one cell: asks for trials, has their runs trained, tells what came of them.

What a trial is told by is val alone: nothing here is handed anything of the test split.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench import metrics, provenance
from bench.dispatch import Task
from bench.errors import BenchError
from bench.records import Purpose, RunRecord, RunSpec, RunStatus
from bench.registry import Registry
from bench.studies import Objective, TrialState
from bench.text import one_line
from bench.tuning.policies import Policy, Spent
from bench.tuning.shared import SharedStudy, Trial
from bench.tuning.space import Space
from bench.variation import vary

FIRST_SEED = 1_000_000
"""The seed of a trial's first run, far from those of final runs, which are to be fresh."""
HOPELESS = 5
"""So many trials, and all have failed: the rest would too."""
SURPLUS = "another process had begun the last trial of the budget"
LOOK_SECONDS = 0.5
"""How often what other processes have come to is looked at, while there is nothing to do."""

Training = Callable[[RunSpec, Callable[[RunRecord], None]], Task]
"""Makes the task that trains a run, and calls back with its record."""


class Measure(Protocol):
    """What an objective is of the record of a trial's run."""

    def __call__(self, record: RunRecord) -> float | None:
        """Return it; None where it was not measured."""


def _val_score(record: RunRecord) -> float:
    return metrics.score(record.metrics.get("val", {}), record.spec.protocol.get("monitor"))


MEASURES: dict[str, tuple[Measure, bool]] = {
    "score": (_val_score, True),
    "latency_ms": (lambda record: record.profile.get("latency_ms"), False),
    "parameters": (lambda record: record.profile.get("parameters"), False),
    "train_seconds": (lambda record: record.timing.get("train_seconds"), False),
}
"""What can be searched for, and whether more of it is better."""


@dataclass
class Hand:
    """A trial that this process has in hand.

    Attributes:
        until: the epoch that it is to reach.
        waiting: runs that no worker has been given yet, one a seed.
        ended: records by seed.
        crashed: the seeds whose worker has died once.
    """

    number: int
    overrides: Mapping[str, Any]
    until: int
    waiting: list[RunSpec] = field(default_factory=list)
    ended: dict[int, RunRecord] = field(default_factory=dict)
    crashed: set[int] = field(default_factory=set)


class CellStudy:
    """The study of one cell, as far as this process works on it.

    Attributes:
        id: of the study.
        base: the cell with default params.
        space: what is searched.
        objectives: what for.
    """

    def __init__(
        self,
        identity: str,
        base: RunSpec,
        space: Space,
        study: SharedStudy,
        policy: Policy,
        registry: Registry,
        objectives: Sequence[Objective],
        seeds: int,
        training: Training,
        results: Path,
    ) -> None:
        self._results = results
        self.id = identity
        self.base = base
        self.space = space
        self._study = study
        self._policy = policy
        self._registry = registry
        self.objectives = objectives
        self._seeds = seeds
        self._training = training
        self._hands: dict[int, Hand] = {}
        self._trials: list[Trial] = []
        self._over = False
        self._looked = -math.inf
        self.changed = True

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent and every trial has ended, whoever had it in hand."""
        return self._over

    @property
    def trials(self) -> list[Trial]:
        """The trials that count, as they were at the last look."""
        return [trial for trial in self._trials if trial.error != SURPLUS]

    def next(self) -> Task | None:
        """Return a run for a worker that is free; None where there is none now."""
        for hand in self._hands.values():
            if hand.waiting:
                return self._task(hand)
        if time.monotonic() - self._looked < LOOK_SECONDS and not self.changed:
            return None
        hand_now = self._take()
        return self._task(hand_now) if hand_now else None

    def look(self) -> None:
        """See what the trials have come to, in other processes too."""
        self._trials = self._study.trials()
        self._looked = time.monotonic()
        self.changed = False

    def attend(self) -> None:
        """Say that this process lives, and take over from those that do not."""
        self._study.beat()
        if self._study.release_stale():
            self.changed = True

    def close(self) -> None:
        """Put down what is in hand."""
        self._hands.clear()
        self._study.close()

    def best(self) -> list[Trial]:
        """Return the best trial, or all that no other trial beats in every objective."""
        done = [t for t in self.trials if t.state is TrialState.COMPLETE]
        signs = [1.0 if objective.maximize else -1.0 for objective in self.objectives]
        gains = {t.number: [s * v for s, v in zip(signs, t.objectives, strict=True)] for t in done}
        if len(signs) == 1:
            return sorted(done, key=lambda trial: (-gains[trial.number][0], trial.number))[:1]
        return [
            trial
            for trial in done
            if not any(
                other != gains[trial.number]
                and all(o >= own for o, own in zip(other, gains[trial.number], strict=True))
                for other in gains.values()
            )
        ]

    def varied(self, overrides: Mapping[str, Any], **fields: Any) -> RunSpec:
        """Return a run of this cell with other params, its key included.

        Raises:
            UsageError: they do not go together.
        """
        spec = self.base
        if overrides:
            spec = vary(self.base, overrides, self._registry, self._results)
        spec = dataclasses.replace(spec, **fields)
        dataset = self.base.key["dataset"]
        content = dataset["fingerprint"], dataset["variant"]
        return provenance.complete(spec, self._registry, content, str(self.base.key["device"]))

    def _take(self) -> Hand | None:
        """Take a trial in hand: one that is paused or was given up, else a new one."""
        self.look()
        spent = Spent(
            sum(trial.notes.get("seconds", 0.0) for trial in self._trials),
            sum(trial.notes.get("epochs", 0) for trial in self._trials),
        )
        decision = self._policy.decide(self._trials, spent)
        for number in decision.prune:
            self._study.finish(number, TrialState.PRUNED)
            self.changed = True
        counted = self.trials
        hopeless = len(counted) >= HOPELESS and all(t.state is TrialState.FAILED for t in counted)
        if decision.over or hopeless:
            self._over = not self.changed  # what was pruned just now is looked at once more
            return None
        for number, until in decision.go_on:
            if self._study.claim(number):
                return self._hold(number, until)
        if not decision.create:
            return None
        number = self._study.create().number
        first = self._policy.first(number)
        self.changed = True
        if first is None:
            self._study.finish(number, TrialState.FAILED, error=SURPLUS)
            return None
        return self._hold(number, first)

    def _hold(self, number: int, until: int) -> Hand | None:
        """Have a trial's params chosen, unless they were before, and make its runs."""
        self.changed = True
        try:
            overrides = self._overrides(number)
            hand = Hand(number, overrides, until)
            hand.waiting = self._runs(hand)
        except BenchError as error:
            self._study.finish(number, TrialState.FAILED, error=one_line(str(error)))
            return None
        self._hands[number] = hand
        return hand

    def _overrides(self, number: int) -> Mapping[str, Any]:
        known = next((trial for trial in self._trials if trial.number == number), None)
        if known is not None and "overrides" in known.notes:
            overrides: Mapping[str, Any] = known.notes["overrides"]
            return overrides
        values = self.space.suggest(self._study.open_trial(number))
        # Trial 0 is the cell as it is, even where a default lies outside the range searched.
        overrides = values if number else {}
        values = values if number else self.space.defaults()
        self._study.note(number, values=values, overrides=overrides)
        return overrides

    def _runs(self, hand: Hand) -> list[RunSpec]:
        epochs = int(self.base.protocol["epochs"])
        return [
            self.varied(
                hand.overrides,
                seed=FIRST_SEED + place,
                purpose=Purpose.TRIAL,
                until=hand.until if hand.until < epochs else None,
                tuned={"study": self.id, "trial": hand.number},
            )
            for place in range(self._seeds)
        ]

    def _task(self, hand: Hand) -> Task:
        return self._training(hand.waiting.pop(0), functools.partial(self._ended, hand))

    def _ended(self, hand: Hand, record: RunRecord) -> None:
        """Take note of a run; once all of a trial's runs have ended, tell what came of it."""
        if self._hands.get(hand.number) is not hand:
            return  # another run of the trial has failed before
        self.changed = True
        if record.status is RunStatus.INTERRUPTED:
            self._put_down(hand)
            return
        seed = record.spec.seed
        if record.status is RunStatus.CRASHED and seed not in hand.crashed:
            # Params do not kill a worker as a rule, and an earlier rung may have been saved.
            hand.crashed.add(seed)
            hand.waiting.append(record.spec)
            return
        hand.ended[seed] = record
        if record.status is not RunStatus.OK:
            self._note_cost(hand)
            self._fail(hand, f"{record.status}: {record.error}")
        elif len(hand.ended) == self._seeds:
            self._note_cost(hand)
            self._reached(hand, list(hand.ended.values()))

    def _reached(self, hand: Hand, records: Sequence[RunRecord]) -> None:
        """Report the score of a rung, and go on, wait or end."""
        score = _mean([_val_score(record) for record in records])
        if score is None or not math.isfinite(score):
            self._fail(hand, "its val score is no finite number")
            return
        self._study.report(hand.number, hand.until, score)
        if hand.until >= int(self.base.protocol["epochs"]):
            self._complete(hand, records)
        elif self._study.should_prune(hand.number):
            self._study.finish(hand.number, TrialState.PRUNED)
            del self._hands[hand.number]
        elif (rung := self._policy.after(hand.until)) is None:
            self._put_down(hand)
        else:
            hand.until, hand.ended = rung, {}
            hand.waiting = self._runs(hand)

    def _complete(self, hand: Hand, records: Sequence[RunRecord]) -> None:
        values = {
            objective.name: _mean([MEASURES[objective.name][0](record) for record in records])
            for objective in self.objectives
        }
        missing = [name for name, value in values.items() if value is None]
        if missing:
            self._fail(hand, f"its {missing[0].replace('_', ' ')} could not be measured")
            return
        objectives = [value for value in values.values() if value is not None]
        self._study.finish(hand.number, TrialState.COMPLETE, objectives)
        del self._hands[hand.number]

    def _note_cost(self, hand: Hand) -> None:
        """Keep what a trial has cost so far; the times of a run include those of its rungs."""
        records = hand.ended.values()
        self._study.note(
            hand.number,
            seconds=sum(float(record.timing.get("wall_seconds", 0.0)) for record in records),
            epochs=sum(int(record.timing.get("epochs", 0)) for record in records),
            runs=[record.id for record in records],
        )

    def _fail(self, hand: Hand, error: str) -> None:
        self._study.finish(hand.number, TrialState.FAILED, error=one_line(error))
        del self._hands[hand.number]

    def _put_down(self, hand: Hand) -> None:
        self._study.release(hand.number)
        del self._hands[hand.number]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
