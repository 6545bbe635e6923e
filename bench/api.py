"""The Python door: run an experiment, read its records."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import frames, leaderboard, rankings, scoring, tables
from bench.answers import AnswerBook
from bench.config import ExperimentConfig
from bench.console import Console
from bench.errors import StoreError
from bench.forecast import PlannedRun, forecast
from bench.leaderboard import Leaderboard
from bench.plan import Plan, plan
from bench.records import RunRecord, RunSpec, RunStatus
from bench.registry import Registry, load_registry
from bench.runner import Observer, Outcome, Runner, Tuning
from bench.store import Store
from bench.studies import StudyRecord

if TYPE_CHECKING:
    import pandas as pd

    from bench.tuning.tuner import Tuner


@dataclass
class Result:
    """What an experiment gave.

    Attributes:
        leaderboard: the experiment's own runs, ranked.
        records: one for each run that ended.
        interrupted: whether it was stopped before all had ended.
        studies: what tuning came to, one study a cell; empty without `tune`.
    """

    leaderboard: Leaderboard
    records: list[RunRecord] = field(default_factory=list)
    interrupted: bool = False
    studies: list[StudyRecord] = field(default_factory=list)

    @property
    def failed(self) -> list[RunRecord]:
        """The runs that did not end well."""
        return [record for record in self.records if record.status is not RunStatus.OK]

    @property
    def fruitless(self) -> list[StudyRecord]:
        """The studies all of whose trials failed."""
        return [study for study in self.studies if study.over and not study.best]

    def __str__(self) -> str:
        return tables.to_markdown(self.leaderboard)

    def _repr_markdown_(self) -> str:
        """Show the leaderboard as a table in a notebook."""
        return str(self)


def run(**values: Any) -> Result:
    """Run an experiment, as `bench run` does, and return its results.

    Args:
        values: the words of the command line and of experiment files, for example
            `models="resnet50,mobilenet", seeds=3, epochs=2, set={"adamw.lr": [1e-3, 2e-3]}`.

    Raises:
        BenchError: a name, value, dataset or machine is not as it should be, in one line.
            A run that fails raises nothing: it is a record with its cause.
    """
    config = ExperimentConfig.create(values)
    registry = load_registry()
    planned = prepare(config, registry)
    return execute(config, registry, *planned, Console(live=False))


def prepare(config: ExperimentConfig, registry: Registry) -> tuple[Plan, list[PlannedRun]]:
    """Return what an experiment would do, without doing any of it."""
    store = Store(config.results)
    scoring.choose(config.metrics, registry)  # a misspelt one is to be told of now
    what = plan(config, registry)
    if config.tune:
        _tuner(config, registry, store, lambda text: None).check(what.runs)
    return what, forecast(what.runs, registry, store, config.rerun)


def execute(
    config: ExperimentConfig,
    registry: Registry,
    what: Plan,
    planned: list[PlannedRun],
    observer: Observer,
    further: Tuning | None = None,
) -> Result:
    """Carry out a plan, write the leaderboard files and return the experiment's own results.

    Args:
        config: what was asked for.
        registry: what the plugins offer.
        what: the plan.
        planned: its runs, with what is known of each.
        observer: is told how it goes.
        further: runs that follow from how these end; those of tuning by default.
    """
    store = Store(config.results)
    tuner = _tuner(config, registry, store, observer.message) if config.tune else None
    runner = Runner(
        *(config, what.executor, registry, store, observer, further or tuner),
        trackers=what.trackers,
    )
    registry.manager.register(observer, name="console")
    try:
        outcome: Outcome = runner.run(planned)
    finally:
        registry.manager.unregister(name="console")
    if store.runs.exists():
        try:
            tables.write(rankings.stored(store), store)
        except StoreError as error:
            # Reading works where writing does not; the caller still gets the results.
            observer.message(f"warning: {error}")
    for warning in store.warnings:
        observer.message(f"warning: {warning}")
    wanted = scoring.choose(config.metrics, registry)
    scorer = scoring.Scorer(wanted, AnswerBook(store), store)
    board = leaderboard.build(outcome.records, store, scorer=scorer)
    for note in scorer.notes:
        observer.message(f"warning: {note}")
    return Result(board, outcome.records, outcome.interrupted, tuner.records() if tuner else [])


def _tuner(
    config: ExperimentConfig, registry: Registry, store: Store, say: Callable[[str], None]
) -> Tuner:
    from bench.tuning.tuner import Tuner  # Optuna takes a second to import

    return Tuner(config, registry, store, say)


def load_records(results: str | Path = "results") -> pd.DataFrame:
    """Return every stored run as one row of a tidy DataFrame, oldest first.

    Trials of searches and ensembles are rows too; `kind` tells them apart. The columns, among them
    `model`, `seed`, `metrics.test.accuracy`, `timing.train_seconds`, `params.optimizer.lr` and
    `protocol.epochs`, and their types are those of `bench.frames`; they are the same however many
    runs there are, none included. Files that cannot be read are warned of by name.

    Args:
        results: the results directory; one that is not there has no runs.
    """
    store = Store(Path(results))
    found = frames.frame(store.records())
    for text in store.warnings:
        warnings.warn(text, stacklevel=2)
    return found


__all__ = ["Result", "RunSpec", "execute", "load_records", "prepare", "run"]
