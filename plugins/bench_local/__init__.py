"""The local executor: runs in warm worker processes on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bench

BENCH_API = 1


def build(
    workers: int, preload: Sequence[str], *, runs_per_worker: int = 100
) -> bench.ExecutorSession:
    """Warm worker processes on this machine, replaced after a failure.

    Args:
        workers: processes at a time.
        preload: modules that are imported once, before workers are forked.
        runs_per_worker: jobs after which a worker is replaced, so that leaks stay small.
    """
    from bench_local.pool import Pool

    return Pool(workers, preload, runs_per_worker)


@bench.hookimpl
def register_executors() -> Iterable[bench.Executor]:
    """Offer `local`."""
    return [bench.Executor(name="local", build=build, default=True)]
