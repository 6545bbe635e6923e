"""A run on several devices: its ranks started, listened to, and ended.

The worker that has the run in hand starts a process for each device with torch's elastic launcher
and waits in between. What ranks have to say comes through a socket each; one pipe ties their lives
to the worker's. Both lie in a temporary folder until the ranks have opened them:

    <folder>/life      the pipe (see `bench.lifeline`)
    <folder>/socket    (rank, pid) when a rank has come up; it gets its task;
                       {"told": ...} from the first rank, for whoever watches;
                       {"ended": ...} from each, the result and whether it failed alone
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import torch

from bench import files
from bench.engine import interruption
from bench.errors import EnvironmentFailure
from bench.records import RunStatus
from bench.text import one_line

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

POLL_SECONDS = 0.25
LAUNCHER = "torch.distributed.elastic"
STOP = "stop"
"""What the first rank is told when the run is to save its state and end."""


def check_devices(device: str, devices: int, workers: int) -> None:
    """Raise EnvironmentFailure if there are fewer GPUs than runs with several devices need."""
    found = torch.cuda.device_count() if device == "cuda" and devices > 1 else sys.maxsize
    needed = devices * workers
    if found < needed:
        flags = f"`--devices {devices}`" + (f" with `--workers {workers}`" if workers > 1 else "")
        raise EnvironmentFailure(f"{flags} needs {needed} GPUs and torch finds {found}; give fewer")


def launch(payload: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Carry out a run on several devices and return its result, with its status.

    Args:
        payload: of the job, as a worker gets it.
        emit: called with what the first rank reports.
    """
    spec = payload["spec"]
    see = f"see `{payload['log']}`"
    if spec["device"] == "cuda":
        # What this process keeps of a rehearsal would be missing on the first rank's GPU.
        gc.collect()
        torch.cuda.empty_cache()
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bench-ranks-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        places = stack.enter_context(_places(spec["device"], spec["devices"]))
        tasks = [
            {"payload": payload, "place": place, "begun": time.perf_counter()} for place in places
        ]
        launched = stack.enter_context(_launched(folder, tasks, see))
        return launched.follow(emit)


def run_ranks(command: Sequence[str], count: int, folder: Path) -> dict[int, ProcessFailure]:
    """Run a Python command in several processes, and return those that failed.

    If one fails, the others are ended. Called in a thread other than the main one, so that the
    launcher leaves the handlers of signals as they are.

    Args:
        command: what follows `python`. A function would not do: a worker is a daemon, which may
            have no children of multiprocessing, and has threads and perhaps a GPU, which no fork
            survives.
        count: of processes.
        folder: for the launcher's own files.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.05,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
    )
    with _environment():
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            return dict(error.failures)
    return {}


@dataclass
class Launched:
    """Ranks under way.

    Attributes:
        tasks: what each rank is told to do.
        door: where they come in.
        folder: to be removed once all are in.
        see: where a run's log is, for messages.
        agent: runs torch's launcher.
        failures: of ranks, as the launcher saw them end.
        error: of the launcher itself.
        ended: how each rank ended that has said so, or None where it vanished; in that order.
    """

    tasks: Sequence[dict[str, Any]]
    door: socket.socket
    folder: Path
    see: str
    agent: threading.Thread = field(init=False)
    failures: dict[int, ProcessFailure] = field(default_factory=dict)
    error: BaseException | None = None
    ended: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    _inside: dict[Connection, int] = field(default_factory=dict)
    _pids: list[int] = field(default_factory=list)

    def run_launcher(self) -> None:
        """Start the ranks and wait until all have ended."""
        try:
            command = ("-P", "-m", "bench.engine.rank", str(self.folder))
            self.failures = run_ranks(command, len(self.tasks), self.folder)
        except BaseException as error:  # told by the thread that waits
            self.error = error

    def follow(self, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Pass on what ranks tell until all have ended, and return the result of the run."""
        asked = False
        while True:
            ended = not self.agent.is_alive()
            ready = wait([self.door, *self._inside], 0 if ended else POLL_SECONDS)
            if ended and not ready:  # a rank's own children may keep its socket open for ever
                break
            # Those that vanish first: what the others then complain of is only its consequence.
            for connection in sorted(
                (each for each in ready if isinstance(each, Connection)), key=_is_over, reverse=True
            ):
                self._listen(connection, emit)
            if self.door in ready:
                self._let_in()
            if interruption.requested() and not asked:
                asked = self._pass_on_wish()
        self.agent.join()
        return self._result()

    def _let_in(self) -> None:
        """Give a rank that has come up its task."""
        connection = Connection(self.door.accept()[0].detach())
        try:
            rank, pid = connection.recv()
            connection.send({**self.tasks[rank], "path": sys.path})
        except (EOFError, OSError):  # it died on the threshold; the launcher will say so
            return
        self._inside[connection] = rank
        self._pids.append(pid)
        if len(self._pids) == len(self.tasks):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _listen(self, connection: Connection, emit: Callable[[dict[str, Any]], None]) -> None:
        """Take one message of a rank, or note that there will be no more."""
        rank = self._inside[connection]
        try:
            message = connection.recv()
        except (EOFError, OSError):
            del self._inside[connection]
            connection.close()
            self.ended.setdefault(rank, None)
            return
        if "told" in message:
            emit(message["told"])
        else:
            self.ended[rank] = message["ended"]

    def _pass_on_wish(self) -> bool:
        """Tell the first rank, whose wish is that of all, to save the state and end."""
        for connection, rank in self._inside.items():
            if rank == 0:
                with contextlib.suppress(OSError):
                    connection.send(STOP)
                return True
        return False

    def _result(self) -> dict[str, Any]:
        """Return what the first rank handed back, or how the rank ended that failed first."""
        count = len(self.tasks)
        first = self.ended.get(0)
        if first is not None and (first["status"] == RunStatus.OK or not self.failures):
            return first
        if self.error is not None:
            raise EnvironmentFailure(
                "the ranks could not be started: "
                + one_line(f"{type(self.error).__name__}: {self.error}")
            ) from self.error
        # A rank that failed before it had come in is known to the launcher only.
        silent = [rank for rank in self.failures if rank not in self.ended]
        by_signal = {rank: failure.exitcode for rank, failure in self.failures.items()}
        failed = [told for told in self.ended.values() if told and told["status"] != RunStatus.OK]
        # The launcher ends the others by SIGTERM: it counts where no rank has a reason of its own.
        own_reason = any(not _lost_a_peer(told) for told in failed)
        harmless = (0, -signal.SIGTERM) if own_reason else (0,)
        # What came of the loss of another rank is told last.
        order = sorted([*self.ended, *silent], key=lambda rank: _lost_a_peer(self.ended.get(rank)))
        for rank in order:
            told = self.ended.get(rank)
            if told is not None and told["status"] != RunStatus.OK:
                return told
            if told is None and by_signal.get(rank, 0) not in harmless:
                how = _how_it_ended(by_signal[rank])
                return _failure(RunStatus.CRASHED, f"rank {rank} of {count} {how}; {self.see}")
        if interruption.requested():
            return _failure(RunStatus.INTERRUPTED, "stopped; what it had saved before is kept")
        return _failure(RunStatus.CRASHED, f"its {count} ranks were ended; {self.see}")

    def end(self) -> None:
        """End what ranks have left behind: whatever their plugins started is in their groups."""
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


@contextlib.contextmanager
def _launched(folder: Path, tasks: Sequence[dict[str, Any]], see: str) -> Iterator[Launched]:
    """Start ranks; none is left when the block ends."""
    os.mkfifo(folder / "life")
    # Also open for reading, since a pipe that nobody reads cannot be opened for writing alone.
    life = os.open(folder / "life", os.O_RDWR)
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket(socket.AF_UNIX))
        door.bind(str(folder / "socket"))
        door.listen(len(tasks))
        launched = Launched(tasks, door, folder, see)
        stack.callback(launched.end)
        stack.callback(os.close, life)
        launched.agent = threading.Thread(target=launched.run_launcher, name="launcher")
        launched.agent.start()
        yield launched


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Have ranks find what this process finds, and the launcher say what matters only."""
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    wanted = {"PYTHONPATH": paths}
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    if loopback and "GLOO_SOCKET_IFNAME" not in os.environ:
        # By default it looks up the machine's name, which may lead nowhere.
        wanted["GLOO_SOCKET_IFNAME"] = loopback
    left = (*wanted, "TORCHELASTIC_SIGNALS_TO_HANDLE")
    before = {name: os.environ.get(name) for name in left}
    logger = logging.getLogger(LAUNCHER)
    level = logger.level
    logger.setLevel(logging.ERROR)
    os.environ.update(wanted)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _places(device: str, count: int) -> Iterator[list[int | None]]:
    """Choose GPUs, and keep other runs with several devices from choosing the same meanwhile."""
    if device == "cpu":
        yield [None] * count
        return
    names = [
        str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())
    ]
    with reserved(names, count) as places:
        yield [*places]


@contextlib.contextmanager
def reserved(names: Sequence[str], count: int) -> Iterator[list[int]]:
    """Reserve `count` of what has these names for this process and return their places.

    Where too few are free, as beside another experiment, the first of the others are shared.
    """
    folder = files.cache_folder() / "devices"
    with contextlib.ExitStack() as stack:
        free: list[int] = []
        for place, name in enumerate(names):
            if len(free) < count:
                lock = files.lock(folder / f"{name}.lock")
                with contextlib.suppress(filelock.Timeout):
                    stack.enter_context(lock.acquire(blocking=False))
                    free.append(place)
        shared = [place for place in range(len(names)) if place not in free]
        yield sorted([*free, *shared[: count - len(free)]])


def _is_over(connection: Connection) -> bool:
    """Return whether a connection that has something to read has only its end."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as peeked:
        return not peeked.recv(1, socket.MSG_PEEK)
    return True


def _lost_a_peer(told: dict[str, Any] | None) -> bool:
    """Return whether a rank failed for want of another, as gloo says it."""
    return told is not None and "peer" in str(told.get("error", ""))


def _how_it_ended(exitcode: int) -> str:
    if exitcode < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-exitcode).name}"
    return f"exited with code {exitcode}"


def _failure(status: RunStatus, error: str) -> dict[str, Any]:
    return {"status": str(status), "error": error}
