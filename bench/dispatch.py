"""Jobs on their way through an executor: as many at a time as it takes, each with its deadline."""

from __future__ import annotations

import contextlib
import enum
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.records import Job, JobEvent, JobEventKind, RunStatus
from bench.specs import ExecutorSession
from bench.text import duration

POLL_SECONDS = 0.25
ELSEWHERE_SECONDS = 0.5
"""How often a run that another process has in hand is looked at again."""


class Claim(enum.Enum):
    """What comes of the attempt to take a task."""

    TAKEN = enum.auto()
    ELSEWHERE = enum.auto()
    DONE = enum.auto()


@dataclass
class Task:
    """One job on its way: what to send, and what to do with each report.

    Attributes:
        acquire: called when a worker is free; a task that is in hand elsewhere is asked again
            later, one that is done is dropped.
        release: called once it has ended, however it ended.
        ended: takes how it ended, the error unless that is ok, and what the worker handed back.
    """

    job: Job
    ended: Callable[[RunStatus, str, dict[str, Any]], None]
    started: Callable[[], None] = lambda: None
    progress: Callable[[dict[str, Any]], None] = lambda data: None
    acquire: Callable[[], Claim] = lambda: Claim.TAKEN
    release: Callable[[], None] = lambda: None
    timeout: float | None = None
    deadline: float | None = None


class Dispatcher:
    """Carries tasks through an executor.

    Attributes:
        stopping: set to start no further task; those under way are waited for.
    """

    def __init__(self, executor: ExecutorSession) -> None:
        self._executor = executor
        self.stopping = False

    def work(self, tasks: Sequence[Task]) -> None:
        """Carry out tasks, as many at a time as the executor takes."""
        waiting = deque(tasks)
        active: dict[str, Task] = {}
        try:
            while (waiting and not self.stopping) or active:
                while waiting and len(active) < self._executor.slots and not self.stopping:
                    task = self._next(waiting)
                    if task is None:
                        break
                    active[task.job.id] = task
                    self._executor.submit(task.job)
                if not active:
                    time.sleep(ELSEWHERE_SECONDS if waiting else 0)
                    continue
                for event in self._executor.poll(POLL_SECONDS):
                    self._handle(event, active)
                self._stop_overdue(active)
        except BaseException:
            self._executor.close(force=True)
            for task in active.values():
                task.ended(RunStatus.INTERRUPTED, "stopped before it had finished", {})
            raise
        finally:
            for task in active.values():
                task.release()

    def _next(self, waiting: deque[Task]) -> Task | None:
        """Take the first task that can be had, and drop those that are done."""
        for _ in range(len(waiting)):
            task = waiting.popleft()
            claim = task.acquire()
            if claim is Claim.TAKEN:
                return task
            if claim is Claim.ELSEWHERE:
                waiting.append(task)
        return None

    def _handle(self, event: JobEvent, active: dict[str, Task]) -> None:
        task = active.get(event.job_id)
        if task is None:
            return
        if event.kind is JobEventKind.STARTED:
            task.deadline = time.monotonic() + task.timeout if task.timeout else None
            task.started()
        elif event.kind is JobEventKind.PROGRESS:
            task.progress(event.data)
        elif event.kind is JobEventKind.FINISHED:
            status = RunStatus(event.data["status"])
            self._end(task, active, status, str(event.data.get("error", "")), event.data)
        else:
            error = _how_it_died(event.data.get("exitcode"))
            self._end(task, active, RunStatus.CRASHED, f"{error}; see `{task.job.log}`")

    def _end(
        self,
        task: Task,
        active: dict[str, Task],
        status: RunStatus,
        error: str,
        facts: dict[str, Any] | None = None,
    ) -> None:
        task.ended(status, error, facts or {})
        del active[task.job.id]
        task.release()

    def _stop_overdue(self, active: dict[str, Task]) -> None:
        for task in list(active.values()):
            if task.deadline is not None and time.monotonic() > task.deadline:
                self._executor.cancel(task.job.id)
                limit = duration(task.timeout or 0)
                error = f"stopped after the timeout of {limit}; `--timeout` sets another"
                self._end(task, active, RunStatus.TIMEOUT, error)


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return f"its worker was killed by {signal.Signals(-exitcode).name}"
    return f"its worker exited with code {exitcode}"
