"""Looks at what runs on this machine, and a `bench run` that can be watched and killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

STARTED = re.compile(r": started \(([0-9a-f]{12})\)")
EPOCH = re.compile(r": epoch (\d+)/\d+,")
LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Process:
    """A process as the kernel tells of it.

    Attributes:
        ticks: of processor time, its own and the kernel's for it.
    """

    pid: int
    parent: int
    session: int
    ticks: int


def processes() -> dict[int, Process]:
    """Return every process that runs now, zombies left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if words[0] not in "ZX":
            pid = int(entry.name)
            ticks = int(words[11]) + int(words[12])
            found[pid] = Process(pid, int(words[1]), int(words[3]), ticks)
    return found


def descendants(root: int) -> set[int]:
    everything = processes()
    found: set[int] = set()
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        for process in everything.values():
            if process.parent == parent and process.pid not in found:
                found.add(process.pid)
                waiting.append(process.pid)
    return found


def workers_of(root: int) -> set[int]:
    """Return the children of the worker server; every other descendant is server or tracker."""
    mine = descendants(root)
    everything = processes()
    servers = {
        pid
        for pid in mine
        if pid in everything and everything[pid].parent == root and _is_server(pid)
    }
    return {pid for pid in mine if pid in everything and everything[pid].parent in servers}


def _is_server(pid: int) -> bool:
    """Return whether a process is a worker server, and not some other test's database."""
    try:
        return b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def in_session(leader: int) -> set[int]:
    """Return what runs in a session: also what has lost its parent, or left its group."""
    return {process.pid for process in processes().values() if process.session == leader}


def left_over(pids: Iterable[int], seconds: float = 10) -> set[int]:
    """Wait until all of some processes are gone; return those that are not."""
    limit = time.monotonic() + seconds
    while (left := set(pids) & set(processes())) and time.monotonic() < limit:
        time.sleep(LOOK_SECONDS)
    return left


@dataclass
class Bench:
    """A `bench run`, or another verb, in a session of its own, which is killed with the test."""

    results: Path
    words: tuple[str, ...]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    verb: str = "run"
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        command = [*self.before, sys.executable, "-m", "bench", self.verb]
        with self.log.open("wb") as err, self.log.with_suffix(".out").open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--results", str(self.results), *self.words],
                stdout=out,
                stderr=err,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def err(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def out(self) -> str:
        return self.log.with_suffix(".out").read_text()

    def started(self) -> list[str]:
        """Return the ids of the runs that it has said to have started, in order."""
        return STARTED.findall(self.err)

    def epochs(self) -> dict[str, list[int]]:
        """Return the epochs that it has told of, by run; of one worker only."""
        told: dict[str, list[int]] = {}
        for line in self.err.splitlines():
            if (started := STARTED.search(line)) is not None:
                current = told.setdefault(started[1], [])
            elif (epoch := EPOCH.search(line)) is not None:
                current.append(int(epoch[1]))
        return told

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 250) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.err}"
            assert time.monotonic() < limit, f"not {what} in time:\n{self.err}"
            time.sleep(LOOK_SECONDS)

    def wait_until_started(self, count: int) -> None:
        self.wait_until(lambda: len(self.started()) >= count, f"{count} runs had started")

    def wait(self, seconds: float = 250) -> int:
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it and everything in its session, however it stands."""
        for pid in {self.pid} | in_session(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
