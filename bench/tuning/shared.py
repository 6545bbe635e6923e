"""One study in a storage, worked on by one process or by several at once.

A trial is RUNNING while a process has it in hand, and WAITING when it is paused or was given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.studies import Objective, TrialState

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Trial:
    """A trial as the storage has it at one moment.

    Attributes:
        number: from 0, without gaps, in the order of creation.
        is_mine: whether this process has it in hand; only RUNNING ones are.
        params: what Optuna suggested, by name.
        values: what `note(number, values=...)` kept, usually `Space.suggest`'s answer; empty
            where nothing was noted, as in a trial that was killed in the midst of its suggestions.
        scores: what was reported, by epoch.
        objectives: of a complete trial.
        error: one line, of a failed trial.
        notes: everything noted, `values` included.
    """

    number: int
    state: TrialState
    is_mine: bool
    params: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    objectives: Sequence[float] = ()
    error: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class SharedStudy:
    """A study in a storage. Made by `open`; `close` it, or use it in a `with`.

    Every method may raise EnvironmentFailure, in one line, when the storage is gone for good.
    """

    @classmethod
    def open(
        cls,
        storage: optuna.storages.BaseStorage,
        name: str,
        objectives: Sequence[Objective],
        sampler: optuna.samplers.BaseSampler,
        pruner: optuna.pruners.BasePruner | None,
        facts: Mapping[str, Any],
        results: Path,
    ) -> Self:
        """Create the study of that name, or go on with it.

        Args:
            facts: plain JSON that every process which works on the study must agree upon, for
                example `{"space": space.describe(), "base": ..., "sampler": "tpe"}`. Kept as the
                study's user attributes.
            results: the results folder; `studies/owners/` in it holds this process's lock.

        Raises:
            ConfigError: the storage's study has other objectives or facts; says which differ.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give up everything that is still in hand: it becomes WAITING. Safe to call twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def trials(self) -> list[Trial]:
        """Return all trials by number, as the storage has them now."""
        raise NotImplementedError

    def create(self) -> optuna.trial.Trial:
        """Return a new trial, RUNNING and mine, to ask for suggestions."""
        raise NotImplementedError

    def open_trial(self, number: int) -> optuna.trial.Trial:
        """Return a trial to ask again; what was suggested before comes back equal."""
        raise NotImplementedError

    def claim(self, number: int) -> bool:
        """Take a WAITING trial in hand; False if it waits no more, or another was faster."""
        raise NotImplementedError

    def release(self, number: int) -> None:
        """Put a trial of mine down, for whoever claims it; it is WAITING then."""
        raise NotImplementedError

    def note(self, number: int, **plain: Any) -> None:
        """Keep plain JSON with a trial; a trial that is over stays as it is."""
        raise NotImplementedError

    def report(self, number: int, epoch: int, score: float) -> None:
        """Keep the score of a trial after an epoch."""
        raise NotImplementedError

    def finish(
        self,
        number: int,
        state: TrialState,
        objectives: Sequence[float] | None = None,
        error: str | None = None,
    ) -> None:
        """End a trial, unless someone else has. A WAITING one is claimed first.

        Args:
            state: COMPLETE, PRUNED or FAILED.
            objectives: of a complete one; where any is no finite number, the trial has FAILED.
            error: one line, of a failed one.
        """
        raise NotImplementedError

    def should_prune(self, number: int) -> bool:
        """Ask Optuna's pruner; False without one, and with several objectives."""
        raise NotImplementedError

    def beat(self) -> None:
        """Say that this process lives. Call it often: it writes only every 20 seconds."""
        raise NotImplementedError

    def release_stale(self) -> list[int]:
        """Make WAITING what a process had in hand that is gone; return the numbers."""
        raise NotImplementedError
