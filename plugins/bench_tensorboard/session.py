"""Event files, one folder a run."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import metadata, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from bench import flat
from bench.records import EpochMetrics, RunRecord, RunSpec, RunStatus

_STATES = {
    RunStatus.OK: Status.STATUS_SUCCESS,
    RunStatus.DIVERGED: Status.STATUS_FAILURE,
}
"""How runs end that are not tried again: TensorBoard shows the first end that it finds."""


class _Curves:
    """The event file of one run that is under way."""

    def __init__(self, folder: Path, run: RunSpec) -> None:
        self._writer = EventFileWriter(str(folder))
        self._epochs = 0
        # Runs that differ in their seed alone are one group, over which TensorBoard takes the mean.
        start = summary_v2.hparams_pb(
            {name: value for name, value in flat.params(run).items() if name != "seed"},
            trial_id=run.cell,
        )
        self._add(summary=start, step=0)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Add a point to each curve."""
        if not self._epochs:
            # A run that goes on may repeat an epoch, one that is repeated begins again: TensorBoard
            # drops what it had from here on.
            again = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(session_log=again, step=metrics.epoch)
        self._epochs = metrics.epoch
        self._scalars(flat.curves(metrics), metrics.epoch)
        self._writer.flush()

    def finish(self, record: RunRecord) -> None:
        """Add what came of the run, and close the file."""
        epochs = int(record.timing.get("epochs", self._epochs))
        self._scalars(flat.results(record), epochs)
        if record.status in _STATES:
            end = plugin_data_pb2.SessionEndInfo(
                status=_STATES[record.status], end_time_secs=time.time()
            )
            data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
            value = summary_pb2.Summary.Value(
                tag=metadata.SESSION_END_INFO_TAG,
                metadata=metadata.create_summary_metadata(data),
                tensor=metadata.NULL_TENSOR,
            )
            self._add(summary=summary_pb2.Summary(value=[value]), step=0)
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._add(summary=scalar_pb(name, value), step=step)

    def _add(self, *, step: int, **what: Any) -> None:
        self._writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, **what))


class Session:
    """Event files of the runs of an experiment, each in a folder of its own.

    Args:
        logdir: holds them.
    """

    def __init__(self, logdir: Path) -> None:
        self._logdir = logdir
        self._open: dict[str, _Curves] = {}

    def run_started(self, run: RunSpec) -> None:
        """Begin an event file; one that goes on gets a further one in the same folder."""
        self._of(run)

    def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
        """Add a point to each curve of a run."""
        self._of(run).epoch(metrics)

    def run_finished(self, record: RunRecord) -> None:
        """Add what came of a run; of one that never began there is nothing to show."""
        if record.id in self._open or record.status is RunStatus.OK:
            self._of(record.spec).finish(record)
            del self._open[record.id]

    def close(self) -> None:
        """Close what is open."""
        with contextlib.ExitStack() as stack:  # all of them, whichever fails
            for curves in self._open.values():
                stack.callback(curves.close)
            self._open = {}

    def _of(self, run: RunSpec) -> _Curves:
        if run.id not in self._open:
            self._open[run.id] = _Curves(self._logdir / folder_of(run), run)
        return self._open[run.id]


def folder_of(run: RunSpec) -> str:
    """Return the name of a run's folder: what people look for first, and its id, which is unique.

    It is what TensorBoard calls the run.
    """
    words = (run.dataset.name, run.model_label, run.optimizer.name, f"seed{run.seed}")
    name = re.sub(r"[^\w.-]+", "_", "-".join(words))
    return f"{name[:120]}-{run.id}"
