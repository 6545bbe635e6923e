"""What is known of the tuning of a cell: plain data beside the runs, for reading without Optuna.

The storage that Optuna works on may be a database far away. Whoever tunes writes what it has come
to into `studies/<id>.json` of the results folder, and reading needs nothing else.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench import files
from bench.errors import StoreError

SCHEMA = 1


class TrialState(enum.StrEnum):
    """How far a trial is."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will become of it."""
        return self not in (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: from 0, which is that of the default params.
        params: the value of everything that is searched, by the name that `--set` knows it under,
            for example `adamw.lr` or `protocol.batch_size`; a conditional one that did not apply
            is missing.
        overrides: what of it is set; nothing in trial 0.
        scores: the val score, mean over its seeds, by the epoch after which it was taken.
        objectives: the values of the study's objectives; empty unless it is complete.
        error: one line, of a failed trial.
        seconds: what its runs took.
        epochs: that its runs trained.
        runs: ids of its runs, the last of each seed.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    objectives: Sequence[float] = ()
    error: str | None = None
    seconds: float = 0.0
    epochs: int = 0
    runs: Sequence[str] = ()


@dataclass(frozen=True)
class Objective:
    """What a study searches for: `score` is the metric that selects, on val."""

    name: str
    maximize: bool


@dataclass(frozen=True)
class StudyRecord:
    """The tuning of one cell.

    Attributes:
        id: twelve hexadecimal digits.
        name: how listings call it, and Optuna's storage.
        base: the cell with default params, as `RunSpec.to_dict` gives it.
        space: what is searched, by name: each a dict with `kind` (`float`, `int` or `choice`),
            `low`, `high`, `log` and `step`, or `choices`; and `condition`, a text, where one is
            known.
        budget: as `bench.budget.Budget` says it.
        tune_seeds: runs of each trial.
        study_seed: of the sampler.
        best: numbers of the best trial, or of those on the Pareto front of several objectives;
            empty until the budget is spent, and where every trial failed.
        commands: for each of `best`, the command line that trains its params.
        finals: for each of `best`, the ids of the runs with its params and fresh seeds.
        over: whether the budget is spent.
        label: what the user called it; the studies of several cells may share it.
    """

    id: str
    name: str
    dataset: str
    model: str
    optimizer: str
    base: Mapping[str, Any]
    space: Mapping[str, Mapping[str, Any]]
    sampler: str
    pruner: str
    budget: str
    tune_seeds: int
    study_seed: int
    objectives: Sequence[Objective]
    trials: Sequence[TrialRecord] = ()
    best: Sequence[int] = ()
    commands: Sequence[str] = ()
    finals: Sequence[Sequence[str]] = ()
    over: bool = False
    started_at: str = ""
    updated_at: str = ""
    label: str = ""

    def count(self, state: TrialState) -> int:
        """Return how many trials are in a state."""
        return sum(trial.state is state for trial in self.trials)

    @property
    def seconds(self) -> float:
        """What all trials took."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def epochs(self) -> int:
        """What all trials trained."""
        return sum(trial.epochs for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a study's file."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read the content of a study's file.

        Raises:
            StoreError: the content is no study of this schema.
        """
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise StoreError("it is no study that this version reads")
        values = {name: value for name, value in data.items() if name != "schema"}
        try:
            values["objectives"] = [Objective(**each) for each in data["objectives"]]
            values["trials"] = [_trial(each) for each in data["trials"]]
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"it is not a whole study ({type(error).__name__}: {error})"
            ) from error


def _trial(data: dict[str, Any]) -> TrialRecord:
    values = {**data, "state": TrialState(data["state"])}
    # JSON knows no infinity; what was no number once is none any more.
    scores = {int(epoch): score for epoch, score in data["scores"].items()}
    values["scores"] = {epoch: float(s) for epoch, s in scores.items() if s is not None}
    return TrialRecord(**values)


def folder_of(results: Path) -> Path:
    """Return the folder of a results folder in which studies lie."""
    return results / "studies"


def write(results: Path, study: StudyRecord) -> None:
    """Replace what is known of a study."""
    files.write_json(folder_of(results) / f"{study.id}.json", study.to_dict())


def read_all(results: Path) -> tuple[list[StudyRecord], list[str]]:
    """Return the studies of a results folder, by name, and a warning for each broken file."""
    found, warnings = [], []
    for path in sorted(folder_of(results).glob("*.json")):
        try:
            study = StudyRecord.from_dict(json.loads(path.read_text("utf-8")))
            if study.id != path.stem:
                raise StoreError(f"it is that of study {study.id}")
            found.append(study)
        except (OSError, ValueError, RecursionError, StoreError) as error:
            why = error if isinstance(error, StoreError) else "it is no JSON; was it cut?"
            warnings.append(f"skipped `{path}`: {why}")
    return sorted(found, key=lambda study: (study.name, study.id)), warnings
