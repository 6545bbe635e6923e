"""Which trial goes how far: the rungs of a study, and who is let past them.

A policy looks at what is known of all trials and says what is to be done next. It keeps nothing
between two looks, so several processes that work on one study come to the same decisions, and so
does one that goes on after a kill.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.budget import Budget, BudgetKind
from bench.config import parse_value
from bench.errors import ConfigError
from bench.studies import TrialState
from bench.text import did_you_mean, listing


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
class Bracket:
    """Trials that begin together, and how many of them are let past each rung.

    Attributes:
        size: trials that begin.
        rungs: epochs at which they wait for one another, ascending; the last one is the end.
        keep: how many go on from each rung but the last.
    """

    size: int
    rungs: tuple[int, ...]
    keep: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """What it costs, with one seed, if no trial fails."""
        counts, steps = (self.size, *self.keep), (0, *self.rungs)
        return sum(
            count * (rung - before)
            for count, before, rung in zip(counts, steps, self.rungs, strict=False)
        )


class Ladder(Protocol):
    """The brackets that a kind of halving consists of."""

    def brackets(self, epochs: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield size and rungs of each bracket, without end."""

    def keep(self, size: int, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many of a bracket's trials go on from each rung but the last."""


@dataclass(frozen=True)
class Halving:
    """Successive halving: at each rung the best of `eta` go on.

    Jamieson and Talwalkar, 2016 (https://arxiv.org/abs/1502.07943); the rungs are R, R/eta,
    R/eta^2, ... epochs, rounded, and not below `first`.

    Attributes:
        eta: which part goes on; 3 as in Li et al., 2018 (https://arxiv.org/abs/1603.06560).
        first: fewest epochs after which trials are compared.
    """

    eta: int = 3
    first: int = 1

    def brackets(self, epochs: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield brackets of the size that leaves one trial at the end."""
        rungs = _rungs(epochs, self.eta, self.first)
        while True:
            yield self.eta ** (len(rungs) - 1), rungs

    def keep(self, size: int, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return size / eta, size / eta^2, ..., at least one."""
        return tuple(max(1, size // self.eta**step) for step in range(1, len(rungs)))


@dataclass(frozen=True)
class Hyperband(Halving):
    """Hyperband: halving with many short trials, then with fewer that begin at a later rung.

    Li et al., 2018 (https://arxiv.org/abs/1603.06560, algorithm 1): bracket s begins with
    ceil((s_max + 1) / (s + 1) * eta^s) trials.
    """

    def brackets(self, epochs: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the brackets of one Hyperband after another."""
        rungs = _rungs(epochs, self.eta, self.first)
        most = len(rungs) - 1
        while True:
            for skipped in range(len(rungs)):
                step = most - skipped
                yield math.ceil((most + 1) / (step + 1) * self.eta**step), rungs[skipped:]


@dataclass(frozen=True)
class FirstEpoch:
    """Train all for one epoch and keep the best: what any cleverer pruner must beat.

    Attributes:
        keep_best: how many go on to the end; of a bracket's trials at least one.
        first: epochs after which they are compared.
    """

    keep_best: int = 1
    first: int = 1

    def brackets(self, epochs: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield brackets of as many trials as one whole run has epochs, for each that is kept."""
        first = min(self.first, epochs)
        rungs = (first, epochs) if first < epochs else (epochs,)
        while True:
            yield max(2, epochs // first) * self.keep_best, rungs

    def keep(self, size: int, rungs: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many go on."""
        return (min(size, self.keep_best),) * (len(rungs) - 1)


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


LADDERS: dict[str, type[Halving | FirstEpoch]] = {
    "halving": Halving,
    "hyperband": Hyperband,
    "first-epoch": FirstEpoch,
}
"""The pruners whose trials wait for one another."""


def make_policy(pruner: str, budget: Budget, epochs: int, seeds: int) -> Policy:
    """Return how a study's trials spend its budget.

    Args:
        pruner: `NAME[:OPTION=VALUE,...]`; anything but `none` and `LADDERS` is a pruner of
            Optuna's, which is asked at rungs 1, 3, 9, ...
        budget: of one study.
        epochs: of a whole run.
        seeds: runs of a trial.

    Raises:
        ConfigError: an option that the pruner does not have, or a budget that pays for nothing.
    """
    name, _, options = pruner.partition(":")
    policy: Alone | Together
    if name in LADDERS:
        policy = Together(_ladder(name, options), budget, epochs, seeds)
        smallest = epochs * seeds
        enough = next(policy.brackets(), None) is not None
    else:
        rungs = (epochs,) if name == "none" else _rungs(epochs, 3, 1)
        policy = Alone(budget, epochs, seeds, rungs)
        smallest = epochs * seeds
        enough = budget.kind is not BudgetKind.EPOCHS or budget.amount >= smallest
    if not enough:
        raise ConfigError(
            f"`tune` is {budget}, and one trial takes {smallest} "
            f"({epochs} epochs, {seeds} seed{'s' * (seeds > 1)}); give more, or less `--epochs`"
        )
    return policy


def _ladder(name: str, text: str) -> Halving | FirstEpoch:
    kind = LADDERS[name]
    spelt = {"eta": "eta", "first": "first", "keep": "keep_best"}
    known = [word for word, own in spelt.items() if own in kind.__dataclass_fields__]
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        word, equals, value = part.partition("=")
        word = word.strip()
        if word not in known:
            hint = did_you_mean(word, known)
            raise ConfigError(
                f"pruner `{name}` has no option `{word}`{hint}; it has {listing(known)}"
            )
        number = parse_value(value)
        least = 2 if word == "eta" else 1
        if not equals or isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigError(f"pruner `{name}`: `{word}` wants a whole number from {least}")
        options[spelt[word]] = number
    return kind(**options)


def _rungs(epochs: int, eta: int, first: int) -> tuple[int, ...]:
    """Return epochs, epochs / eta, ..., rounded, as far as they are not below `first`."""
    found = {epochs}
    rung = epochs / eta
    while round(rung) >= first:
        found.add(round(rung))
        rung /= eta
        if round(rung) < 1:
            break
    return tuple(sorted(found))
