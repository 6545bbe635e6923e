"""Runs on several devices as `bench run` carries them out: counted, lost, killed, interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done, Watcher
from processes import Bench, descendants, left_over
from safetensors.numpy import load_file

from bench.api import Result
from bench.hookspecs import hookimpl
from bench.records import EpochMetrics, RunRecord, RunSpec, RunStatus
from bench.store import Store

Experiment = Callable[..., Result]
TOLERANCE = 1e-5
"""Gradients are summed in another order: the last bits of float32, over some steps."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def predictions(store: Store, record: RunRecord) -> dict[str, Any]:
    with np.load(store.folder(record.id) / "predictions.npz") as arrays:
        return dict(arrays)


def ranks_of(root: int) -> list[int]:
    found = []
    for pid in descendants(root):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"bench.engine.rank" in command:
            found.append(pid)
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_lost_rank_is_one_crashed_run_and_the_next_equals_one_process(
    experiment: Experiment, store: Store
) -> None:
    values: dict[str, Any] = {"batch_size": 15, "deterministic": True}
    lost, shared = experiment("lost-rank,tiny", devices=2, **values).records
    assert lost.status is RunStatus.CRASHED
    log = store.folder(lost.id) / "log.txt"
    assert lost.error == f"rank 1 of 2 was killed by SIGKILL; see `{log}`"
    assert "the last words" in log.read_text()
    assert shared.status is RunStatus.OK, shared.error
    assert left_over(ranks_of(os.getpid())) == set()

    (alone,) = experiment("tiny", **values).records
    assert alone.id != shared.id
    one, two = predictions(store, alone), predictions(store, shared)
    for split, metrics in shared.metrics.items():
        ids = two[f"{split}_ids"].tolist()
        assert len(set(ids)) == len(ids) == metrics["n"]
        assert np.array_equal(one[f"{split}_ids"], two[f"{split}_ids"])
    one, two = (load_file(store.folder(each.id) / "model.safetensors") for each in (alone, shared))
    assert one.keys() == two.keys()
    assert all(np.allclose(one[name], two[name], atol=TOLERANCE) for name in one)
    assert shared.timing["steps"] == alone.timing["steps"]
    assert shared.environment["devices"] == 2
    parts = sum(v for k, v in shared.timing.items() if k.endswith("_seconds"))
    assert parts == pytest.approx(2 * shared.timing["wall_seconds"], rel=0.1)


def test_a_batch_that_devices_cannot_share_is_refused_at_once(cli: Callable[..., Done]) -> None:
    words = ("--datasets", "tiny", "--models", "tiny", "--optimizers", "sgd-vanilla")
    done = cli("run", *words, "--devices", 2)
    assert done.code == 2
    assert "batches of 1, which 2 devices cannot share" in done.err


@pytest.mark.slow
def test_an_error_on_one_rank_is_the_error_of_the_run(experiment: Experiment) -> None:
    settings = {"lost-rank.raises": "rank one has had enough"}
    (record,) = experiment("lost-rank", devices=2, set=settings).records
    assert record.status is RunStatus.FAILED
    assert record.error == "RuntimeError: rank one has had enough"


@pytest.mark.slow
def test_a_timeout_ends_every_rank(experiment: Experiment, watcher: Watcher) -> None:
    (record,) = experiment("sleeps", devices=2, timeout="45s").records
    assert record.status is RunStatus.TIMEOUT
    assert left_over(ranks_of(os.getpid())) == set()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    running: list[Bench] = []

    def run(*words: str) -> Bench:
        log = tmp_path / f"bench-{len(running)}.txt"
        running.append(Bench(tmp_path / "results", ("--datasets", "tiny", *words), log))
        return running[-1]

    yield run
    for bench in running:
        bench.kill()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["bench", "worker"])
def test_no_rank_outlives_bench_or_its_worker(start: Callable[..., Bench], victim: str) -> None:
    words = ("--models", "dropout", "--devices", "2", "--epochs", "50")
    bench = start(*words, "--set", "dropout.seconds=0.5")
    bench.wait_until(lambda: ": epoch 1/" in bench.err, "an epoch had ended")
    ranks = ranks_of(bench.pid)
    assert len(ranks) == 2
    os.kill(bench.pid if victim == "bench" else parent_of(ranks[0]), signal.SIGKILL)
    assert left_over(ranks) == set()
    if victim == "worker":
        assert bench.wait() == 1
        assert "its worker was killed by SIGKILL" in bench.out + bench.err


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bits(
    experiment: Experiment, store: Store, tmp_path: Path
) -> None:
    values: dict[str, Any] = {
        **{"devices": 2, "deterministic": True, "epochs": 4, "batch_size": 15},
        **{"averaging": "ema", "batch_norm": "sync", "log_steps": 2},
        "set": {"dropout.seconds": 0.2},
    }
    (whole,) = experiment("dropout", **values).records
    assert whole.status is RunStatus.OK, whole.error

    class Stop:
        @hookimpl
        def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
            if metrics.epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    elsewhere = tmp_path / "stopped"
    stopped = experiment("dropout", plugins=(Stop(),), results=elsewhere, **values)
    assert stopped.interrupted
    assert [record.status for record in stopped.records] == [RunStatus.INTERRUPTED]
    (resumed,) = experiment("dropout", results=elsewhere, **values).records
    assert resumed.timing["resumed"] == 1
    assert resumed.metrics == whole.metrics
    one, two = predictions(store, whole), predictions(Store(elsewhere), resumed)
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_watchers_hear_of_each_epoch_once(experiment: Experiment, watcher: Watcher) -> None:
    experiment("tiny", devices=2)
    assert [metrics.epoch for _, metrics in watcher.epochs] == [1, 2]
