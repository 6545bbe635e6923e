"""Trackers: where runs are told of as they happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from bench.specs.component import Component

if TYPE_CHECKING:
    from bench.records import EpochMetrics, RunRecord, RunSpec


class TrackerSession(Protocol):
    """Is told of the runs of one experiment; what a tracker's `build` returns.

    All of it is called in one thread, one call after the other, beside the runs: it may take its
    time, and what it raises fails no run. Several runs may be under way at once; `run.id` and
    `record.id` tell them apart. A run that goes on where it stopped is started again, and its
    epochs follow on those that it had.
    """

    def run_started(self, run: RunSpec) -> None:
        """Note that a worker has started a run."""

    def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
        """Note the metrics of an epoch."""

    def run_finished(self, record: RunRecord) -> None:
        """Note the record of a run that ended, well or not; some end without having started."""

    def close(self) -> None:
        """Finish what is open; the last call, after which `bench` waits a few seconds at most."""


@dataclass(frozen=True, kw_only=True)
class Tracker(Component):
    """Where runs are told of as they happen, for example a tracking server.

    Attributes:
        build: `build(folder, *, ...)` returns a `TrackerSession`. `folder` is the `Path` of the
            results folder. It is called once an experiment, before any work, in the thread in
            which the session is told of things. A `BenchError` that it raises ends the experiment
            before it begins; anything else is warned of, and the runs go on without the tracker.
        needs: the modules that `build` imports, each with what brings it, for example
            `{"mlflow": "bench-harness[mlflow]"}`; a missing one is told of before any work.
    """

    kind: ClassVar[str] = "tracker"
    plural: ClassVar[str] = "trackers"

    build: Callable[..., TrackerSession]
    needs: Mapping[str, str] = field(default_factory=dict)
