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
from typing import Any

from bench import metrics, provenance
from bench.dispatch import Claim, Task
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
CROWD = 16
"""So many trials in hand that wait for a run which is under way: no new ones are begun."""
SURPLUS = "another process had begun the last trial of the budget"
LOOK_SECONDS = 0.5
"""How often what other processes have come to is looked at, while there is nothing to do."""

Training = Callable[[RunSpec, Callable[[RunRecord], None]], Task]
"""Makes the task that trains a run, and calls back with its record."""


def _val_score(record: RunRecord) -> float:
    return metrics.score(record.metrics.get("val", {}), record.spec.protocol.get("monitor"))


MEASURES: dict[str, tuple[Callable[[RunRecord], float | None], bool]] = {
    "score": (_val_score, True),
    "latency_ms": (lambda record: record.profile.get("latency_ms"), False),
    "parameters": (lambda record: record.profile.get("parameters"), False),
    "train_seconds": (lambda record: record.timing.get("train_seconds"), False),
}
"""What can be searched for: its value in a run's record, and whether more of it is better."""


@dataclass
class Hand:
    """A trial that this process has in hand.

    Attributes:
        until: the epoch that it is to reach.
        waiting: runs that no worker has been given yet, one a seed.
        under_way: the seeds whose run was handed out and has not ended.
        ended: records by seed.
        crashed: the seeds whose worker has died once.
        failure: why the trial fails, once a run has failed and the others are waited for.
        is_held_up: whether its run is in hand already, as that of an equal trial.
    """

    number: int
    overrides: Mapping[str, Any]
    until: int
    waiting: list[RunSpec] = field(default_factory=list)
    under_way: set[int] = field(default_factory=set)
    ended: dict[int, RunRecord] = field(default_factory=dict)
    crashed: set[int] = field(default_factory=set)
    failure: str | None = None
    is_held_up: bool = False


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
        """The trials of the budget, as they were at the last look.

        An earlier budget, or two processes at once, may have begun more.
        """
        return [
            trial
            for trial in self._trials
            if trial.error != SURPLUS and self._policy.first(trial.number) is not None
        ]

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
        decision = self._policy.decide(self._trials, self._spent())
        for number in decision.prune:
            self._study.finish(number, TrialState.PRUNED)
            self.changed = True
        counted = self.trials
        is_hopeless = _is_hopeless(counted)
        if decision.over or (is_hopeless and all(t.state.is_over for t in counted)):
            self._over = not self.changed  # what was pruned just now is looked at once more
            return None
        for number, until in decision.go_on:
            if self._claim(number, until):
                return self._hold(number, until)
        if not decision.create or is_hopeless or self._is_crowded():
            return None
        number = self._study.create().number
        first = self._policy.first(number)
        self.changed = True
        if first is None:
            self._study.finish(number, TrialState.FAILED, error=SURPLUS)
            return None
        return self._hold(number, first)

    def _spent(self) -> Spent:
        """Return what the trials have cost.

        One that fails before it has cost anything counts as an epoch and a second: what fails at
        once could go on for ever.
        """
        failed = [trial.state is TrialState.FAILED for trial in self._trials]
        seconds = [float(trial.notes.get("seconds", 0.0)) for trial in self._trials]
        epochs = [int(trial.notes.get("epochs", 0)) for trial in self._trials]
        return Spent(
            sum(cost or 1.0 * lost for cost, lost in zip(seconds, failed, strict=True)),
            sum(cost or int(lost) for cost, lost in zip(epochs, failed, strict=True)),
        )

    def _claim(self, number: int, until: int) -> bool:
        """Take a trial that waits, unless another process has brought it further since the look."""
        if not self._study.claim(number):
            return False
        if max(self._study.scores(number), default=0) < until:
            return True
        self._study.release(number)
        self.changed = True
        return False

    def _is_crowded(self) -> bool:
        """Return whether too many trials wait for runs that others have in hand.

        Where few different params can be chosen, and a budget of time leaves the number of trials
        open, there would be no end of trials that are all the same.
        """
        return sum(hand.is_held_up for hand in self._hands.values()) >= CROWD

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
        spec = hand.waiting.pop(0)
        hand.under_way.add(spec.seed)
        task = self._training(spec, functools.partial(self._ended, hand))
        acquire = task.acquire

        def watched() -> Claim:
            claim = acquire()
            hand.is_held_up = claim is Claim.ELSEWHERE
            return claim

        task.acquire = watched
        return task

    def _ended(self, hand: Hand, record: RunRecord) -> None:
        """Take note of a run; once all of a trial's runs have ended, tell what came of it."""
        if self._hands.get(hand.number) is not hand:
            return  # the trial was put down before
        self.changed = True
        if record.status is RunStatus.INTERRUPTED:
            self._put_down(hand)
            return
        seed = record.spec.seed
        hand.under_way.discard(seed)
        crashed_before = seed in hand.crashed or hand.failure is not None
        if record.status is RunStatus.CRASHED and not crashed_before:
            # Params do not kill a worker as a rule, and an earlier rung may have been saved.
            hand.crashed.add(seed)
            hand.waiting.append(record.spec)
            return
        hand.ended[seed] = record
        if record.status is not RunStatus.OK:
            # Those of other seeds have their costs too; what has not begun is spared.
            hand.failure = hand.failure or f"{record.status}: {record.error}"
            hand.waiting.clear()
        if hand.under_way or hand.waiting:
            return
        self._note_cost(hand)
        if hand.failure is not None:
            self._fail(hand, hand.failure)
        else:
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


def _is_hopeless(trials: Sequence[Trial]) -> bool:
    """Return whether so many trials have failed, and none has come to anything."""
    failed = sum(trial.state is TrialState.FAILED for trial in trials)
    begun = sum(not trial.state.is_over and not trial.scores for trial in trials)
    return failed >= HOPELESS and failed + begun == len(trials)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
