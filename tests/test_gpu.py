"""What only a GPU can show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.api import Result
from bench.engine import device as devices
from bench.engine import pipeline, placement
from bench.engine.evaluation import Question
from bench.engine.training import Training, train
from bench.records import RunStatus
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


def test_no_step_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
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
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size * size, 10)).cuda()

    # The first call of `synchronize` is where an epoch's steps begin, the second where they end.
    calls: list[str] = []

    def mark(device: str) -> None:
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
        calls.append(device)
        if len(calls) == 1:
            torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(devices, "synchronize", mark)
    job = Training(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01),
        loss=torch.nn.CrossEntropyLoss(),
        factors=[1.0] * steps,
        epochs=1,
        batch_size=batch,
        seed=0,
        device="cuda",
        precision="bfloat16",
        select="last",
        question=Question(Task.MULTI_CLASS, tuple("abcdefghij")),
    )
    try:
        train(job, data, data, lambda metrics: None)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(calls) >= 2


def test_deterministic_mode_repeats_on_the_gpu(experiment: Callable[..., Any]) -> None:
    losses = [
        experiment("cnn", device="cuda", deterministic=True, rerun=True).records[0].metrics
        for _ in range(2)
    ]
    assert losses[0] == losses[1]
