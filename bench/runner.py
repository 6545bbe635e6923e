"""From a plan to records: workers, rehearsal, timeouts, locks, and what happens when they fail.

The runner talks to workers through an executor only, and writes a record for every run that ends,
well or not. It can be stopped at any moment: what has a record is finished, the rest is done by
the next call of the same command.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import filelock

from bench import estimate
from bench.config import ExperimentConfig
from bench.describing import Describing
from bench.dispatch import (
    Claim,
    Dispatcher,
    Interruption,
    InTurn,
    Listed,
    Supply,
    Task,
    interruptible,
)
from bench.errors import EnvironmentFailure
from bench.forecast import PlannedRun
from bench.foreign_code import calling
from bench.jobs import Job, JobKind
from bench.observing import Observers
from bench.preparing import Answer, Preparing
from bench.records import ComponentRef, EpochMetrics, Purpose, RunRecord, RunSpec, RunStatus
from bench.registry import Offer, Registry
from bench.specs import Executor, ExecutorSession
from bench.store import Store, prune_weights
from bench.text import duration, one_line


class Observer(Protocol):
    """What the runner tells whoever watches, beyond the hooks of the plugin door."""

    def message(self, text: str) -> None:
        """Say one line."""

    def progress(self, label: str, what: str, done: int, total: int) -> None:
        """Show how far the preparation of a dataset is: how many images were `what`."""

    def sized(self, spec: RunSpec, facts: dict[str, Any]) -> None:
        """Note what the rehearsal of a cell found: input size, parameters, seconds a step."""


@dataclass
class Outcome:
    """What an experiment gave.

    Attributes:
        records: one for each run of the plan that has ended, in the plan's order.
        interrupted: whether it was stopped before all had ended.
    """

    records: list[RunRecord] = field(default_factory=list)
    interrupted: bool = False


class Tuning(Protocol):
    """Searches for better params of the cells of an experiment, by runs like any others."""

    def settled(self, specs: Sequence[RunSpec]) -> list[RunSpec] | None:
        """Return the chosen runs if nothing is left to be searched or trained, else None.

        Args:
            specs: the runs with default params, keys included as far as they are known.
        """

    def open(self) -> None:
        """Make sure that there is a place for what is found, before anything is started."""

    def begin(self, specs: Sequence[RunSpec], runner: Runner) -> Supply:
        """Return the trials, and in the end the chosen runs, as tasks.

        Args:
            specs: the runs with default params of all cells that can be trained.
            runner: makes tasks, and is told which runs are chosen.
        """

    def close(self) -> None:
        """Put down what is in hand, whatever ended the experiment."""


class Runner:
    """Carries out the runs of one experiment."""

    def __init__(
        self,
        config: ExperimentConfig,
        executor: ComponentRef,
        registry: Registry,
        store: Store,
        observer: Observer,
        tuning: Tuning | None = None,
        trackers: Sequence[ComponentRef] = (),
    ) -> None:
        self._tuning = tuning
        self._is_tuned = True
        self._unfit: set[str] = set()
        self._executor = executor
        self._config = config
        self._registry = registry
        self._store = store
        self._observer = observer
        self._jobs = 0
        self._specs: list[RunSpec] = []
        self._records: dict[str, RunRecord] = {}
        self._has_warned = False
        self._observers = Observers(registry, trackers, store.root, observer.message, observer)
        self._interruption = Interruption()
        self._describing = Describing(config, store.root, observer.message)

    def run(self, planned: Sequence[PlannedRun]) -> Outcome:
        """Carry out what is not finished yet and return all records of the plan."""
        self._specs = [run.spec for run in planned]
        interrupted = False
        try:
            with interruptible(self._interruption.request):
                left = [run for run in planned if not run.cached]
                self._is_tuned = self._tuning is None or self._was_tuned(self._tuning)
                if left or not self._is_tuned:
                    needed = sum(
                        run.disk_bytes(self._config.keep, self._config.pictures) for run in left
                    )
                    self._store.check_writable(needed)
                    with self._observers:
                        self._carry_out()
        except KeyboardInterrupt:
            interrupted = True
        else:
            if self._config.keep != "all":
                prune_weights(self._store, {spec.method for spec in self._specs})
        ids = [spec.id for spec in self._specs if spec.key]
        found = [self._records.get(run_id) or self._store.read(run_id) for run_id in ids]
        return Outcome([record for record in found if record is not None], interrupted)

    def _was_tuned(self, tuning: Tuning) -> bool:
        """Return whether every cell was tuned before; note the runs that came of it."""
        chosen = tuning.settled(self._specs)
        if chosen is None:
            tuning.open()
        else:
            self.finals(chosen)
        return chosen is not None

    def _carry_out(self) -> None:
        self._observer.message("starting workers (importing torch takes a few seconds)")
        executor = self._start_executor(self._specs)
        self._dispatcher = Dispatcher(executor, self._interruption, self._observer.message)
        ended_well = False
        try:
            hello = self._greet()
            self._specs = [dataclasses.replace(s, device=hello["device"]) for s in self._specs]
            self._specs = self._prepare(self._specs, hello["device_name"])
            self._describing.describe(self._sound(), self._ask)
            self._train(self._rehearse([spec for spec in self._specs if self._open(spec)]))
            ended_well = True
        finally:
            # Whatever ended the experiment, no worker outlives it.
            executor.close(force=not ended_well)

    def _start_executor(self, specs: Sequence[RunSpec]) -> ExecutorSession:
        preload = {
            module
            for spec in specs
            for kind, ref in spec.components.items()
            for module in self._component(kind, ref).component.preload
        }
        offer = self._component("executor", self._executor)
        assert isinstance(offer.component, Executor)
        who = f"executor `{offer.name}` of plugin {offer.plugin.label}"
        with calling(f"{who} could not start"):
            return offer.component.build(
                self._config.workers, ["torch", *sorted(preload)], **self._executor.params
            )

    def _component(self, kind: str, ref: ComponentRef) -> Offer:
        return self._registry.of(kind, ref)

    def _greet(self) -> dict[str, Any]:
        """Start a worker and learn which device it has."""
        config = self._config
        asked = {name: getattr(config, name) for name in ("device", "devices", "workers")}
        [answer] = self._ask([(JobKind.HELLO, asked)])
        if answer.result is None:
            raise EnvironmentFailure(f"no worker could start: {answer.error}")
        return answer.result

    def _prepare(self, specs: list[RunSpec], device_name: str) -> list[RunSpec]:
        """Store what is not stored yet, and complete the keys; what cannot be stored has failed."""
        preparing = Preparing(self._config, self._registry, self._ask, self._observer.message)
        completed, errors = preparing.complete(specs, device_name)
        for spec in completed:
            if spec.source in errors:
                self._unfit.add(spec.cell)
                answer = errors[spec.source]
                self._finish(_record(spec, answer.status, answer.error, {}))
        return completed

    def _open(self, spec: RunSpec) -> bool:
        """Return whether a run is still to be done."""
        if spec.id in self._records:
            return False
        if self._config.rerun:
            return True
        record = self._store.read(spec.id)
        return record is None or record.status is not RunStatus.OK

    def _rehearse(self, specs: list[RunSpec]) -> list[RunSpec]:
        """Try every cell on one batch; return the runs of those that work."""
        cells: dict[str, list[RunSpec]] = {}
        for spec in specs:
            cells.setdefault(spec.cell, []).append(spec)
        if not cells:
            return []
        self._observer.message(f"trying {_count(len(cells), 'cell')} on real data, one batch each")
        seconds = 0.0

        def task(cell: str, runs: list[RunSpec]) -> Task:
            def ended(status: RunStatus, error: str, facts: dict[str, Any]) -> None:
                nonlocal seconds
                if status is RunStatus.OK:
                    self._observer.sized(runs[0], facts)
                    seconds += len(runs) * _measured_seconds(runs[0], facts)
                elif status is not RunStatus.INTERRUPTED:
                    self._unfit.add(cell)
                    for spec in runs:
                        # Another process may have had better luck meanwhile.
                        if self._config.rerun or not self._finished_before(spec):
                            self._finish(_record(spec, status, error, facts))

            payload = {
                "spec": runs[0].to_dict(),
                "workers": self._config.workers,
                "offline": self._config.offline,
            }
            log = self._store.folder(runs[0].id) / "log.txt"
            job = self._job(JobKind.REHEARSE, payload, log)
            return Task(job, ended, timeout=self._config.timeout)

        self._dispatcher.work(Listed(task(cell, runs) for cell, runs in cells.items()))
        left = [spec for spec in specs if spec.cell not in self._unfit]
        if left and not self._dispatcher.stopping:
            devices = left[0].device
            total = estimate.total_seconds([seconds], devices, self._config.workers)
            total -= estimate.START_SECONDS[devices]
            what = _count(len(left), "run")
            self._observer.message(f"training {what}, about {duration(total)} by those batches")
        return left

    def _train(self, specs: list[RunSpec]) -> None:
        supplies: list[Supply] = [Listed(self.training(spec) for spec in specs)]
        with contextlib.ExitStack() as stack:
            if self._tuning is not None and not self._is_tuned:
                stack.callback(self._tuning.close)
                supplies.append(self._tuning.begin(self._sound(), self))
            supplies.append(self._describing.checks(self._sound(), self._job))
            self._dispatcher.work(InTurn(*supplies))

    def _sound(self) -> list[RunSpec]:
        """Return the runs that can be trained, as far as that is known by now."""
        return [spec for spec in self._specs if spec.cell not in self._unfit]

    def ended(self, spec: RunSpec) -> RunRecord | None:
        """Return the record of a run with which nothing is left to do here; None while there is."""
        if spec.id in self._records:
            return self._records[spec.id]
        finished = not self._config.rerun and self._finished_before(spec)
        return self._store.read(spec.id) if finished else None

    def finals(self, specs: Sequence[RunSpec]) -> None:
        """Count runs that were found only meanwhile among those of the experiment."""
        known = {spec.id for spec in self._specs}
        self._specs += [spec for spec in specs if spec.id not in known]

    def training(
        self, spec: RunSpec, after: Callable[[RunRecord], None] = lambda record: None
    ) -> Task:
        """Return the task that trains a run.

        Args:
            spec: the run, with its key.
            after: called with its record, once that is written or was found to be there already.
        """
        lock = self._store.lock(spec.whole_id)
        log = self._store.folder(spec.id) / "log.txt"
        job = self._job(JobKind.RUN, {**self._payload(spec), "log": str(log)}, log)

        def acquire() -> Claim:
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                return Claim.ELSEWHERE
            # Another process may have finished it while this one was busy.
            if self._finished_before(spec) and not self._config.rerun:
                lock.release()
                return Claim.DONE
            self._store.sweep(spec)
            return Claim.TAKEN

        def found() -> None:
            record = self._store.read(spec.id)
            assert record is not None, "a run is done where it has a record"
            after(record)

        begun: list[float] = []
        spent = {"wall_seconds": 0.0, "epochs": 0}

        def started() -> None:
            begun.append(time.perf_counter())
            self._notify("run_started", run=spec)

        def epoch(data: dict[str, Any]) -> None:
            if "note" in data:
                self._observer.message(f"{spec.label}: {data['note']}")
                return
            if "earlier" in data:
                spent.update(data["earlier"])
                return
            spent["epochs"] = data["epoch"]
            self._notify("epoch_finished", run=spec, metrics=EpochMetrics(**data))

        def ended(status: RunStatus, error: str, facts: dict[str, Any]) -> None:
            if begun and "timing" not in facts:  # its worker is lost
                seconds = spent["wall_seconds"] + time.perf_counter() - begun[0]
                facts = {**facts, "timing": {**spent, "wall_seconds": seconds}}
            record = _record(spec, status, error, facts)
            if status is not RunStatus.INTERRUPTED or not self._finished_before(spec):
                self._finish(record)
            self._store.sweep(spec)
            after(record)

        timeout = self._config.timeout
        return Task(
            *(job, ended, started, epoch, acquire, lock.release, found, timeout), saves_state=True
        )

    def _payload(self, spec: RunSpec) -> dict[str, Any]:
        """Return what a worker is told of a run."""
        is_final = spec.purpose is Purpose.FINAL
        return {
            "spec": spec.to_dict(),
            "folder": str(self._store.attempt(spec.id).absolute()),
            "workers": self._config.workers,
            "offline": self._config.offline,
            "keep": self._config.keep if is_final else "none",
            "pictures": self._config.pictures if is_final else "none",
            "rerun": self._config.rerun,
            "checkpoint": str(self._store.checkpoint(spec.whole_id).absolute()),
            "checkpoint_minutes": self._config.checkpoint_minutes,
        }

    def _finished_before(self, spec: RunSpec) -> bool:
        record = self._store.read(spec.id)
        return record is not None and record.status is RunStatus.OK

    def _finish(self, record: RunRecord) -> None:
        """Commit a record, then tell everybody.

        A run that was finished before and is repeated keeps its result unless it ends well again.
        """
        if record.status is RunStatus.OK or not self._finished_before(record.spec):
            self._store.write(record)
        else:
            self._store.discard(record.id)
            self._store.forget_state(record)
        self._records[record.id] = record
        self._notify("run_finished", record=record)
        matters = record.spec.purpose is Purpose.FINAL
        if self._config.fail_fast and matters and record.status is not RunStatus.OK:
            self._dispatcher.stopping = True

    def _notify(self, hook: str, **arguments: Any) -> None:
        """Tell the one who watches at once, and all others in their own time."""
        for implementation in getattr(self._registry.manager.hook, hook).get_hookimpls():
            if implementation.plugin is not self._observer:
                continue
            try:
                implementation.function(**arguments)
            except Exception as error:
                if not self._has_warned:
                    self._has_warned = True
                    reason = one_line(f"{type(error).__name__}: {error}")
                    self._observer.message(f"warning: `{hook}` cannot be shown: {reason}")
        self._observers.tell(hook, arguments)

    def _ask(
        self, requests: Sequence[tuple[JobKind, dict[str, Any]]], labels: Sequence[str] = ()
    ) -> list[Answer]:
        """Send jobs and return, in order, what became of each.

        Args:
            requests: kind and payload of each job.
            labels: what each job's progress is shown under, where it reports any.
        """
        answers = [Answer(RunStatus.INTERRUPTED, None, "")] * len(requests)

        def task(index: int, kind: JobKind, payload: dict[str, Any]) -> Task:
            def ended(status: RunStatus, error: str, facts: dict[str, Any]) -> None:
                result = facts if status is RunStatus.OK else None
                answers[index] = Answer(status, result, error)

            def progress(data: dict[str, Any]) -> None:
                self._observer.progress(labels[index], data["what"], data["done"], data["total"])

            job = self._job(kind, payload, self._store.root / "logs" / f"{kind}.txt")
            return Task(job, ended, progress=progress, timeout=self._config.timeout)

        self._dispatcher.work(
            Listed(task(i, kind, payload) for i, (kind, payload) in enumerate(requests))
        )
        return answers

    def _job(self, kind: JobKind, payload: dict[str, Any], log: Path) -> Job:
        self._jobs += 1
        return Job(f"{kind}-{self._jobs}", kind, payload, log.absolute())


def _record(spec: RunSpec, status: RunStatus, error: str, facts: dict[str, Any]) -> RunRecord:
    return RunRecord(
        spec=spec,
        status=status,
        error=None if status is RunStatus.OK else one_line(error),
        metrics=facts.get("metrics", {}),
        timing=facts.get("timing", {}),
        profile=facts.get("profile", {}),
        environment=facts.get("environment", {}),
        started_at=facts.get("started_at") or _now(),
        finished_at=facts.get("finished_at") or _now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _measured_seconds(spec: RunSpec, facts: dict[str, Any]) -> float:
    """Return a run's estimated seconds from what the rehearsal measured."""
    epochs, steps = int(spec.protocol["epochs"]), int(facts["steps_per_epoch"])
    evaluated = epochs * int(facts["val_items"]) + int(facts["test_items"])
    training = epochs * steps * float(facts["step_seconds"])
    launch = estimate.START_SECONDS[spec.device] if spec.devices > 1 else 0.0
    return launch + training + evaluated * float(facts["evaluation_seconds_per_image"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
