"""Executors: where runs are carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from bench.specs.component import Component


class ExecutorSession(Protocol):
    """A pool of workers that carries out jobs; what an executor's `build` returns."""

    @property
    def slots(self) -> int:
        """How many jobs can be under way at once."""

    def submit(self, job: Any) -> None:
        """Start a `bench.records.Job` on a free worker."""

    def poll(self, timeout: float) -> Iterable[Any]:
        """Wait at most `timeout` seconds and return the `bench.records.JobEvent`s so far."""

    def interrupt(self, job_id: str) -> None:
        """Ask a run to save its state and end, as `bench.engine.worker.interrupt` does there.

        It reports how it ended, which may be well if it was about to.
        """

    def cancel(self, job_id: str) -> None:
        """Stop a job now, by force; no further event of it is reported."""

    def close(self, *, force: bool) -> None:
        """Stop all workers; with `force`, without waiting for what they are doing."""


@dataclass(frozen=True, kw_only=True)
class Executor(Component):
    """Where runs are carried out.

    Attributes:
        build: `build(workers, preload, *, ...)` returns an `ExecutorSession`. `workers` is the
            number of jobs at a time, `preload` the modules that workers should import first.
    """

    kind: ClassVar[str] = "executor"
    plural: ClassVar[str] = "executors"

    build: Callable[..., ExecutorSession]
