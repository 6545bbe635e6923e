"""TensorBoard as a tracker: curves of runs as they happen, and their params beside what came of it.

`bench run --trackers tensorboard` writes event files that `tensorboard --logdir` shows. They are
written by TensorBoard's own writer; torch is not imported.
"""

from __future__ import annotations

from pathlib import Path

import bench

BENCH_API = 1


def build(folder: Path, *, logdir: str | None = None) -> bench.TrackerSession:
    """Event files for TensorBoard: curves by epoch, params with final metrics.

    Args:
        folder: the results folder.
        logdir: where a folder for each run is made; `tensorboard` in the results folder where
            that is None.
    """
    if logdir is not None and not (isinstance(logdir, str) and logdir.strip()):
        raise bench.UsageError(f"`tensorboard.logdir` is {logdir!r}; name a folder")
    from bench_tensorboard.session import Session

    return Session(Path(logdir) if logdir else folder / "tensorboard")


@bench.hookimpl
def register_trackers() -> list[bench.Tracker]:
    """Return the tracker."""
    needs = {"tensorboard": "bench-harness[tensorboard]"}
    return [bench.Tracker(name="tensorboard", build=build, needs=needs)]
