"""Runs of an experiment as MLflow runs."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from bench import flat
from bench.records import EpochMetrics, RunRecord, RunSpec, RunStatus

RUN_TAG = "bench.run"
"""The tag by which a run of `bench` is found again."""
_STATES = {RunStatus.OK: "FINISHED", RunStatus.INTERRUPTED: "KILLED"}
_MOST_PARAMS = 100
"""How many params MLflow takes in one request."""
_LONGEST_VALUE = 500


@dataclass
class _Tracked:
    """An MLflow run that is under way.

    Attributes:
        known_epochs: how many of its epochs earlier attempts have logged; None once this one has.
        record: what came of it, where the server was not told of that yet.
    """

    id: str
    known_epochs: int | None
    record: RunRecord | None = None


class Session:
    """MLflow runs of one experiment of `bench`.

    Args:
        uri: where MLflow keeps them.
        experiment: the name of the MLflow experiment.
        artifacts: where files go, as a URI; the server's own place where it is None.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str | None) -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = experiment
        self._artifacts = artifacts
        self._known_experiment: str | None = None
        self._tracked: dict[str, _Tracked] = {}

    def run_started(self, run: RunSpec) -> None:
        """Begin an MLflow run, or go on with that of an earlier attempt."""
        self._of(run)

    def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
        """Log the metrics of an epoch, with the epoch as their step."""
        tracked = self._of(run)
        known = tracked.known_epochs
        if known and metrics.epoch == 1:
            # It began anew: the curves of the attempt before are another run's.
            self._client.set_terminated(tracked.id, "KILLED")
            tracked = self._tracked[run.id] = self._begun(run)
        elif known and metrics.epoch <= known:  # it goes on from a state before that epoch
            return
        tracked.known_epochs = None
        values = {**flat.curves(metrics), "epoch": float(metrics.epoch)}
        self._log(tracked.id, values, metrics.epoch)

    def run_finished(self, record: RunRecord) -> None:
        """Log what came of a run, and its record as a file."""
        tracked = self._of(record.spec)
        tracked.record = record
        self._finish(tracked, record)
        del self._tracked[record.id]
        # The last of all: a server may have no place for files.
        text = json.dumps(record.to_dict(), indent=1)
        self._client.log_text(tracked.id, text, "record.json")

    def close(self) -> None:
        """Finish the runs of which that failed, and mark those of which the end was not told."""
        with contextlib.ExitStack() as stack:  # all of them, whichever fails
            for tracked in self._tracked.values():
                stack.callback(self._closed, tracked)
            self._tracked = {}

    def _closed(self, tracked: _Tracked) -> None:
        if tracked.record is not None:
            self._finish(tracked, tracked.record)
        else:
            self._client.set_terminated(tracked.id, "KILLED")

    def _finish(self, tracked: _Tracked, record: RunRecord) -> None:
        self._log(tracked.id, flat.results(record), int(record.timing.get("epochs", 0)))
        self._client.set_tag(tracked.id, "bench.status", str(record.status))
        if record.error:
            self._client.set_tag(tracked.id, "bench.error", record.error)
        state = _STATES.get(record.status, "FAILED")
        self._client.set_terminated(tracked.id, state)

    def _of(self, run: RunSpec) -> _Tracked:
        if run.id not in self._tracked:
            self._tracked[run.id] = self._gone_on_with(run) or self._begun(run)
        return self._tracked[run.id]

    def _gone_on_with(self, run: RunSpec) -> _Tracked | None:
        """Return the MLflow run of an earlier attempt that did not end well."""
        wanted = f"tags.`{RUN_TAG}` = '{run.id}'"
        found = self._client.search_runs(
            [self._experiment_id],
            filter_string=wanted,
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        if not found or found[0].info.status == "FINISHED":
            return None
        mlflow_id = found[0].info.run_id
        self._client.update_run(mlflow_id, status="RUNNING")
        if "bench.error" in found[0].data.tags:
            self._client.delete_tag(mlflow_id, "bench.error")
        if not found[0].data.params:  # its making was answered too late
            self._log_params(mlflow_id, run)
        return _Tracked(mlflow_id, int(found[0].data.metrics.get("epoch", 0)))

    def _begun(self, run: RunSpec) -> _Tracked:
        tags = {
            RUN_TAG: run.id,
            "bench.cell": run.cell,
            "bench.purpose": str(run.purpose),
            **({"bench.role": run.role} if run.role else {}),
        }
        begun = self._client.create_run(self._experiment_id, tags=tags, run_name=run.label)
        self._log_params(begun.info.run_id, run)
        return _Tracked(begun.info.run_id, None)

    def _log_params(self, mlflow_id: str, run: RunSpec) -> None:
        found = flat.params(run).items()
        params = [Param(_fit(name), str(value)[:_LONGEST_VALUE]) for name, value in found]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(mlflow_id, params=params[start : start + _MOST_PARAMS])

    def _log(self, mlflow_id: str, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(_fit(name), value, now, step) for name, value in values.items()]
        self._client.log_batch(mlflow_id, metrics=metrics)

    @property
    def _experiment_id(self) -> str:
        """The MLflow experiment, made where there is none; asked for until it is known."""
        if self._known_experiment is None:
            found = self._client.get_experiment_by_name(self._experiment)
            if found is not None:
                self._known_experiment = found.experiment_id
            else:
                self._known_experiment = self._made_experiment()
        return self._known_experiment

    def _made_experiment(self) -> str:
        try:
            return str(self._client.create_experiment(self._experiment, self._artifacts))
        except MlflowException:
            # Another process may have been faster.
            found = self._client.get_experiment_by_name(self._experiment)
            if found is None:
                raise
            return str(found.experiment_id)


def _fit(name: str) -> str:
    """Return a name in the letters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]
