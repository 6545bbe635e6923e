"""What only a GPU can show."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rank_cases
import torch
from trainers import job, run

from bench.api import Result
from bench.engine import device as devices
from bench.engine import pipeline, placement
from bench.engine.evaluation import Question
from bench.hookspecs import hookimpl
from bench.records import EpochMetrics, RunSpec, RunStatus
from bench.specs import Task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


def test_a_run_uses_the_gpu_in_bfloat16_and_channels_last(experiment: Callable[..., Any]) -> None:
    result: Result = experiment("resnet18", device="auto")
    (record,) = result.records
    assert record.status is RunStatus.OK
    assert record.environment["device"] == "cuda"
    assert record.environment["precision"] == "bfloat16"
    assert record.environment["memory_format"] == "channels_last"
    assert record.profile["peak_memory_bytes"] > 0


@pytest.mark.parametrize(
    "protocol",
    [
        {},
        {"l1": 1e-4, "l2": 1e-4, "clip_norm": 1.0, "clip_value": 0.1, "warmup": 0.5},
        {"averaging": "ema"},
        {"micro_batch": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("fused", [False, True])
def test_no_step_waits_for_the_device(
    protocol: dict[str, Any], fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, steps, batch = 28, 8, 16
    images = torch.randint(0, 256, (steps * batch, 1, size, size), dtype=torch.uint8)
    data = pipeline.Batches(
        images=placement.Resident(images.cuda(), "device"),
        labels=torch.randint(0, 10, (steps * batch,)).cuda(),
        ids=torch.arange(steps * batch).numpy(),
        size=size,
        resize="crop",
        mean=torch.full((1, 1, 1, 1), 0.5).cuda(),
        std=torch.full((1, 1, 1, 1), 0.25).cuda(),
        memory_format=torch.channels_last,
        classes=10,
    )
    model = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 4, 3, 2), torch.nn.BatchNorm2d(4), torch.nn.Flatten()),
        torch.nn.Linear(4 * 13 * 13, 10),
    ).cuda()

    # The first call of `synchronize` is where an epoch's steps begin, the second where they end.
    calls: list[str] = []

    def mark(device: str) -> None:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
        calls.append(device)
        if len(calls) == 1:
            torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(devices, "synchronize", mark)
    what = job(
        model,
        torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=fused),
        count=steps * batch,
        batch_size=batch,
        protocol={"epochs": 1, **protocol},
        device="cuda",
        precision="bfloat16",
        question=Question(Task.MULTI_CLASS, tuple("abcdefghij")),
    )
    try:
        run(what, data, data)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(calls) >= 2


def test_a_run_on_the_gpu_goes_on_to_the_same_bits(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    values = {"device": "cuda", "deterministic": True, "epochs": 4, "averaging": "ema"}
    whole = experiment("cnn", **values).records[0]

    class Stop:
        @hookimpl
        def epoch_finished(self, run: RunSpec, metrics: EpochMetrics) -> None:
            if metrics.epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    results = tmp_path / "stopped"
    stopped = experiment("cnn", plugins=(Stop(),), results=results, **values)
    assert stopped.interrupted
    resumed = experiment("cnn", results=results, **values).records[0]
    assert resumed.timing["resumed"] == 1
    assert resumed.metrics == whole.metrics


def test_deterministic_mode_repeats_on_the_gpu(experiment: Callable[..., Any]) -> None:
    losses = [
        experiment("cnn", device="cuda", deterministic=True, rerun=True).records[0].metrics
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_ranks_with_a_gpu_each_come_to_what_one_does(tmp_path: Path) -> None:
    count = min(2, torch.cuda.device_count())
    for told in rank_cases.launched(tmp_path, "cuda", count):
        assert told["size"] == count
        assert all(told["same"])
        assert told["joined"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("batch_norm", ["train", "sync"])
def test_a_run_on_two_gpus(experiment: Callable[..., Any], batch_norm: str) -> None:
    (record,) = experiment("cnn", device="cuda", devices=2, batch_norm=batch_norm).records
    assert record.status is RunStatus.OK
    assert record.environment["devices"] == 2
    assert record.metrics["test"]["n"] == 48
