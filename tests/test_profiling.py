from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from samples import make_batches
from torch import Tensor, nn

from bench.engine import profiling
from bench.engine.pipeline import Batches
from bench.engine.profiling import profile


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "LATENCY_REPETITIONS", 5)


def batches(size: int = 8, channels: int = 3) -> Batches:
    images = np.zeros((4, 8, 8, channels), np.uint8)
    return make_batches(images, np.zeros(4, np.int64), size, normalize="unit")


def network(channels: int = 3) -> nn.Module:
    frozen = nn.Linear(6, 5, bias=False)
    frozen.weight.requires_grad_(False)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        frozen,
    )


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_size_and_work_are_counted(size: int, channels: int) -> None:
    found = profile(network(channels), batches(size, channels), "cpu", "float32")
    convolution = 6 * channels * 9 + 6
    assert found["parameters"] == convolution + 12 + 30
    assert found["trainable_parameters"] == convolution + 12
    assert (found["input_size"], found["input_channels"]) == (size, channels)
    # One image, a multiply-add as two: the convolution at every pixel, then the dense layer.
    assert found["flops"] == 2 * (6 * channels * 9 * size**2 + 6 * 5)
    assert found["peak_memory_bytes"] is None


def test_a_weight_that_two_modules_share_is_counted_once() -> None:
    model = network()
    first, second = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
    second.weight = first.weight
    shared = nn.Sequential(model, first, second)
    alone = profile(model, batches(), "cpu", "float32")["parameters"]
    assert profile(shared, batches(), "cpu", "float32")["parameters"] == alone + 25


class Slow(nn.Module):
    """A network that takes so many seconds after its warm-up."""

    def __init__(self, *seconds: float) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)
        # Once for the FLOPs, then to warm up.
        self.seconds = [0.2] * (1 + profiling.WARM_UPS) + [*seconds]
        self.batches: list[tuple[int, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds.pop(0))
        self.batches.append((len(x), torch.is_inference_mode_enabled()))
        return self.dense(x.mean((2, 3)))


def test_latency_is_of_one_image_after_warming_up() -> None:
    model = Slow(0.01, 0.02, 0.03, 0.04, 0.05)
    found = profile(model, batches(), "cpu", "float32")
    assert found["latency_repetitions"] == 5
    assert 30 <= found["latency_ms"] < 200
    assert 10 <= found["latency_low_ms"] < found["latency_ms"] < found["latency_high_ms"] < 200
    assert {count for count, _ in model.batches} == {1}
    assert [inference for _, inference in model.batches[1:]] == [True] * 8


def test_latency_of_few_repetitions_stays_within_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LATENCY_REPETITIONS", 2)
    found = profile(Slow(0.001, 0.1), batches(), "cpu", "float32")
    assert 1 <= found["latency_low_ms"] < found["latency_ms"] < found["latency_high_ms"]


def test_one_repetition_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "LATENCY_REPETITIONS", 1)
    found = profile(network(), batches(), "cpu", "float32")
    assert found["latency_low_ms"] == found["latency_ms"] == found["latency_high_ms"] > 0


def test_profiling_changes_neither_weights_nor_statistics() -> None:
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    profile(model, batches(), "cpu", "float32")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
