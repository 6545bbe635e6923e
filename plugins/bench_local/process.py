"""What runs inside a worker process."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench import Job, JobEventKind
from bench.jobs import JobKind
from bench.lifeline import die_with_writer


def serve(connection: Connection, life: Connection, preload: list[str]) -> None:
    """Carry out jobs until the parent says that there are no more, or is gone."""
    # Ctrl-C reaches the whole group; the parent decides what becomes of a run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until there is a run that can be interrupted
    # A group of its own, so that whatever a plugin starts ends together with this process.
    os.setpgid(0, 0)
    # Nobody ever writes to this pipe: it closes when the parent dies, however it dies.
    die_with_writer(life.fileno())
    missing = [name for name in preload if name not in sys.modules]
    engine = importlib.import_module("bench.engine.worker")
    connection.send({"kind": "ready", "missing": missing})
    while True:
        try:
            job: Job | None = connection.recv()
        except (EOFError, OSError):
            return
        if job is None:
            return
        _carry_out(engine, job, connection)


def _carry_out(engine: Any, job: Job, connection: Connection) -> None:
    def emit(metrics: dict[str, Any]) -> None:
        connection.send({"kind": JobEventKind.PROGRESS, "data": metrics})

    # From the first message about a run to the last, a wish to stop must not kill the worker.
    with _interruptible(engine, job):
        connection.send({"kind": JobEventKind.STARTED, "data": {"pid": os.getpid()}})
        with _output_to(job.log):
            result = engine.perform(job.kind, job.payload, emit)
        connection.send({"kind": JobEventKind.FINISHED, "data": result})


@contextlib.contextmanager
def _interruptible(engine: Any, job: Job) -> Iterator[None]:
    """Let SIGTERM save the state of a run and end it; anything else it ends at once."""
    if job.kind is not JobKind.RUN:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, frame: engine.interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Log(io.FileIO):
    """A file that loses what its disk has no room for; no run fails for the sake of its log."""

    def write(self, content: Any) -> int:
        """Write bytes, or claim to have written them."""
        try:
            return super().write(content)
        except OSError:
            return len(content)


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send all that is printed, from C as well, and the stack of a crash, to a file.

    Line by line, since a run that hangs is killed in the end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    raw = io.BufferedWriter(_Log(log, "a"))
    with io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True) as file:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        faulthandler.enable(file)
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            faulthandler.disable()
            for target, descriptor in zip((1, 2), saved, strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
