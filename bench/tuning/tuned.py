"""A cell from its study to the runs that are trained with what the study has found."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bench import metrics, studies
from bench.config import ExperimentConfig
from bench.dispatch import Task
from bench.records import RunSpec
from bench.registry import Registry
from bench.repeat import command_of
from bench.runner import Runner
from bench.store import Store
from bench.studies import StudyRecord, TrialRecord, TrialState
from bench.text import duration, one_line
from bench.tuning.cell import CellStudy
from bench.tuning.shared import Trial

WRITE_SECONDS = 2.0
"""How often what a study has come to is written for readers, while it is under way."""


class TunedCell:
    """A cell on its way from its study to the runs with what the study found."""

    def __init__(
        self,
        name: str,
        runs: Sequence[RunSpec],
        study: CellStudy,
        config: ExperimentConfig,
        store: Store,
        registry: Registry,
        runner: Runner,
        say: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._name = name
        self._runs = runs
        self._study = study
        self._config = config
        self._store = store
        self._runner = runner
        self._say = say
        self._chosen: list[list[RunSpec]] = []
        self._left: deque[RunSpec] = deque()
        self._is_chosen = False
        self._written = 0.0
        self._told: list[Trial] | None = None
        known = {record.id: record for record in studies.read_all(store.root)[0]}
        self._started = known[study.id].started_at if study.id in known else _now()

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left to be searched, and the chosen runs were handed out."""
        return self._is_chosen and not self._left

    def next(self) -> Task | None:
        """Return a trial's run, or a chosen one; None where there is nothing to do now."""
        if not self._is_chosen:
            task = self._study.next()
            if task is not None or not self._study.is_over:
                return task
            self._choose()
        return self._runner.training(self._left.popleft()) if self._left else None

    def attend(self) -> None:
        """Keep what is in hand, and write now and then what the study has come to."""
        if self._is_chosen:
            return
        self._study.attend()
        is_due = time.monotonic() - self._written > WRITE_SECONDS
        if is_due and self._study.trials != self._told:
            self._write()

    def close(self) -> None:
        """Put down what is in hand, and write what the study has come to."""
        self._study.close()
        self._write()

    def _choose(self) -> None:
        """Say what the study has found, and have it trained with fresh seeds."""
        self._is_chosen = True
        self._study.look()
        best = self._study.best()
        for trial in best:
            if trial.number == 0:
                self._chosen.append(list(self._runs))  # trained already
                continue
            overrides = trial.notes["overrides"]
            specs = [
                self._study.varied(
                    overrides, seed=run.seed, tuned={"study": self._study.id, "trial": trial.number}
                )
                for run in self._runs
            ]
            self._chosen.append(specs)
            self._left.extend(specs)
        self._runner.finals([spec for specs in self._chosen for spec in specs])
        self._forget_states()
        self._write()
        self._say(self._verdict(self.record()))

    def _verdict(self, record: StudyRecord) -> str:
        cost = f"{record.epochs:,} epochs, {duration(record.seconds)}"
        counts = f"{len(record.trials)} trials, {cost}"
        cell = f"{record.dataset} · {record.model} · {record.optimizer}"
        if not record.best:
            errors = [trial.error for trial in record.trials if trial.error]
            first = errors[0] if errors else "none ended well"
            return f"{cell}: every trial failed, {counts}; {first}"
        if len(record.objectives) > 1:
            return f"{cell}: {len(record.best)} trials on the Pareto front of {counts}"
        by_number = {trial.number: trial for trial in record.trials}
        best, default = by_number[record.best[0]], by_number[0]
        is_score = record.objectives[0].name == "score"
        told = f"val {self._said(best)}" if is_score else ""
        before = f" (default {self._said(default)})" if told and default.objectives else ""
        if best.number == 0:
            return f"{cell}: nothing beat the default params in {counts}; {told}".rstrip("; ")
        return f"{cell}: trial {best.number} is best of {counts}; {told}{before}".rstrip("; ")

    def _said(self, trial: TrialRecord) -> str:
        """Return what a trial scored; what is less the better is not told in percent."""
        score, monitor = trial.objectives[0], self._study.base.protocol.get("monitor")
        return f"{-score:.4f}" if monitor in metrics.LOWER_IS_BETTER else f"{score:.1%}"

    def _forget_states(self) -> None:
        """Remove the saved states of trials that go no further."""
        runs = (
            self._store.read(run) for t in self._study.trials for run in t.notes.get("runs", ())
        )
        self._store.forget_states({record.spec.whole_id for record in runs if record})

    def _write(self) -> None:
        self._written = time.monotonic()
        self._told = self._study.trials
        studies.write(self._store.root, self.record())

    def record(self) -> StudyRecord:
        """Return what is known of the study, for readers."""
        base, config = self._study.base, self._config
        best = self._study.best() if self._is_chosen else []
        return StudyRecord(
            id=self._study.id,
            name=self._name,
            label=one_line(config.study or ""),
            dataset=base.dataset.name,
            model=base.model_label,
            optimizer=base.optimizer.name,
            base=base.to_dict(),
            space=self._study.space.describe(),
            sampler=config.sampler,
            pruner=config.pruner,
            budget=str(config.budget),
            tune_seeds=config.tune_seeds,
            study_seed=config.study_seed,
            objectives=list(self._study.objectives),
            trials=[_plain(trial) for trial in self._study.trials],
            best=[trial.number for trial in best],
            commands=[self._command(trial) for trial in best],
            finals=[[spec.id for spec in specs] for specs in self._chosen],
            over=self._is_chosen,
            started_at=self._started,
            updated_at=_now(),
        )

    def _command(self, trial: Trial) -> str:
        spec = self._study.varied(trial.notes["overrides"])
        return command_of(spec, self._registry, self._config.seeds)


def _plain(trial: Trial) -> TrialRecord:
    notes = trial.notes
    return TrialRecord(
        number=trial.number,
        state=trial.state,
        # Of trial 0 Optuna's books have the nearest inside the range where a default lies outside,
        # and what that made it ask for, though it did nothing.
        params={**(trial.params if trial.number else {}), **trial.values},
        overrides=dict(notes.get("overrides", {})),
        scores=dict(trial.scores),
        objectives=list(trial.objectives) if trial.state is TrialState.COMPLETE else [],
        error=trial.error,
        seconds=float(notes.get("seconds", 0.0)),
        epochs=int(notes.get("epochs", 0)),
        runs=list(notes.get("runs", ())),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
