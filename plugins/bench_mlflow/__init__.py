"""MLflow as a tracker: each run with its params, curves, results and record.

`bench run --trackers mlflow` writes to the server that `MLFLOW_TRACKING_URI` names, or to a
database in the results folder. MLflow's client suffices (`mlflow-skinny`).
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import bench

BENCH_API = 1
_EXTRA = "bench-harness[mlflow]"
_SETTINGS = {
    # A server that is down would hold a call for minutes by default, and only so many may wait. A
    # request to make a run that is sent again because its answer is late makes two of them.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing goes anywhere but where runs are to be kept
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""What MLflow reads of the environment; what the user has set stays."""


def build(
    folder: Path, *, uri: str | None = None, experiment: str = "bench"
) -> bench.TrackerSession:
    """MLflow runs with params, metrics by epoch, status and the record as an artifact.

    Args:
        folder: the results folder.
        uri: where MLflow keeps runs, for example `http://localhost:5000`; where it is None the
            environment's `MLFLOW_TRACKING_URI`, else the database `mlflow.db` in the results
            folder.
        experiment: the name of the MLflow experiment; made where there is none.
    """
    chosen = os.environ.get("MLFLOW_TRACKING_URI") if uri is None else uri
    if uri is not None and not (isinstance(uri, str) and uri.strip()):
        raise bench.UsageError(f"`mlflow.uri` is {uri!r}; give an address, as `http://HOST:PORT`")
    if not experiment.strip():
        raise bench.UsageError("`mlflow.experiment` is empty; give a name")
    artifacts = None
    if not chosen:
        folder.mkdir(parents=True, exist_ok=True)
        chosen = f"sqlite:///{folder.absolute() / 'mlflow.db'}"
        artifacts = (folder.absolute() / "mlflow").as_uri()
    if chosen.startswith("sqlite:") and importlib.util.find_spec("sqlalchemy") is None:
        raise bench.EnvironmentFailure(
            f"tracker `mlflow` needs `sqlalchemy` for `{chosen}`; `pip install {_EXTRA}` brings it"
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)  # before MLflow is imported
    from bench_mlflow.session import Session

    return Session(chosen, experiment, artifacts)


@bench.hookimpl
def register_trackers() -> list[bench.Tracker]:
    """Return the tracker."""
    return [bench.Tracker(name="mlflow", build=build, needs={"mlflow": _EXTRA})]
