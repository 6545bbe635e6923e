"""In deterministic mode weights and predictions are the same bits, however runs come about."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Watcher, statuses
from processes import Bench, workers_of

from bench.api import Result
from bench.records import RunStatus
from bench.store import Store

Experiment = Callable[..., Result]
Sums = dict[str, str]
ARTIFACTS = ("model.safetensors", "predictions.npz")
MODELS = ("cnn", "dropout")
PROTOCOL: dict[str, Any] = {"augmentation": "light", "epochs": 3}
WORDS = ("--augmentation", "light", "--epochs", "3")


def sums(results: Path) -> dict[str, Sums]:
    """Return the SHA-256 of weights and predictions by run."""
    store = Store(results)
    return {
        record.id: {
            name: hashlib.sha256((store.folder(record.id) / name).read_bytes()).hexdigest()
            for name in ARTIFACTS
        }
        for record in store.records()
        if record.status is RunStatus.OK
    }


@pytest.fixture
def ran(experiment: Experiment, tmp_path: Path) -> Callable[..., dict[str, Sums]]:
    """Return a function that runs an experiment in a folder of its own and sums it up."""
    number = 0

    def run(models: Any = MODELS, **values: Any) -> dict[str, Sums]:
        nonlocal number
        number += 1
        results = tmp_path / f"results-{number}"
        settings = {"deterministic": True, **PROTOCOL, **values}
        result = experiment(list(models), results=results, **settings)
        assert set(statuses(result).values()) == {"ok"}
        return sums(results)

    return run


def test_31_neither_workers_nor_order_nor_company_change_a_bit(
    ran: Callable[..., dict[str, Sums]],
) -> None:
    # One worker carries out both runs, one after the other.
    together = ran()
    assert len(together) == len(MODELS)
    assert ran(reversed(MODELS)) == together
    assert ran(workers=2) == together
    # Each alone, in a new worker for every run.
    alone = [ran([model], set={"local.runs_per_worker": 1}) for model in MODELS]
    assert {run: each for found in alone for run, each in found.items()} == together


def test_31_these_sums_can_tell_runs_apart(ran: Callable[..., dict[str, Sums]]) -> None:
    found = ran(["tiny"], set={"tiny.gain": [1.0, 1.001]})
    [first, second] = found.values()
    assert all(first[name] != second[name] for name in ARTIFACTS)


def test_31_a_run_that_a_signal_stopped_goes_on_to_the_same_bits(
    ran: Callable[..., dict[str, Sums]], experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    slow = {**PROTOCOL, "set": {"dropout.seconds": 0.1}, "deterministic": True}
    whole = ran(["dropout"], **slow)
    watcher.epochs.clear()

    def strike() -> None:
        while not watcher.epochs:
            time.sleep(0.01)
        for pid in workers_of(os.getpid()):
            os.kill(pid, signal.SIGTERM)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    results = tmp_path / "stopped"
    stopped = experiment("dropout", results=results, **slow)
    thread.join()
    assert statuses(stopped) == {"dropout": "interrupted"}
    [record] = experiment("dropout", results=results, **slow).records
    assert record.timing["resumed"] == 1
    assert sums(results) == whole


@pytest.mark.timeout(600)
def test_31_the_command_line_gives_the_bits_of_the_python_door(
    ran: Callable[..., dict[str, Sums]], tmp_path: Path
) -> None:
    words = ("--datasets", "tiny", "--models", ",".join(MODELS), "--deterministic", *WORDS)
    bench = Bench(tmp_path / "cli", (*words, "--workers", "2"), tmp_path / "log.txt")
    try:
        assert bench.wait() == 0, bench.err
    finally:
        bench.kill()
    assert sums(tmp_path / "cli") == ran()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_31_a_network_of_timm_gives_the_same_bits(ran: Callable[..., dict[str, Sums]]) -> None:
    values = {"datasets": "digits", "epochs": 1, "limit": 200}
    together = ran(["resnet18", "cnn"], **values)
    assert len(together) == 2
    assert ran(["cnn", "resnet18"], **values) == together
    assert ran(["resnet18", "cnn"], workers=2, **values) == together
