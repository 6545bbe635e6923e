"""One job for a worker outside any experiment: predicting, exporting."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.dispatch import Dispatcher, Interruption, Listed, Task, interruptible
from bench.errors import EnvironmentFailure
from bench.jobs import Job, JobKind
from bench.records import RunSpec, RunStatus
from bench.registry import Registry
from bench.specs import Executor


def carry_out(
    kind: JobKind,
    payload: dict[str, Any],
    registry: Registry,
    specs: Iterable[RunSpec],
    progress: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Have a worker do one job and return what it hands back.

    It is done where runs are: in a process of its own, which a network that crashes or prints
    cannot harm the caller from, and with torch imported there alone.

    Args:
        kind: what is to be done.
        payload: what the job needs.
        registry: offers the executor, and what the runs are made of.
        specs: the runs whose models are used; what these ask for is imported beforehand.
        progress: called with each report of the job, in this process.

    Raises:
        EnvironmentFailure: the job failed; the message says why.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the worker is gone.
    """
    executor = registry.default("executor").component
    assert isinstance(executor, Executor)
    preload = {
        name
        for spec in specs
        for part, ref in (("model", spec.model), ("dataset", spec.dataset))
        if part == "model" or kind is JobKind.EXPORT
        for name in registry.of(part, ref).component.preload
    }
    ends: list[tuple[RunStatus, str, dict[str, Any]]] = []
    interruption = Interruption()
    with tempfile.NamedTemporaryFile(
        prefix=f"bench-{kind}-", suffix=".txt", delete=False
    ) as opened:
        log = Path(opened.name)
    job = Job(f"{kind}-1", kind, payload, log)
    task = Task(job, lambda status, error, facts: ends.append((status, error, facts)))
    task.progress = progress
    ended_well = False
    try:
        with interruptible(interruption.request):
            session = executor.build(1, ["torch", *sorted(preload)])
            try:
                Dispatcher(session, interruption, lambda text: None).work(Listed([task]))
                ended_well = True
            finally:
                session.close(force=not ended_well)
    finally:
        failed = bool(ends) and ends[0][0] not in (RunStatus.OK, RunStatus.INTERRUPTED)
        if not (failed and log.stat().st_size):
            log.unlink(missing_ok=True)
    [(status, error, facts)] = ends
    if status is not RunStatus.OK:
        raise EnvironmentFailure(error)
    return facts
