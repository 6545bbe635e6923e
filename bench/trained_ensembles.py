"""Ensembles whose members are trained for them: bagging and boosting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import api, comparison, ensembles, leaderboard, rankings, tables
from bench.answers import AnswerBook
from bench.api import Result
from bench.boosting import Boosting
from bench.config import ExperimentConfig
from bench.ensembles import Built, Recipe
from bench.errors import BenchError, UsageError
from bench.forecast import PlannedRun
from bench.plan import Plan
from bench.records import RunRecord
from bench.registry import Registry
from bench.runner import Observer
from bench.store import Store
from bench.text import one_line

RESAMPLES = {"bagging": "bootstrap", "boosting": "weights"}
"""How the members of each way draw their training items."""


@dataclass
class Trained:
    """What became of the members, and of the ensembles made of them.

    Attributes:
        notes: one line for each ensemble that could not be made, or is smaller than asked for.
    """

    result: Result
    built: list[Built] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def member_config(config: ExperimentConfig, how: str, members: int) -> ExperimentConfig:
    """Return the experiment that trains the members; of boosting, those of the first round.

    Raises:
        UsageError: something was asked for that does not go with it.
    """
    if members < 2:
        raise UsageError("`--members` is 2 or more: an ensemble of one is that one")
    if config.tune is not None:
        raise UsageError(
            f"`--tune` and `--how {how}` do not go together; tune first, and give what was found "
            "by `--set`"
        )
    if config.resample is not None:
        raise UsageError(f"leave `--resample` out; `--how {how}` sets it")
    seeds = config.seeds * members if how == "bagging" else config.seeds
    values = {**config.values(), "seeds": seeds, "resample": RESAMPLES[how]}
    return ExperimentConfig.create(values)


def train(
    recipe: Recipe,
    members: int,
    config: ExperimentConfig,
    registry: Registry,
    what: Plan,
    planned: list[PlannedRun],
    observer: Observer,
) -> Trained:
    """Train what is not trained yet and combine it, one ensemble for each method and seed.

    Args:
        recipe: `bagging` or `boosting`.
        members: runs, or rounds, of an ensemble.
        config: what `member_config` returned.
        registry: what the plugins offer.
        what: the plan of that config.
        planned: its runs.
        observer: is told how it goes.
    """
    store = Store(config.results)
    boosting = None
    if recipe.how == "boosting":
        boosting = Boosting(members, registry, store, rerun=config.rerun)
    result = api.execute(config, registry, what, planned, observer, boosting)
    trained = Trained(result)
    if result.interrupted:
        return trained
    if boosting is None:
        _bag(trained, recipe, members, store)
    else:
        _boost(trained, recipe, boosting, store)
    if trained.built:
        tables.write(rankings.stored(store), store)
        used = [built.record for built in trained.built]
        result.leaderboard = leaderboard.build([*result.records, *used], store)
    return trained


def _bag(trained: Trained, recipe: Recipe, members: int, store: Store) -> None:
    groups: dict[tuple[str, int], list[RunRecord]] = {}
    for record in trained.result.records:
        number = record.spec.seed // members
        groups.setdefault((record.spec.method, number), []).append(record)
    for (method, number), runs in groups.items():
        sound = sorted(filter(comparison.is_scored, runs), key=lambda record: record.spec.seed)
        if len(sound) < members:
            first = runs[0].spec
            trained.notes.append(
                f"{first.model_label} with {first.optimizer.name}, ensemble {number}: "
                f"{len(sound)} of {members} members ended well"
            )
        _build(trained, recipe, sound, store, number, method)


def _boost(trained: Trained, recipe: Recipe, boosting: Boosting, store: Store) -> None:
    for course in boosting.courses:
        base = course.base
        who = f"{base.model_label} with {base.optimizer.name}, seed {base.seed}"
        told = ", ".join(f"{error:.1%}" for error in course.errors)
        errors = f"; weighted errors on train: {told}" if told else ""
        trained.notes.append(f"{who}: {course.over}{errors}")
        _build(trained, recipe, course.members, store, base.seed, base.method, course.alphas)


def _build(
    trained: Trained,
    recipe: Recipe,
    members: Sequence[RunRecord],
    store: Store,
    seed: int,
    method: str,
    alphas: Sequence[float] = (),
) -> None:
    """Combine the members of one ensemble; what keeps others from it is noted."""
    if len(members) < 2:
        trained.notes.append("no ensemble was made: it takes two members that ended well")
        return
    try:
        book = AnswerBook(store)
        trained.built.append(
            ensembles.build(
                members, recipe, store, book, seed=seed, alphas=alphas, methods=[method]
            )
        )
    except BenchError as error:
        trained.notes.append(one_line(str(error)))
