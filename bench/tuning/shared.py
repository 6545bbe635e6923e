"""One study in a storage, worked on by one process or by several at once.

A trial is RUNNING while a process has it in hand, and WAITING when it is paused or was given up.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as Stored

from bench import files
from bench.errors import BenchError, ConfigError
from bench.studies import Objective, TrialState
from bench.text import one_line
from bench.tuning import owners
from bench.tuning.directions import directions_of
from bench.tuning.owners import Owner, Watch
from bench.tuning.quiet import quietly, silence

_OWNER, _BEATS = "bench:owner", "bench:beats"
_OBJECTIVES = "objectives"
_BEGUN_SECONDS = 5.0
_STATES = {
    Stored.WAITING: TrialState.WAITING,
    Stored.RUNNING: TrialState.RUNNING,
    Stored.COMPLETE: TrialState.COMPLETE,
    Stored.PRUNED: TrialState.PRUNED,
    Stored.FAIL: TrialState.FAILED,
}
_STORED = {ours: theirs for theirs, ours in _STATES.items()}


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

    Every method may raise EnvironmentFailure or StoreError, in one line, when the storage is gone
    for good. One thread at a time may use it.
    """

    def __init__(
        self, study: optuna.Study, objectives: Sequence[Objective], owner: Owner, can_prune: bool
    ) -> None:
        self._study = study
        self._storage = study._storage
        self._id = study._study_id
        self._objectives = tuple(objectives)
        self._owner = owner
        self._can_prune = can_prune
        self._watch = Watch()
        self._ids: dict[int, int] = {}
        self._beats = 0
        self._next_beat = time.monotonic() + owners.BEAT_SECONDS

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
            storage: as `bench.tuning.storage.open_storage` gives it, or one in memory.
            name: of the study, within the storage.
            objectives: what it searches for; the same whenever it is opened.
            sampler: as `bench.tuning.sampling.make_sampler` gives it.
            pruner: what `should_prune` asks.
            facts: plain JSON that every process which works on the study must agree upon, for
                example `{"space": space.describe(), "base": ..., "sampler": "tpe"}`. Kept as the
                study's user attributes.
            results: the results folder; `studies/owners/` in it holds this process's lock.

        Raises:
            ConfigError: the storage's study has other objectives or facts; says which differ.
        """
        silence()
        with quietly():
            # Database storages get a cache of finished trials, which ours and Optuna's calls share.
            storage = optuna.storages.get_storage(storage)
            known = {_OBJECTIVES: [[each.name, each.maximize] for each in objectives], **facts}
            _begin(storage, name, objectives, as_stored(known))
            study = optuna.load_study(
                study_name=name, storage=storage, sampler=sampler, pruner=pruner
            )
        # A pruner compares scores in the direction of the study's one objective.
        can_prune = pruner is not None and [each.name for each in objectives] == ["score"]
        return cls(study, objectives, Owner(results, name), can_prune)

    def close(self) -> None:
        """Give up everything that is still in hand: it becomes WAITING. Safe to call twice."""
        try:
            for frozen in self._frozen():
                if self._is_mine(frozen):
                    self._put_down(frozen)
        finally:
            self._owner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except BenchError:
            # What ended the block matters more than that the storage is gone as well.
            if error is None:
                raise

    def trials(self) -> list[Trial]:
        """Return all trials by number, as the storage has them now."""
        return [self._view(frozen) for frozen in self._frozen()]

    def create(self) -> optuna.trial.Trial:
        """Return a new trial, RUNNING and mine, to ask for suggestions."""
        # Optuna's `ask` would take up a WAITING trial instead: paused ones are none of its.
        signed = {_OWNER: self._owner.signature(), _BEATS: self._beats}
        template = optuna.trial.create_trial(state=Stored.RUNNING, system_attrs=signed)
        identity = self._storage.create_new_trial(self._id, template)
        with quietly():
            return optuna.trial.Trial(self._looked_at_anew(), identity)

    def open_trial(self, number: int) -> optuna.trial.Trial:
        """Return a trial to ask again; what was suggested before comes back equal."""
        frozen = self._find(number)
        with quietly():
            return optuna.trial.Trial(self._looked_at_anew(), frozen._trial_id)

    def claim(self, number: int) -> bool:
        """Take a WAITING trial in hand; False if it waits no more, or another was faster."""
        frozen = self._find(number)
        if frozen.state is not Stored.WAITING:
            return False
        try:
            is_won = self._storage.set_trial_state_values(frozen._trial_id, Stored.RUNNING)
        except UpdateFinishedTrialError:
            return False
        if is_won:
            self._sign(frozen, self._owner.signature())
        return is_won

    def scores(self, number: int) -> Mapping[int, float]:
        """Return the scores of a trial as the storage has them now."""
        return self._find(number).intermediate_values

    def release(self, number: int) -> None:
        """Put a trial of mine down, for whoever claims it; it is WAITING then."""
        frozen = self._find(number)
        if self._is_mine(frozen):
            self._put_down(frozen)

    def note(self, number: int, **plain: Any) -> None:
        """Keep plain JSON with a trial; a trial that is over stays as it is."""
        frozen = self._find(number)
        for name, value in as_stored(plain).items():
            self._update(self._storage.set_trial_user_attr, frozen, name, value)

    def report(self, number: int, epoch: int, score: float) -> None:
        """Keep the score of a trial after an epoch."""
        frozen = self._find(number)
        self._update(self._storage.set_trial_intermediate_value, frozen, epoch, float(score))

    def finish(
        self,
        number: int,
        state: TrialState,
        objectives: Sequence[float] | None = None,
        error: str | None = None,
    ) -> None:
        """End a trial, unless someone else has. A WAITING one is claimed first.

        Args:
            number: of the trial.
            state: COMPLETE, PRUNED or FAILED.
            objectives: of a complete one; where any is no finite number, the trial has FAILED.
            error: one line, of a failed one.
        """
        frozen = self._find(number)
        if frozen.state is Stored.WAITING and not self.claim(number):
            return  # whoever has it in hand sees what we saw, and ends it
        values = None
        if state is TrialState.COMPLETE:
            values = [float(each) for each in objectives or ()]
            error = self._flaw(values)
            if error is not None:
                state, values = TrialState.FAILED, None
        if error is not None:
            self._update(self._storage.set_trial_user_attr, frozen, "error", one_line(error))
        self._update(self._storage.set_trial_state_values, frozen, _STORED[state], values)

    def should_prune(self, number: int) -> bool:
        """Ask Optuna's pruner; False without one, and unless the score is the only objective."""
        if not self._can_prune:
            return False
        with quietly():
            return self._study.pruner.prune(self._looked_at_anew(), self._find(number))

    def beat(self) -> None:
        """Say that this process lives. Call it often: it writes only every 20 seconds."""
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + owners.BEAT_SECONDS
        self._beats += 1
        for frozen in self._frozen():
            if self._is_mine(frozen):
                self._update(self._storage.set_trial_system_attr, frozen, _BEATS, self._beats)

    def release_stale(self) -> list[int]:
        """Make WAITING what a process had in hand that is gone; return the numbers."""
        released, named = [], set()
        for frozen in self._frozen():
            if frozen.state is not Stored.RUNNING or self._is_mine(frozen):
                continue
            signature = frozen.system_attrs.get(_OWNER)
            if self._watch.is_gone(frozen.number, signature, frozen.system_attrs.get(_BEATS)):
                # Another process may have released it just now, and a third one claimed it.
                latest = self._find(frozen.number)
                if latest.state is Stored.RUNNING and _signature(latest) == signature:
                    self._put_down(latest)
                    released.append(frozen.number)
            elif signature is not None:
                named.add(str(signature.get("token")))
        self._owner.sweep(named)
        return released

    def _looked_at_anew(self) -> optuna.Study:
        """Return Optuna's study without the trials that it remembers for its samplers.

        Its own `ask` has it forget them; we create trials and take them up without that.
        """
        study = self._study
        return optuna.Study(study.study_name, self._storage, study.sampler, study.pruner)

    def _frozen(self) -> list[FrozenTrial]:
        """Return Optuna's own view of all trials, which nobody may change."""
        return self._storage.get_all_trials(self._id, deepcopy=False)

    def _find(self, number: int) -> FrozenTrial:
        if number not in self._ids:
            self._ids = {frozen.number: frozen._trial_id for frozen in self._frozen()}
        return self._storage.get_trial(self._ids[number])

    def _is_mine(self, frozen: FrozenTrial) -> bool:
        signature = _signature(frozen)
        is_signed = signature is not None and signature.get("token") == self._owner.token
        return frozen.state is Stored.RUNNING and is_signed

    def _sign(self, frozen: FrozenTrial, signature: Mapping[str, Any] | None) -> None:
        self._update(self._storage.set_trial_system_attr, frozen, _OWNER, signature)

    def _put_down(self, frozen: FrozenTrial) -> None:
        # In this order: whoever claims it is not taken for the owner before.
        self._sign(frozen, None)
        self._update(self._storage.set_trial_state_values, frozen, Stored.WAITING)

    def _update(self, change: Any, frozen: FrozenTrial, *arguments: Any) -> None:
        """Change a trial in the storage, unless someone has ended it."""
        with contextlib.suppress(UpdateFinishedTrialError):
            change(frozen._trial_id, *arguments)

    def _flaw(self, values: Sequence[float]) -> str | None:
        """Return what makes the objectives of a trial worthless, None for sound ones."""
        if len(values) != len(self._objectives):
            return f"{len(values)} values for {len(self._objectives)} objectives"
        for objective, value in zip(self._objectives, values, strict=True):
            if not math.isfinite(value):
                return f"its {objective.name} is {value}"
        return None

    def _view(self, frozen: FrozenTrial) -> Trial:
        notes = dict(frozen.user_attrs)
        state = _STATES[frozen.state]
        return Trial(
            number=frozen.number,
            state=state,
            is_mine=self._is_mine(frozen),
            params=dict(frozen.params),
            values=notes.get("values", {}),
            scores=dict(sorted(frozen.intermediate_values.items())),
            objectives=tuple(frozen.values or ()) if state is TrialState.COMPLETE else (),
            error=notes.get("error"),
            notes=notes,
        )


def _signature(frozen: FrozenTrial) -> dict[str, Any] | None:
    signature = frozen.system_attrs.get(_OWNER)
    return signature if isinstance(signature, dict) else None


def as_stored(value: Any) -> Any:
    """Return a value as JSON gives it back: lists for tuples, texts for keys."""
    return json.loads(files.dump_json(value))


def _begin(
    storage: optuna.storages.BaseStorage,
    name: str,
    objectives: Sequence[Objective],
    facts: Mapping[str, Any],
) -> None:
    """Create a study with its facts, or see that the one of that name has the same."""
    try:
        identity = storage.create_new_study(directions_of(objectives), study_name=name)
        is_new = True
    except DuplicatedStudyError:
        identity = storage.get_study_id_from_name(name)
        is_new = False
    # Whoever created the study a moment ago is still writing; unless it was killed.
    deadline = time.monotonic() + (0 if is_new else _BEGUN_SECONDS)
    while facts.keys() - (known := storage.get_study_user_attrs(identity)).keys():
        if time.monotonic() >= deadline:
            break
        time.sleep(0.05)
    for fact, value in facts.items():
        if fact not in known:
            storage.set_study_user_attr(identity, fact, value)
        elif known[fact] != value:
            raise ConfigError(difference(name, fact, known[fact], value))


def difference(study: str, fact: str, then: Any, now: Any) -> str:
    """Return one line that says in what a study differs from the one that was begun."""
    path = []
    while isinstance(then, dict) and isinstance(now, dict):
        keys = [key for key in {**then, **now} if then.get(key, _ABSENT) != now.get(key, _ABSENT)]
        path.append(keys[0])
        then, now = then.get(keys[0], _ABSENT), now.get(keys[0], _ABSENT)
    where = "".join(f" `{key}`" for key in path)
    return (
        f"study `{study}` was begun with another {fact}:{where} was {_said(then)} then and is "
        f"{_said(now)} now; give the same as then, or `--study NAME` for a new study"
    )


_ABSENT = object()


def _said(value: Any) -> str:
    return "absent" if value is _ABSENT else one_line(json.dumps(value, ensure_ascii=False), 120)
