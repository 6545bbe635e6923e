"""Which runs an ensemble is made of: chosen by pattern, grouped by seed, of one question."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

from bench import comparison, leaderboard, studies
from bench.errors import UnknownNameError, UsageError
from bench.records import Purpose, RunRecord, RunSpec, canonical
from bench.store import Store
from bench.text import did_you_mean, listing

APART, TOGETHER = "apart", "together"
"""An ensemble for every seed; one of all runs."""
_CHOSEN_BY: dict[str, Callable[[RunSpec], str]] = {
    "models": lambda spec: spec.model.name,
    "optimizers": lambda spec: spec.optimizer.name,
    "datasets": lambda spec: spec.dataset.name,
}


def candidates(
    store: Store,
    patterns: Sequence[str] = (),
    models: Sequence[str] = (),
    optimizers: Sequence[str] = (),
    datasets: Sequence[str] = (),
) -> list[RunRecord]:
    """Return the runs that an ensemble may be made of, in a fixed order.

    Without patterns those that a leaderboard would rank, ensembles and members of bagging and
    boosting left out.

    Args:
        store: holds them.
        patterns: globs of model names, or beginnings of run ids.
        models: globs of model names, of which one must fit; all do where there are none.
        optimizers: likewise.
        datasets: likewise.

    Raises:
        UsageError: a pattern fits no run, or one that cannot be a member.
    """
    records = store.finals()
    known = {study.id: study for study in studies.read_all(store.root)[0]}
    counted = [run for runs in leaderboard.current(records, known) for run in runs]
    usual = [r for r in counted if comparison.is_scored(r) and not r.spec.members]
    usual = [record for record in usual if not record.spec.draw]
    chosen = usual
    if patterns:
        chosen = [run for pattern in patterns for run in _fitting(pattern, usual, store)]
    for name, globs in (("models", models), ("optimizers", optimizers), ("datasets", datasets)):
        of = _CHOSEN_BY[name]
        there = sorted({of(run.spec) for run in chosen})
        for glob in globs:
            if not fnmatch.filter(there, glob):
                raise UnknownNameError(
                    f"`--{name} {glob}` fits no finished run in `{store.root}`"
                    f"{did_you_mean(glob, there)}; there are {listing(there) or 'none'}"
                )
        if globs:
            chosen = [r for r in chosen if any(fnmatch.fnmatchcase(of(r.spec), g) for g in globs)]
    return sorted({run.id: run for run in chosen}.values(), key=_place)


def _place(record: RunRecord) -> tuple[Any, ...]:
    spec = record.spec
    return (spec.model.name, spec.optimizer.name, spec.method, spec.seed, record.id)


def _fitting(pattern: str, usual: Sequence[RunRecord], store: Store) -> list[RunRecord]:
    """Return the runs that a pattern names; an id may name one that no leaderboard counts."""
    fitting = [run for run in usual if fnmatch.fnmatchcase(run.spec.model.name, pattern)]
    if fitting:
        return fitting
    if not store.ids(pattern):
        hint = did_you_mean(pattern, {run.spec.model.name for run in usual})
        raise UnknownNameError(
            f"`{pattern}` is neither the model of a finished run in `{store.root}` nor the "
            f"beginning of an id{hint}; see `bench list runs`"
        )
    record = store.find(pattern)
    if record.spec.members:
        raise UsageError(f"run `{record.id}` is an ensemble itself; name its members")
    if record.spec.purpose is not Purpose.FINAL:
        raise UsageError(f"run `{record.id}` is a {record.spec.purpose}, which saw no test split")
    if not comparison.is_scored(record):
        raise UsageError(
            f"run `{record.id}` ended as `{record.status}`; a member needs a score on test"
        )
    return [record]


def by_seed(
    members: Sequence[RunRecord], seeds: str | None = None
) -> list[tuple[int, list[RunRecord]]]:
    """Return the members of each ensemble with its seed.

    Args:
        members: of all.
        seeds: `apart`, an ensemble for every seed; `together`, one of all runs; None: apart where
            two methods or more have the same two seeds or more.

    Raises:
        UsageError: there are too few members, or not the same seeds.
    """
    methods: dict[tuple[str, str], list[RunRecord]] = {}
    for record in members:
        place = (record.spec.method, str(record.spec.key.get("device")))
        methods.setdefault(place, []).append(record)
    of = [sorted(record.spec.seed for record in runs) for runs in methods.values()]
    alike = all(each == of[0] for each in of) and len({*of[0]}) == len(of[0]) if of else False
    if seeds is None:
        seeds = APART if alike and len(of) > 1 and len(of[0]) > 1 else TOGETHER
    if seeds == TOGETHER:
        if len(members) < 2:
            found = f"only run `{members[0].id}`" if members else "none"
            raise UsageError(f"an ensemble has two members or more, and there is {found}")
        own = {record.spec.seed for record in members}
        return [(own.pop() if len(own) == 1 else 0, list(members))]
    if len(methods) < 2:
        raise UsageError(
            "`--seeds apart` takes one run of each method, and there is one method only; "
            "`--seeds together` combines its seeds"
        )
    if not alike:
        first, other = next(
            (a, b)
            for a, b in zip(methods.values(), [*methods.values()][1:], strict=False)
            if sorted(r.spec.seed for r in a) != sorted(r.spec.seed for r in b)
        )
        said = [
            f"{runs[0].spec.model_label} with {runs[0].spec.optimizer.name} has "
            f"{', '.join(str(record.spec.seed) for record in runs)}"
            for runs in (first, other)
        ]
        raise UsageError(
            f"`--seeds apart` needs the same seeds of every method, and {said[0]} while {said[1]}; "
            "leave runs out, or give `--seeds together`"
        )
    return [(seed, [record for record in members if record.spec.seed == seed]) for seed in of[0]]


def check_alike(members: Sequence[RunRecord]) -> None:
    """Refuse runs that no leaderboard would rank in one block.

    Raises:
        UsageError: two of them differ in dataset, content or protocol; both are named.
    """
    first = members[0]
    ours = leaderboard.block_of(first)
    for other in members[1:]:
        theirs = leaderboard.block_of(other)
        names = [
            n for n in {**ours, **theirs} if canonical(ours.get(n)) != canonical(theirs.get(n))
        ]
        if names:
            name = names[0]
            raise UsageError(
                f"run `{first.id}` and run `{other.id}` differ in `{name}` ({ours.get(name)} and "
                f"{theirs.get(name)}); members are of one dataset and protocol, choose them by "
                "`--datasets`, `--models` or ids"
            )
