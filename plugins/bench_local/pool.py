"""A pool of worker processes, forked from a server that has imported the heavy modules.

The server (multiprocessing's forkserver) pays for importing torch once; a worker then starts in
milliseconds, in a fresh process that has never touched a GPU.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
import types
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess

from bench import EnvironmentFailure, Job, JobEvent, JobEventKind, UsageError
from bench.foreign_code import stdout_to_stderr
from bench.text import listing
from bench_local import process

GRACE_SECONDS = 2.0
SPIN_COUNT = "3000"
ENGINE = "bench.engine.worker"
SERVER = "bench_local.server"
SERVING = "bench_local.serving"
_server_modules: list[str] = []
"""What the server was started with; it outlives a pool, and later pools cannot add to it."""


class Worker:
    """One process, its pipes, and the job that it has in hand."""

    def __init__(self, context: ForkServerContext, preload: Sequence[str]) -> None:
        self.job: Job | None = None
        self.served = 0
        self.ready = False
        self.connection, theirs = context.Pipe()
        # Nobody ever writes to this pipe: it closes when this process dies, however it dies.
        life, self._life = context.Pipe(duplex=False)
        self.process: ForkServerProcess = context.Process(
            target=process.serve, args=(theirs, life, list(preload)), daemon=True
        )
        try:
            with _anonymous_main():
                self.process.start()
        except (EOFError, OSError) as error:
            raise EnvironmentFailure(
                f"the worker server ended while it imported {listing(preload)}; "
                "`bench doctor` shows whether torch can be imported"
            ) from error
        theirs.close()
        life.close()

    def start(self, job: Job) -> None:
        """Hand over a job."""
        self.job = job
        self.served += 1
        with contextlib.suppress(OSError):  # a worker that died is noticed by `poll`
            self.connection.send(job)

    def stop(self, *, force: bool) -> None:
        """End the process: at once, or after the message that there is nothing more to do."""
        if not force:
            with contextlib.suppress(OSError):
                self.connection.send(None)
            self.process.join(GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
        # What its plugins started is in its group, and may still run after a peaceful end.
        assert self.process.pid
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.connection.close()
        self._life.close()


class Pool:
    """An executor session over local processes."""

    def __init__(self, workers: int, preload: Sequence[str], runs_per_worker: int) -> None:
        if runs_per_worker < 1:
            raise UsageError(f"`local.runs_per_worker` must be 1 or more, not {runs_per_worker}")
        # Threads that spin long while they wait take the cores from whatever else runs; those
        # that never spin lose a quarter of an idle machine. docs/decisions has the figures.
        if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
            os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._preload = [*dict.fromkeys([SERVER, *preload, ENGINE, SERVING])]
        self._context.set_forkserver_preload(self._preload)
        if not _server_modules:
            _server_modules.extend(self._preload)
        # Whatever modules print while they are imported must not reach the results on stdout.
        with stdout_to_stderr():
            forkserver.ensure_running()
        self._limit = runs_per_worker
        self._workers: list[Worker] = []
        self._slots = workers
        self._checked = False

    @property
    def slots(self) -> int:
        """How many jobs can be under way at once."""
        return self._slots

    def submit(self, job: Job) -> None:
        """Start a job on a free worker, or on a new one."""
        for idle in [w for w in self._workers if w.job is None and not w.process.is_alive()]:
            self._remove(idle, force=True)
        worker = next((w for w in self._workers if w.job is None), None)
        if worker is None:
            assert len(self._workers) < self._slots, "more jobs than slots"
            worker = Worker(self._context, self._preload)
            self._workers.append(worker)
        worker.start(job)

    def poll(self, timeout: float) -> list[JobEvent]:
        """Wait at most `timeout` seconds and return what workers report."""
        busy = [worker for worker in self._workers if worker.job is not None]
        if not busy:
            time.sleep(timeout)
            return []
        waitables: list[Connection | int] = []
        for worker in busy:
            waitables += [worker.connection, worker.process.sentinel]
        multiprocessing.connection.wait(waitables, timeout)
        events: list[JobEvent] = []
        for worker in busy:
            events.extend(self._read(worker))
        return events

    def _read(self, worker: Worker) -> Iterator[JobEvent]:
        """Yield what a worker has sent; if it has died, that it died."""
        job = worker.job
        assert job is not None
        # Asked first: what a dead worker had sent before is still in the pipe.
        dead = not worker.process.is_alive()
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                if message["kind"] == "ready":
                    self._check_preload(message["missing"])
                    continue
                yield JobEvent(job.id, JobEventKind(message["kind"]), message["data"])
                if message["kind"] == JobEventKind.FINISHED:
                    worker.job = None
                    if message["data"].get("status") != "ok" or worker.served >= self._limit:
                        self._remove(worker, force=False)
                    return
        except (EOFError, OSError):
            dead = True
        if dead:
            worker.process.join()
            exitcode = worker.process.exitcode
            self._remove(worker, force=True)
            yield JobEvent(job.id, JobEventKind.DIED, {"exitcode": exitcode})

    def _check_preload(self, missing: list[str]) -> None:
        """Say once if the server did not import what it should: it keeps silent about it."""
        unexpected = [name for name in missing if name in _server_modules]
        if unexpected and not self._checked:
            names = ", ".join(unexpected)
            warnings.warn(f"workers start slowly: {names} could not be preloaded", stacklevel=2)
        self._checked = True

    def interrupt(self, job_id: str) -> None:
        """Ask the worker that has a job in hand to save the run's state and end it."""
        for worker in self._workers:
            if worker.job is not None and worker.job.id == job_id and worker.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGTERM)

    def cancel(self, job_id: str) -> None:
        """Kill the worker that has a job in hand."""
        for worker in self._workers:
            if worker.job is not None and worker.job.id == job_id:
                self._remove(worker, force=True)
                return

    def close(self, *, force: bool) -> None:
        """Stop all workers."""
        for worker in list(self._workers):
            self._remove(worker, force=force or worker.job is not None)

    def _remove(self, worker: Worker, *, force: bool) -> None:
        self._workers.remove(worker)
        worker.stop(force=force)


@contextlib.contextmanager
def _anonymous_main() -> Iterator[None]:
    """Keep multiprocessing from importing the user's script again in every worker.

    A worker needs nothing from it, and a script that calls `bench.run` without an
    `if __name__ == "__main__"` guard would start an experiment in each.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
