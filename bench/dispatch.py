"""Jobs on their way through an executor: as many at a time as it takes, each with its deadline."""

from __future__ import annotations

import contextlib
import enum
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from bench.errors import BenchError, EnvironmentFailure
from bench.jobs import Job, JobEvent, JobEventKind
from bench.records import RunStatus
from bench.specs import ExecutorSession
from bench.text import duration

POLL_SECONDS = 0.25
INTERRUPTION_SECONDS = 60.0
"""How long a run that is asked to stop may take to save its state."""
STOPPED = "stopped before it had finished"
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
        found: called where it is dropped as done.
        release: called once it has ended, however it ended.
        ended: takes how it ended, the error unless that is ok, and what the worker handed back.
        saves_state: whether it can be asked to save its state and end.
    """

    job: Job
    ended: Callable[[RunStatus, str, dict[str, Any]], None]
    started: Callable[[], None] = lambda: None
    progress: Callable[[dict[str, Any]], None] = lambda data: None
    acquire: Callable[[], Claim] = lambda: Claim.TAKEN
    release: Callable[[], None] = lambda: None
    found: Callable[[], None] = lambda: None
    timeout: float | None = None
    saves_state: bool = False
    deadline: float | None = None


class Supply(Protocol):
    """Where tasks come from while others are under way."""

    def next(self) -> Task | None:
        """Return a task for a worker that is free; None where there is none now."""

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing more will come, whatever becomes of the tasks under way."""

    def attend(self) -> None:
        """Do what is due now and then; called several times a second."""


class Listed:
    """A supply of tasks that are all known beforehand."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = deque(tasks)

    def next(self) -> Task | None:
        """Return the next task."""
        return self._tasks.popleft() if self._tasks else None

    @property
    def is_exhausted(self) -> bool:
        """Whether all were handed out."""
        return not self._tasks

    def attend(self) -> None:
        """Do nothing: no time is of importance here."""


class InTurn:
    """Several supplies; what the first ones have comes first."""

    def __init__(self, *supplies: Supply) -> None:
        self._supplies = supplies

    def next(self) -> Task | None:
        """Return a task of the first supply that has one."""
        for supply in self._supplies:
            if not supply.is_exhausted and (task := supply.next()) is not None:
                return task
        return None

    @property
    def is_exhausted(self) -> bool:
        """Whether none of them will have anything more."""
        return all(supply.is_exhausted for supply in self._supplies)

    def attend(self) -> None:
        """Attend to all of them."""
        for supply in self._supplies:
            supply.attend()


class Interruption:
    """The user's wish that an experiment should end.

    Attributes:
        requested: whether it is wished.
        awaited: whether somebody looks at `requested` all the time.
    """

    def __init__(self) -> None:
        self.requested = False
        self.awaited = False

    def request(self) -> None:
        """Take note of the wish; the handler of a signal may call this at any moment.

        Raises:
            KeyboardInterrupt: nobody would notice the wish.
        """
        if not self.awaited:
            raise KeyboardInterrupt
        self.requested = True


class Dispatcher:
    """Carries tasks through an executor.

    Attributes:
        stopping: set to start no further task; those under way are waited for.
    """

    def __init__(
        self, executor: ExecutorSession, interruption: Interruption, say: Callable[[str], None]
    ) -> None:
        self._executor = executor
        self._interruption = interruption
        self._say = say
        self.stopping = False

    def work(self, supply: Supply) -> None:
        """Carry out tasks, as many at a time as the executor takes.

        Raises:
            KeyboardInterrupt: the user wished it; every task that had begun has ended.
        """
        elsewhere: deque[Task] = deque()
        active: dict[str, Task] = {}
        asked = False
        self._interruption.awaited = True
        try:
            while active or not (self.stopping or (supply.is_exhausted and not elsewhere)):
                supply.attend()
                while len(active) < self._executor.slots and not self.stopping:
                    task = self._next(elsewhere, supply)
                    if task is None:
                        break
                    active[task.job.id] = task
                    self._executor.submit(task.job)
                if not active:
                    # What is left is in the hands of other processes.
                    over = self.stopping or (supply.is_exhausted and not elsewhere)
                    time.sleep(0 if over else ELSEWHERE_SECONDS)
                else:
                    for event in self._executor.poll(POLL_SECONDS):
                        self._handle(event, active)
                    self._stop_overdue(active)
                if self._interruption.requested and not asked:
                    asked = self.stopping = True
                    self._wind_down(active)
            if self._interruption.requested:
                raise KeyboardInterrupt
        except BaseException as error:
            self._executor.close(force=True)
            for task in active.values():
                # What ended the work matters more than that a storage is gone as well.
                with contextlib.suppress(BenchError):
                    task.ended(RunStatus.INTERRUPTED, STOPPED, {})
            if self._interruption.requested and isinstance(error, EnvironmentFailure):
                # Ctrl-C reaches the whole group, and so what workers are just started from.
                raise KeyboardInterrupt from error
            raise
        finally:
            self._interruption.awaited = False
            for task in active.values():
                task.release()

    def _wind_down(self, active: dict[str, Task]) -> None:
        """Have what is under way end: runs with their state saved, all else at once."""
        saving = sum(task.saves_state for task in active.values())
        if saving:
            runs = f"{saving} run" + ("" if saving == 1 else "s")
            self._say(f"saving the state of {runs}, then stopping; Ctrl-C again stops at once")
        # An executor may have no way to pass the wish on.
        interrupt = getattr(self._executor, "interrupt", None)
        for task in list(active.values()):
            if task.saves_state and interrupt is not None:
                interrupt(task.job.id)
                task.deadline = time.monotonic() + INTERRUPTION_SECONDS
            else:
                self._executor.cancel(task.job.id)
                self._end(task, active, RunStatus.INTERRUPTED, STOPPED)

    def _next(self, elsewhere: deque[Task], supply: Supply) -> Task | None:
        """Take the first task that can be had, and drop those that are done."""
        for _ in range(len(elsewhere)):
            task = elsewhere.popleft()
            if self._is_taken(task, elsewhere):
                return task
        while (fresh := supply.next()) is not None:
            if self._is_taken(fresh, elsewhere):
                return fresh
        return None

    def _is_taken(self, task: Task, elsewhere: deque[Task]) -> bool:
        claim = task.acquire()
        if claim is Claim.ELSEWHERE:
            elsewhere.append(task)
        elif claim is Claim.DONE:
            task.found()
        return claim is Claim.TAKEN

    def _handle(self, event: JobEvent, active: dict[str, Task]) -> None:
        task = active.get(event.job_id)
        if task is None:
            return
        if event.kind is JobEventKind.STARTED:
            if not self._interruption.requested:  # else there is a deadline already
                task.deadline = time.monotonic() + task.timeout if task.timeout else None
            task.started()
        elif event.kind is JobEventKind.PROGRESS:
            task.progress(event.data)
        elif event.kind is JobEventKind.FINISHED:
            status = RunStatus(event.data["status"])
            self._end(task, active, status, str(event.data.get("error", "")), event.data)
        else:
            exitcode = event.data.get("exitcode")
            # It was asked to stop before it had a state that it could save.
            asked = task.saves_state and exitcode == -signal.SIGTERM
            status = RunStatus.INTERRUPTED if asked else RunStatus.CRASHED
            self._end(task, active, status, f"{_how_it_died(exitcode)}; see `{task.job.log}`")

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
                if self._interruption.requested:
                    self._end(task, active, RunStatus.INTERRUPTED, STOPPED)
                    continue
                limit = duration(task.timeout or 0)
                error = f"stopped after the timeout of {limit}; `--timeout` sets another"
                self._end(task, active, RunStatus.TIMEOUT, error)


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            return f"its worker was killed by {signal.Signals(-exitcode).name}"
    return f"its worker exited with code {exitcode}"


@contextlib.contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM call `stop`; a second one of either ends at once."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        for each in before:
            signal.signal(each, interrupt)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
