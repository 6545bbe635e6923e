"""Which trial goes how far: the rungs of a study, and who is let past them.

A policy looks at what is known of all trials and says what is to be done next. It keeps nothing
between two looks, so several processes that work on one study come to the same decisions, and so
does one that goes on after a kill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.budget import Budget, BudgetKind
from bench.errors import ConfigError
from bench.studies import TrialState
from bench.tuning.ladders import (
    LADDERS,
    Bracket,
    FirstEpoch,
    Halving,
    Hyperband,
    ladder_of,
    rungs_of,
)

_WITHOUT_RUNGS = ("none", "nop")


class Trial(Protocol):
    """What a policy looks at."""

    @property
    def number(self) -> int:
        """From 0."""

    @property
    def state(self) -> TrialState:
        """WAITING while nobody has it in hand."""

    @property
    def scores(self) -> Mapping[int, float]:
        """By the rungs that it has reached."""


@dataclass(frozen=True)
class Spent:
    """What the trials of a study have cost so far; only what is over or paused counts."""

    seconds: float = 0.0
    epochs: int = 0


@dataclass
class Decision:
    """What is to be done next.

    Attributes:
        go_on: trials that nobody has in hand, and the epoch that each is to reach; the first
            comes first.
        prune: trials that go no further.
        create: whether a new trial may begin.
        over: whether the budget is spent and every trial has ended.
    """

    go_on: list[tuple[int, int]] = field(default_factory=list)
    prune: list[int] = field(default_factory=list)
    create: bool = False
    over: bool = False


class Policy(Protocol):
    """How the trials of a study spend its budget."""

    def first(self, number: int) -> int | None:
        """Return the epoch that a trial is to reach first; None if the budget has no room for it.

        Two processes may begin one trial too many between them.
        """

    @property
    def most(self) -> int | None:
        """How many trials the budget allows if all are trained to their end; None: it is time."""

    def decide(self, trials: Sequence[Trial], spent: Spent) -> Decision:
        """Return what is to be done, given all trials of the study in order of their numbers."""

    def after(self, rung: int) -> int | None:
        """Return the rung after this one, where a trial goes on without waiting for others."""


@dataclass(frozen=True)
class Alone:
    """Trials that wait for nobody: each goes from rung to rung unless Optuna's pruner stops it."""

    budget: Budget
    epochs: int
    seeds: int
    rungs: tuple[int, ...]

    @property
    def most(self) -> int | None:
        """How many whole trials the budget allows; None where it is time."""
        if self.budget.kind is BudgetKind.SECONDS:
            return None
        whole = self.epochs * self.seeds if self.budget.kind is BudgetKind.EPOCHS else 1
        return int(self.budget.amount) // whole

    def first(self, number: int) -> int | None:
        """Return the first rung, unless a budget of trials is spent."""
        counted = self.budget.kind is BudgetKind.TRIALS
        return None if counted and number >= self.budget.amount else self.rungs[0]

    def decide(self, trials: Sequence[Trial], spent: Spent) -> Decision:
        """Let paused trials go on, and new ones begin while the budget lasts."""
        counted = [trial for trial in trials if self.first(trial.number) is not None]
        waiting = [trial for trial in counted if trial.state is TrialState.WAITING]
        unfinished = sum(not trial.state.is_over for trial in counted)
        create = self._affords(len(counted), unfinished, spent)
        return Decision(
            go_on=[(trial.number, self._next_of(trial)) for trial in waiting],
            create=create,
            over=not create and not unfinished,
        )

    def after(self, rung: int) -> int | None:
        """Return the rung after this one."""
        return next((each for each in self.rungs if each > rung), None)

    def _next_of(self, trial: Trial) -> int:
        return self.after(max(trial.scores, default=0)) or self.epochs

    def _affords(self, begun: int, unfinished: int, spent: Spent) -> bool:
        if self.budget.kind is BudgetKind.TRIALS:
            return begun < self.budget.amount
        if self.budget.kind is BudgetKind.SECONDS:
            return spent.seconds < self.budget.amount
        whole = self.epochs * self.seeds
        # Those under way may yet need all of their epochs.
        return spent.epochs + (unfinished + 1) * whole <= self.budget.amount


@dataclass(frozen=True)
class Together:
    """Trials in brackets, whose members wait for one another at each rung.

    With a budget of trials or epochs `halving` and `first-epoch` make one bracket of it, and
    `hyperband` as many as it takes, the last one smaller. With a budget of time, brackets follow
    one another until it is spent, and one that has begun is finished.
    """

    ladder: Halving | FirstEpoch
    budget: Budget
    epochs: int
    seeds: int

    @property
    def most(self) -> int | None:
        """The trials of all brackets; None where the budget is time."""
        if self.budget.kind is BudgetKind.SECONDS:
            return None
        return sum(bracket.size for bracket in self.brackets())

    def first(self, number: int) -> int | None:
        """Return the first rung of the bracket that a trial belongs to."""
        for bracket in self.brackets():
            if number < bracket.size:
                return bracket.rungs[0]
            number -= bracket.size
        return None

    def after(self, rung: int) -> int | None:
        """Return None: at every rung trials wait."""
        return None

    def brackets(self) -> Iterator[Bracket]:
        """Yield the brackets that the budget allows; endlessly where it is time."""
        left = self.budget.amount
        single = not isinstance(self.ladder, Hyperband)
        for size, rungs in self.ladder.brackets(self.epochs):
            if self.budget.kind is BudgetKind.SECONDS:
                yield self._bracket(size, rungs)
                continue
            wanted = size if not single else int(left)
            fitting = self._largest(wanted, rungs, left)
            if fitting is None:
                return
            yield fitting
            counted = self.budget.kind is BudgetKind.TRIALS
            left -= fitting.size if counted else fitting.epochs * self.seeds
            if single:
                return

    def _bracket(self, size: int, rungs: tuple[int, ...]) -> Bracket:
        return Bracket(size, rungs, self.ladder.keep(size, rungs))

    def _largest(self, wanted: int, rungs: tuple[int, ...], left: float) -> Bracket | None:
        """Return the largest bracket, of at most so many trials, that what is left pays for."""
        if self.budget.kind is BudgetKind.TRIALS:
            size = min(wanted, int(left))
            return self._bracket(size, rungs) if size else None
        low, high = 0, wanted  # costs rise with the size, so halving finds the last that fits
        while low < high:
            middle = (low + high + 1) // 2
            fits = self._bracket(middle, rungs).epochs * self.seeds <= left
            low, high = (middle, high) if fits else (low, middle - 1)
        return self._bracket(low, rungs) if low else None

    def decide(self, trials: Sequence[Trial], spent: Spent) -> Decision:
        """Let each bracket go as far as its trials allow, one bracket after the other."""
        begin = 0
        decision = Decision()
        for bracket in self.brackets():
            members = trials[begin : begin + bracket.size]
            begin += bracket.size
            if not members and self._is_spent(spent):
                break
            if not self._climb(bracket, members, decision):
                return decision
        decision.over = all(trial.state.is_over for trial in trials[:begin])
        return decision

    def _is_spent(self, spent: Spent) -> bool:
        return self.budget.kind is BudgetKind.SECONDS and spent.seconds >= self.budget.amount

    @staticmethod
    def _climb(bracket: Bracket, members: Sequence[Trial], decision: Decision) -> bool:
        """Note what is to be done in a bracket; return whether it has come to its end."""
        alive = [trial for trial in members if trial.state is not TrialState.FAILED]
        complete = len(members) == bracket.size
        decision.create = not complete
        for place, rung in enumerate(bracket.rungs):
            missing = [t for t in alive if rung not in t.scores and not t.state.is_over]
            free = [trial for trial in missing if trial.state is TrialState.WAITING]
            decision.go_on += [(trial.number, rung) for trial in free]
            if missing or not complete:
                return False
            reached = sorted(
                (trial for trial in alive if rung in trial.scores),
                key=lambda trial: (-trial.scores[rung], trial.number),
            )
            last = place == len(bracket.rungs) - 1
            count = len(reached) if last else bracket.keep[place]
            alive = reached[:count]
            dropped = [trial.number for trial in reached[count:] if not trial.state.is_over]
            decision.prune += dropped
        return all(trial.state.is_over for trial in alive)


def make_policy(pruner: str, budget: Budget, epochs: int, seeds: int) -> Policy:
    """Return how a study's trials spend its budget.

    Args:
        pruner: `NAME[:OPTION=VALUE,...]`; anything but `none` and `LADDERS` is a pruner of
            Optuna's, which is asked at rungs 1, 3, 9, ...
        budget: of one study.
        epochs: of a whole run.
        seeds: runs of a trial.

    Raises:
        ConfigError: an option that the pruner does not have, a pruner that has nowhere to end a
            trial early, or a budget that pays for nothing.
    """
    name, _, options = pruner.partition(":")
    smallest = epochs * seeds
    policy: Alone | Together
    if name in LADDERS:
        ladder = ladder_of(name, options)
        policy = Together(ladder, budget, epochs, seeds)
        rungs = next(ladder.brackets(epochs))[1]
        enough = next(policy.brackets(), None) is not None
    else:
        rungs = (epochs,) if name == "none" else rungs_of(epochs, 3, 1)
        policy = Alone(budget, epochs, seeds, rungs)
        enough = budget.kind is not BudgetKind.EPOCHS or budget.amount >= smallest
    if len(rungs) == 1 and name not in _WITHOUT_RUNGS:
        first = ", or a smaller `first`" if name in LADDERS and "first" in options else ""
        raise ConfigError(
            f"`--pruner {pruner}` has no rung at which trials could end before {epochs} "
            f"epoch{'s' * (epochs > 1)}; give more `--epochs`{first}, or leave it out"
        )
    if not enough:
        raise ConfigError(
            f"`tune` is {budget}, and one trial takes {smallest} "
            f"({epochs} epochs, {seeds} seed{'s' * (seeds > 1)}); give more, or less `--epochs`"
        )
    return policy
