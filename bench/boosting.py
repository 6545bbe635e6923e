"""Boosting: members trained one after the other, each on what the one before it got wrong.

SAMME (Zhu et al. 2009) over ordinary runs. Item weights reach a run through how the items of its
epochs are drawn (`RunSpec.draw`): boosting by resampling, as Freund and Schapire (1997) describe
it for learners that take no weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from bench import item_weights, provenance
from bench.answers import AnswerBook
from bench.combining import samme_step
from bench.dispatch import Task as Work
from bench.item_weights import Weights
from bench.records import RunRecord, RunSpec, RunStatus
from bench.registry import Registry
from bench.runner import Runner
from bench.specs import Task
from bench.store import Store

_ROUNDING = 1e-9
SEED_STEP = 1000
"""How far the seeds of two rounds are apart: each member has initial weights of its own."""


class Ended(Protocol):
    """Says how a run has ended; None while it is to be trained."""

    def __call__(self, spec: RunSpec) -> RunRecord | None:
        """Return the record of a run that has ended."""


class Course:
    """The rounds of one ensemble, as far as they have come.

    Attributes:
        base: the run of the first round, with its key.
        current: the run of the round under way.
        members: those that count, in the order of the rounds.
        errors: weighted error of each on train.
        alphas: weight of each in the vote.
        over: why there will be no further round; empty while there may be one.
    """

    def __init__(self, base: RunSpec, rounds: int, registry: Registry, store: Store) -> None:
        self.base = self.current = base
        self.members: list[RunRecord] = []
        self.errors: list[float] = []
        self.alphas: list[float] = []
        self.over = ""
        self._rounds, self._registry, self._store = rounds, registry, store
        self._weights: Weights | None = None

    def follow(self, ended: Ended) -> Iterator[RunSpec]:
        """Take note of rounds that have ended; yield the run of each that follows."""
        while not self.over and (record := ended(self.current)) is not None:
            self._take(record)
            if not self.over:
                yield self.current

    def _take(self, record: RunRecord) -> None:
        number = len(self.members) + 1
        if record.status is not RunStatus.OK:
            self.over = f"round {number} ended as `{record.status}`"
            return
        answers = AnswerBook(self._store).of(record, "train")
        if answers is None:
            self.over = f"the train predictions of run `{record.id}` are missing or damaged"
            return
        if answers.task is Task.MULTI_LABEL:
            self.over = "SAMME is for tasks with one label an image; take `--how bagging`"
            return
        labels, predicted, classes = answers.labels, answers.predicted, len(answers.classes)
        weights = self._weights
        if weights is None:
            weights = np.ones(len(labels))
        if weights.shape != labels.shape or predicted.shape != labels.shape:
            self.over = f"the train predictions of run `{record.id}` are not of its items"
            return
        error, alpha, self._weights = samme_step(labels, predicted, weights, classes)
        if error > 1 - 1 / classes - _ROUNDING:
            self.over = (
                f"round {number} has a weighted error of {error:.1%} on train, no better than "
                f"guessing among {classes} classes, and is left out"
            )
            return
        self.members.append(record)
        self.errors.append(error)
        self.alphas.append(alpha)
        if error == 0:
            self.over = f"round {number} makes no error on train"
        elif number == self._rounds:
            self.over = f"all {number} rounds are done"
        else:
            self.current = self._next(number + 1, answers.ids)

    def _next(self, number: int, ids: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> RunSpec:
        assert self._weights is not None
        digest, path = item_weights.save(self._store.root, ids, self._weights)
        draw = {**self.base.draw, "round": number, "weights": digest, "file": str(path.absolute())}
        seed = self.base.seed + SEED_STEP * (number - 1)
        spec = dataclasses.replace(self.base, draw=draw, seed=seed, key={})
        content = (self.base.fingerprint, self.base.variant)
        return provenance.complete(spec, self._registry, content, str(self.base.key["device"]))


class Boosting:
    """What follows from the first rounds of an experiment; the runner's supply of further ones.

    Attributes:
        courses: one for each run of the first round.
    """

    def __init__(self, rounds: int, registry: Registry, store: Store, *, rerun: bool) -> None:
        self.courses: list[Course] = []
        self._rounds, self._registry, self._store = rounds, registry, store
        self._rerun = rerun

    def settled(self, specs: Sequence[RunSpec]) -> list[RunSpec] | None:
        """Return the runs of all further rounds if every course is over, else None."""
        if self._rerun or not all(spec.key for spec in specs):
            return None
        courses = [self._course(spec) for spec in specs]
        further = [run for course in courses for run in course.follow(self._finished)]
        if not all(course.over for course in courses):
            return None
        self.courses = courses
        return further

    def open(self) -> None:
        """Do nothing: the results folder is all that is needed."""

    def begin(self, specs: Sequence[RunSpec], runner: Runner) -> Rounds:
        """Return the further rounds of all courses, each as soon as the one before has ended."""
        self.courses = [self._course(spec) for spec in specs]
        return Rounds(self.courses, runner)

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def _course(self, spec: RunSpec) -> Course:
        return Course(spec, self._rounds, self._registry, self._store)

    def _finished(self, spec: RunSpec) -> RunRecord | None:
        record = self._store.read(spec.id)
        return record if record is not None and record.status is RunStatus.OK else None


class Rounds:
    """A supply: the next round of whichever course has ended one."""

    def __init__(self, courses: Sequence[Course], runner: Runner) -> None:
        self._courses, self._runner = courses, runner
        self._waiting: list[RunSpec] = []

    def next(self) -> Work | None:
        """Return the training of a round that can begin."""
        self.attend()
        return self._runner.training(self._waiting.pop(0)) if self._waiting else None

    @property
    def is_exhausted(self) -> bool:
        """Whether all courses are over."""
        return not self._waiting and all(course.over for course in self._courses)

    def attend(self) -> None:
        """Look which rounds have ended."""
        for course in self._courses:
            for spec in course.follow(self._runner.ended):
                self._runner.finals([spec])
                self._waiting.append(spec)
