"""Runs of MLflow, read back by its own client: from a database, and from a server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Watcher
from samples import make_record, make_spec

import bench
import bench_mlflow
from bench import observing
from bench.api import Result
from bench.records import EpochMetrics, RunRecord, RunSpec, RunStatus

pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")

Experiment = Callable[..., Result]
# What MLflow and what it imports do is not ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def epoch(number: int, loss: float = 0.5) -> EpochMetrics:
    return EpochMetrics(number, 3, loss, 0.5, loss, 0.5, 0.1 / number, 2.0, 100.0)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables: MLflow takes seconds to make them."""
    folder = tmp_path_factory.mktemp("mlflow")
    bench_mlflow.build(folder)
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def results(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with an empty database in it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


class Kept:
    """What MLflow's client finds of one experiment."""

    def __init__(self, uri: str, experiment: str = "bench") -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(experiment)
        assert found is not None
        self.experiment = found
        self.runs = self.client.search_runs(
            [found.experiment_id], order_by=["attributes.start_time ASC"]
        )

    def curve(self, run: Any, name: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, name)
        return [(point.step, point.value) for point in history]

    def record(self, run: Any, folder: Path) -> Any:
        path = self.client.download_artifacts(run.info.run_id, "record.json", str(folder))
        return json.loads(Path(path).read_text())


def kept_in(results: Path) -> Kept:
    return Kept(f"sqlite:///{results / 'mlflow.db'}")


def attempt(
    told: bench.TrackerSession, run: RunSpec, *epochs: int, status: RunStatus = RunStatus.OK
) -> RunRecord:
    told.run_started(run)
    for number in epochs:
        told.epoch_finished(run, epoch(number, loss=1 / number))
    error = None if status is RunStatus.OK else f"it was {status}"
    record = make_record(run, status=status, error=error, timing={"epochs": len(epochs)})
    told.run_finished(record)
    return record


# A database in the results folder


def test_params_curves_results_status_and_record_are_read_back(
    results: Path, tmp_path: Path
) -> None:
    told = bench_mlflow.build(results)
    run = make_spec(params={"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}}, seed=4)
    record = attempt(told, run, 1, 2, 3)
    told.close()
    kept = kept_in(results)
    [found] = kept.runs
    assert found.info.run_name == run.label
    assert found.info.status == "FINISHED"
    assert found.info.end_time >= found.info.start_time
    params = found.data.params
    assert (params["optimizer"], params["optimizer.lr"]) == ("adamw", "0.1")
    assert params["optimizer.betas"] == "[0.9, 0.99]"
    assert params["seed"] == "4"
    assert kept.curve(found, "val/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert kept.curve(found, "final/test_accuracy") == [(3, 0.8)]
    tags = found.data.tags
    assert (tags["bench.run"], tags["bench.status"]) == (run.id, "ok")
    assert tags["bench.purpose"] == "final"
    assert "bench.error" not in tags
    assert kept.record(found, tmp_path) == record.to_dict()
    assert (results / "mlflow").is_dir()


def test_several_runs_at_once(results: Path) -> None:
    told = bench_mlflow.build(results, experiment="seeds")
    runs = [make_spec(seed=seed) for seed in range(3)]
    for run in runs:
        told.run_started(run)
    for number in (1, 2):
        for seed, run in enumerate(runs):
            told.epoch_finished(run, epoch(number, loss=float(seed)))
    told.run_finished(make_record(runs[1]))
    told.close()
    kept = Kept(f"sqlite:///{results / 'mlflow.db'}", "seeds")
    by_seed = {int(found.data.params["seed"]): found for found in kept.runs}
    for seed, found in by_seed.items():
        assert kept.curve(found, "train/loss") == [(1, seed), (2, seed)]
    statuses = [by_seed[seed].info.status for seed in range(3)]
    assert statuses == ["KILLED", "FINISHED", "KILLED"]  # those whose end was not told


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (RunStatus.FAILED, "FAILED"),
        (RunStatus.DIVERGED, "FAILED"),
        (RunStatus.INTERRUPTED, "KILLED"),
    ],
)
def test_a_run_that_ends_badly_says_why(results: Path, status: RunStatus, state: str) -> None:
    told = bench_mlflow.build(results)
    told.run_finished(make_record(status=status, error="the disk is full"))
    told.close()
    [found] = kept_in(results).runs
    assert found.info.status == state
    assert found.data.tags["bench.status"] == str(status)
    assert found.data.tags["bench.error"] == "the disk is full"


def test_a_run_that_goes_on_is_one_mlflow_run(results: Path) -> None:
    run = make_spec()
    for status, epochs in (
        (RunStatus.INTERRUPTED, (1, 2)),
        (RunStatus.CRASHED, (2, 3)),  # from a state before the end of the second
        (RunStatus.OK, (4, 5)),
    ):
        told = bench_mlflow.build(results)
        attempt(told, run, *epochs, status=status)
        told.close()
    kept = kept_in(results)
    [found] = kept.runs
    assert found.info.status == "FINISHED"
    assert [step for step, _ in kept.curve(found, "val/loss")] == [1, 2, 3, 4, 5]
    assert found.data.tags["bench.status"] == "ok"
    assert "bench.error" not in found.data.tags


def test_a_run_that_begins_anew_is_another_mlflow_run(results: Path) -> None:
    run = make_spec()
    for status in (RunStatus.FAILED, RunStatus.OK, RunStatus.OK):
        told = bench_mlflow.build(results)
        attempt(told, run, 1, 2, status=status)
        told.close()
    kept = kept_in(results)
    assert [found.info.status for found in kept.runs] == ["KILLED", "FINISHED", "FINISHED"]
    assert all([step for step, _ in kept.curve(found, "val/loss")] == [1, 2] for found in kept.runs)


def test_a_failure_on_the_way_costs_no_more_than_what_was_told_then(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    told = bench_mlflow.build(results)
    run = make_spec()

    def late(self: Any, *arguments: Any, **named: Any) -> None:
        raise TimeoutError("read timed out")

    def fails(method: str, call: Callable[[], None]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, method, late)
            with pytest.raises(TimeoutError):
                call()

    fails("log_batch", lambda: told.run_started(run))  # it is made, and has no params yet
    told.epoch_finished(run, epoch(1))
    fails("log_batch", lambda: told.epoch_finished(run, epoch(2)))
    told.epoch_finished(run, epoch(3))
    fails("set_terminated", lambda: told.run_finished(make_record(run)))
    told.close()
    kept = kept_in(results)
    [found] = kept.runs
    assert found.info.status == "FINISHED"
    assert found.data.params["optimizer"] == "adamw"
    assert [step for step, _ in kept.curve(found, "val/loss")] == [1, 3]
    assert found.data.metrics["final/test_accuracy"] == 0.8


def test_odd_names_and_values_fit(results: Path) -> None:
    told = bench_mlflow.build(results)
    run = make_spec(model="n@t;'x'", params={"model": {"näme|x": "v" * 9000, "of%": float("nan")}})
    attempt(told, run, 1)
    told.close()
    [found] = kept_in(results).runs
    assert found.data.params["model"] == "n@t;'x'"
    assert found.data.params["model.näme_x"] == "v" * 500


def test_the_environment_names_the_place(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(results / "mlflow.db", tmp_path / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    monkeypatch.chdir(tmp_path)
    told = bench_mlflow.build(results)
    told.run_started(make_spec())
    told.close()
    assert not list(results.iterdir())
    assert len(Kept(f"sqlite:///{tmp_path / 'elsewhere.db'}").runs) == 1


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"uri": " "}, "`mlflow.uri` is ' '; give an address"),
        ({"uri": 5000}, "`mlflow.uri` is 5000; give an address"),
        ({"experiment": " "}, "`mlflow.experiment` is empty; give a name"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, params: dict[str, Any], said: str) -> None:
    with pytest.raises(bench.UsageError) as caught:
        bench_mlflow.build(tmp_path, **params)
    assert said in str(caught.value)


def test_a_database_without_sqlalchemy_says_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(bench.EnvironmentFailure, match=r"pip install bench-harness\[mlflow\]"):
        bench_mlflow.build(tmp_path)


def test_mlflow_is_not_imported_to_list_it() -> None:
    script = "import sys, bench_mlflow as b; b.register_trackers(); print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_whole_experiment(experiment: Experiment, watcher: Watcher, results: Path) -> None:
    result = experiment(["tiny", "raises"], trackers="mlflow", workers=2, seeds=2)
    assert not [text for text in watcher.messages if "warning" in text]
    kept = kept_in(results)
    found = {run.data.tags["bench.run"]: run for run in kept.runs}
    assert {*found} == {record.id for record in result.records}
    for record in result.records:
        assert found[record.id].data.tags["bench.status"] == str(record.status)
        if record.status is RunStatus.OK:
            expected = record.metrics["test"]["accuracy"]
            assert found[record.id].data.metrics["final/test_accuracy"] == expected


# Servers that are down


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("server", ["silent", "closed"])
def test_a_server_that_is_down_fails_no_run(
    experiment: Experiment,
    watcher: Watcher,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    server: str,
) -> None:
    for name, value in {"TIMEOUT": "1", "MAX_RETRIES": "0", "BACKOFF_FACTOR": "0"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    monkeypatch.setattr(observing, "END_SECONDS", 0.5)
    uri = f"http://127.0.0.1:{request.getfixturevalue(server)}"
    ended: list[float] = []
    tell = observing.Observers.tell

    def timed(self: observing.Observers, hook: str, arguments: Any) -> None:
        tell(self, hook, arguments)
        ended.append(time.monotonic())

    monkeypatch.setattr(observing.Observers, "tell", timed)
    result = experiment(trackers="mlflow", seeds=2, set={"mlflow.uri": uri})
    assert [record.status for record in result.records] == [RunStatus.OK] * 2
    assert time.monotonic() - ended[-1] < 15  # the deadline, and what follows after it
    warnings = [text for text in watcher.messages if text.startswith("warning")]
    assert len(warnings) == 1, warnings
    assert "tracker `mlflow`" in warnings[0]
    assert "see that what it writes to answers" in warnings[0]
    assert any("`mlflow` missed " in text and " of 8 events" in text for text in watcher.messages)


# A real server


@pytest.fixture
def server(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a real server with a database of its own."""
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.setattr(observing, "END_SECONDS", 60.0)  # the machine may be busy
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    words += ["--artifacts-destination", str(folder / "files")]
    with (tmp_path / "server.txt").open("w") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 240
            while not _answers(port):
                log_text = (tmp_path / "server.txt").read_text()
                assert process.poll() is None, log_text
                assert time.monotonic() < deadline, log_text
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.slow
def test_a_real_server_keeps_what_it_is_told(
    experiment: Experiment, watcher: Watcher, server: str, tmp_path: Path
) -> None:
    values: dict[str, Any] = {"trackers": "mlflow", "set": {"mlflow.uri": server}}
    result = experiment(["tiny", "raises"], workers=2, seeds=2, **values)
    assert not [text for text in watcher.messages if "warning" in text]
    kept = Kept(server)
    found = {run.data.tags["bench.run"]: run for run in kept.runs}
    assert {*found} == {record.id for record in result.records}
    states = {RunStatus.OK: "FINISHED", RunStatus.FAILED: "FAILED"}
    for record in result.records:
        run = found[record.id]
        assert run.info.status == states[record.status]
        assert kept.record(run, tmp_path) == record.to_dict()
        if record.status is RunStatus.OK:
            assert [step for step, _ in kept.curve(run, "val/accuracy")] == [1, 2]
            assert len(run.data.params) > 40


@pytest.mark.slow
def test_an_interrupted_run_goes_on_in_the_same_run_of_a_server(
    experiment: Experiment, watcher: Watcher, server: str
) -> None:
    values: dict[str, Any] = {
        **{"trackers": "mlflow", "epochs": 6, "models": "sleeps"},
        "set": {"mlflow.uri": server, "sleeps.seconds": 0.1},
    }
    threading.Thread(target=_interrupt_after, args=(watcher, 2), daemon=True).start()
    stopped = experiment(**values)
    assert stopped.interrupted
    resumed = experiment(**values)
    assert [record.status for record in resumed.records] == [RunStatus.OK]
    assert resumed.records[0].timing["resumed"] == 1
    kept = Kept(server)
    [run] = kept.runs
    assert run.info.status == "FINISHED"
    assert [step for step, _ in kept.curve(run, "val/accuracy")] == [1, 2, 3, 4, 5, 6]


def _interrupt_after(watcher: Watcher, epochs: int) -> None:
    while len(watcher.epochs) < epochs:
        time.sleep(0.01)
    os.kill(os.getpid(), 2)
