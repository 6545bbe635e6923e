"""Size and speed of a model: what is counted, what is timed, and what is measured once."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from samples import make_batches
from torch import Tensor, nn

import bench
from bench import cache, provenance
from bench.engine import measured, memory, profiling
from bench.engine.pipeline import Batches
from bench.engine.profiling import profile
from bench.records import ComponentRef, Mode, RunSpec
from bench.registry import Offer, Plugin


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Measure little, with one thread, and keep it in a folder of the test's own."""
    monkeypatch.setattr(profiling, "LATENCY_REPETITIONS", 5)
    monkeypatch.setattr(profiling, "LARGEST_BATCH", 4)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path / "cache"
    torch.set_num_threads(threads)


@pytest.fixture
def only_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "LARGEST_BATCH", 1)


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


@pytest.mark.usefixtures("only_latency")
def test_latency_is_of_one_image_after_warming_up() -> None:
    model = Slow(0.01, 0.02, 0.03, 0.04, 0.05)
    found = profile(model, batches(), "cpu", "float32")
    assert found["latency_repetitions"] == 5
    assert 30 <= found["latency_ms"] < 200
    assert 10 <= found["latency_low_ms"] < found["latency_ms"] < found["latency_high_ms"] < 200
    assert {count for count, _ in model.batches} == {1}
    assert [inference for _, inference in model.batches[1:]] == [True] * 8


@pytest.mark.usefixtures("only_latency")
def test_latency_of_few_repetitions_stays_within_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LATENCY_REPETITIONS", 2)
    found = profile(Slow(0.001, 0.1), batches(), "cpu", "float32")
    assert 1 <= found["latency_low_ms"] < found["latency_ms"] < found["latency_high_ms"]


@pytest.mark.usefixtures("only_latency")
def test_one_repetition_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "LATENCY_REPETITIONS", 1)
    found = profile(network(), batches(), "cpu", "float32")
    assert found["latency_low_ms"] == found["latency_ms"] == found["latency_high_ms"] > 0


# Operations that the counter passes over


def test_operations_that_compute_and_are_not_counted_are_named() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 5),
    )
    found = profile(model, batches(), "cpu", "float32")
    assert found["flops"] == 2 * (6 * 3 * 9 * 64 + 96 * 5)
    assert found["flops_uncounted"] == [
        "aten._native_batch_norm_legit_no_training",
        "aten.max_pool2d_with_indices",
        "aten.relu",
    ]


class Apply(nn.Module):
    """A dense layer after a function of the image, (N, C, H, W) to the same shape."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.dense = nn.Linear(192, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dense(self.function(x).flatten(1))
        return logits


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x, []),
        (
            lambda x: (
                x.transpose(2, 3).contiguous()[:, :, :4].unflatten(2, (2, 2)).repeat(1, 2, 1, 1, 1)
            ),
            [],
        ),
        (lambda x: torch.cat([x[:, 1:], x[:, :1]], 1).roll(1, 2).flip(3), []),
        (lambda x: x.new_empty(x.shape).copy_(x), []),
        (lambda x: nn.functional.pad(x[..., 1:], (1, 0)).to(torch.float64).to(torch.float32), []),
        (lambda x: x + 1, ["aten.add"]),
        (lambda x: x.clone().add_(1), ["aten.add"]),
        (lambda x: x @ x, []),
        (lambda x: x.softmax(1) * x.exp(), ["aten._softmax", "aten.exp", "aten.mul"]),
        (lambda x: nn.functional.scaled_dot_product_attention(x, x, x), []),
    ],
)
def test_moving_values_about_is_no_arithmetic(
    function: Callable[[Tensor], Tensor], expected: list[str]
) -> None:
    found = profile(Apply(function), batches(), "cpu", "float32")
    assert found["flops_uncounted"] == expected


# Throughput


class Clock:
    """A clock that only a network moves: a busy machine must not fail a test."""

    now = 0.0

    @classmethod
    def perf_counter(cls) -> float:
        return cls.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "time", Clock)


class Timed(nn.Module):
    """A network that takes as long as a function of the batch says, and notes the batches."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        super().__init__()
        self.seconds = seconds
        self.dense = nn.Linear(3, 2)
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        assert torch.is_grad_enabled() is False
        assert not self.training
        self.batches.append(len(x))
        Clock.now += self.seconds(len(x))
        end = time.perf_counter() + self.seconds(len(x))
        while time.perf_counter() < end:
            pass
        return self.dense(x.mean((2, 3)))


def tried(model: Timed) -> list[int]:
    return list(dict.fromkeys(model.batches))


@pytest.mark.usefixtures("clock")
def test_throughput_is_of_the_batch_with_the_most_images_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LARGEST_BATCH", 64)
    model = Timed(lambda count: 0.004 if count <= 4 else 0.002 * count)
    found = profile(model, batches(), "cpu", "float32")
    # 8 and 16 are worse than 4, and so 32 is not tried.
    assert tried(model) == [1, 2, 4, 8, 16]
    assert found["throughput_batch"] == 4
    assert 500 < found["throughput_images_per_second"] <= 1000
    assert (
        0
        < found["throughput_low"]
        <= found["throughput_images_per_second"]
        <= found["throughput_high"]
        <= 1000
    )
    fewest, most = profiling.RUNG_REPETITIONS
    assert fewest <= found["throughput_repetitions"] <= most


@pytest.mark.usefixtures("clock")
def test_one_batch_without_a_gain_does_not_end_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LARGEST_BATCH", 8)
    model = Timed(lambda count: {1: 0.002, 2: 0.002, 4: 0.012, 8: 0.003}[count])
    found = profile(model, batches(), "cpu", "float32")
    assert tried(model) == [1, 2, 4, 8]
    assert found["throughput_batch"] == 8


@pytest.mark.usefixtures("clock")
def test_throughput_is_that_of_single_images_where_batches_gain_nothing() -> None:
    model = Timed(lambda count: 0.002 * count**2)
    found = profile(model, batches(), "cpu", "float32")
    assert found["throughput_batch"] == 1
    assert found["throughput_images_per_second"] == pytest.approx(1000 / found["latency_ms"])
    assert found["throughput_low"] == pytest.approx(1000 / found["latency_high_ms"])
    assert found["throughput_high"] == pytest.approx(1000 / found["latency_low_ms"])
    assert found["throughput_repetitions"] == found["latency_repetitions"]


@pytest.mark.usefixtures("clock")
def test_a_slow_network_is_not_tried_beyond_the_time_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LARGEST_BATCH", 512)
    monkeypatch.setattr(profiling, "THROUGHPUT_SECONDS", 0.2)
    model = Timed(lambda count: 0.01 + 0.001 * count)
    begin = time.perf_counter()
    found = profile(model, batches(), "cpu", "float32")
    assert time.perf_counter() - begin < 5
    assert 1 < max(tried(model)) < 64
    assert found["throughput_batch"] == max(tried(model))


def test_batches_go_up_to_the_bound_whatever_the_number_of_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiling, "LARGEST_BATCH", 16)
    model = Timed(lambda count: 0.005)
    found = profile(model, batches(), "cpu", "float32")
    assert tried(model) == [1, 2, 4, 8, 16]
    assert found["throughput_batch"] == 16


def test_large_images_are_tried_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "LARGEST_BATCH", 512)
    model = Timed(lambda count: 0.005)
    profile(model, batches(512), "cpu", "float32")
    assert max(tried(model)) == 4  # as in evaluation


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_batch_that_is_too_large_ends_the_search(error: Exception) -> None:
    def seconds(count: int) -> float:
        if count > 2:
            raise error
        return 0.005

    found = profile(Timed(seconds), batches(), "cpu", "float32")
    assert found["throughput_batch"] == 2


def test_a_network_that_fails_on_one_image_is_an_error() -> None:
    def seconds(count: int) -> float:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        profile(Timed(seconds), batches(), "cpu", "float32")


# What stays as it was


class Counting(nn.Module):
    """A network that counts, caches and draws in evaluation mode too."""

    seen: Tensor
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        self.calls = self.calls + 1
        random.random()
        np.random.rand()
        logits: Tensor = self.body(x)
        return logits + torch.rand_like(logits)


def test_profiling_changes_neither_weights_nor_statistics_nor_modes() -> None:
    model = Counting().train()
    model.body[1].eval()
    buffers = dict(model.named_buffers())
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    profile(model, batches(), "cpu", "float32")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(buffers[name] is tensor for name, tensor in model.named_buffers())
    assert model.calls == 0
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    # And it can still be trained.
    model(torch.ones(2, 3, 8, 8)).sum().backward()


def test_buffers_of_an_evaluation_stay_usable() -> None:
    model = Counting().eval()
    with torch.inference_mode():
        model(torch.ones(2, 3, 8, 8))
    assert model.calls.is_inference()
    profile(model, batches(), "cpu", "float32")
    assert (model.seen, model.calls) == (2, 1)


def test_no_generator_moves() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    model = Counting()
    seed()
    expected = draw()
    seed()
    profile(model, batches(), "cpu", "float32")
    assert draw() == expected


# Peak memory


def test_peak_memory_is_that_of_the_run_and_not_of_its_profile() -> None:
    memory.reset_peak_memory("cpu")
    before = memory.peak_memory_bytes("cpu")
    if before is None:
        pytest.skip("the kernel keeps no resettable mark")
    size = 100 * 2**20

    def wasteful(x: Tensor) -> Tensor:
        return x + torch.ones(size // 4).mean()

    found = profile(Apply(wasteful), batches(), "cpu", "float32")
    assert found["peak_memory_bytes"] < before + size / 2
    assert found["peak_memory_of"] == "process, resident, without files"
    assert (memory.peak_memory_bytes("cpu") or 0) > before + size / 2


# Measured once


SUBJECT = {"model": "a", "device_name": "some device"}
SPEED = sorted(profiling._SPEED)


def speed(subject: dict[str, Any] | None = SUBJECT, **options: Any) -> dict[str, Any]:
    """Return what is measured once, of a network that takes 3 ms where it is measured anew."""
    model = options.pop("model", None) or Timed(lambda count: 0.003)
    given = options.pop("batches", None) or batches()
    return profile(model, given, "cpu", "float32", subject, **options)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be another process."""
    monkeypatch.setattr(measured, "_known", {})


def kept(root: Path) -> list[Path]:
    return sorted(root.glob("profiles/*.json"))


def test_speed_is_measured_once_for_all_runs_of_a_model(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = speed()
    unused = Timed(lambda count: 0.003)
    again = speed(model=unused)
    forget(monkeypatch)
    later = speed(model=unused)
    assert unused.batches == []
    for name in SPEED:
        assert first[name] == again[name] == later[name]
    assert first["profiled_alone"] is True
    age = datetime.now(UTC) - datetime.fromisoformat(first["profiled_at"])
    assert timedelta(0) <= age < timedelta(minutes=2)
    assert len(kept(root)) == 1


def test_size_is_counted_for_each_run() -> None:
    assert speed()["parameters"] == 8
    assert speed(model=network())["parameters"] == 6 * 27 + 6 + 12 + 30


def test_without_a_subject_nothing_is_kept(root: Path) -> None:
    for _ in range(2):
        model = Timed(lambda count: 0.003)
        speed(None, model=model)
        assert model.batches
    assert kept(root) == []


@pytest.mark.parametrize(
    "options",
    [
        {"subject": {**SUBJECT, "model": "b"}},
        {"batches": batches(16)},
        {"batches": batches(8, 1), "model": network(1)},
    ],
)
def test_another_model_or_shape_is_measured_for_itself(root: Path, options: dict[str, Any]) -> None:
    speed()
    speed(**options)
    assert len(kept(root)) == 2


def test_another_layout_is_measured_for_itself(root: Path) -> None:
    speed()
    speed(batches=dataclasses.replace(batches(), memory_format=torch.channels_last))
    assert len(kept(root)) == 2


def test_a_rerun_is_measured_anew_and_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = speed()
    slower = speed(model=Timed(lambda count: 0.02), rerun=True)
    assert slower["latency_ms"] >= 20 > first["latency_ms"]
    assert speed()["latency_ms"] == slower["latency_ms"]
    forget(monkeypatch)
    assert speed()["latency_ms"] == slower["latency_ms"]
    assert len(kept(root)) == 1


def test_what_was_measured_in_company_is_kept_for_this_worker_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = speed(shared=True)
    assert shared["profiled_alone"] is False
    assert speed(shared=True)["latency_ms"] == shared["latency_ms"]
    assert kept(root) == []
    alone = speed(model=Timed(lambda count: 0.02))
    assert alone["profiled_alone"] is True
    assert alone["latency_ms"] >= 20
    forget(monkeypatch)
    # What another run has measured alone is better than what can be measured now.
    assert speed(shared=True)["latency_ms"] == alone["latency_ms"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: "",
        lambda content: json.dumps(content)[:50],
        lambda content: "[]",
        lambda content: json.dumps({**content, "format": 0}),
        lambda content: json.dumps({**content, "kind": "layout"}),
        lambda content: json.dumps({**content, "subject": {"model": "b"}}),
        lambda content: json.dumps({**content, "found": None}),
        lambda content: json.dumps({**content, "found": {"latency_ms": 1.0}}),
        lambda content: json.dumps({**content, "found": {**content["found"], "latency_ms": None}}),
    ],
)
def test_a_damaged_or_foreign_file_is_measured_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Any], str]
) -> None:
    speed()
    [file] = kept(root)
    sound = json.loads(file.read_text())
    file.write_text(damage(sound))
    forget(monkeypatch)
    model = Timed(lambda count: 0.003)
    speed(model=model)
    assert model.batches
    assert json.loads(file.read_text())["subject"] == sound["subject"]


def test_a_cache_that_cannot_be_written_is_done_without(root: Path) -> None:
    root.write_text("no folder")
    first = speed()
    assert speed()["latency_ms"] == first["latency_ms"]


def test_bench_clean_can_remove_what_was_measured(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed()
    [entry] = cache.entries()
    assert entry.what == "what was measured of models"
    assert entry.size == kept(root)[0].stat().st_size
    cache.remove(entry)
    assert [*cache.entries()] == []
    forget(monkeypatch)
    model = Timed(lambda count: 0.003)
    speed(model=model)
    assert model.batches


def build(num_classes: int, input_shape: tuple[int, int, int], *, width: int = 8) -> nn.Module:
    return nn.Linear(width, num_classes)


def spec(width: int = 8, mode: Mode = Mode.FAST, seed: int = 0) -> RunSpec:
    part = ComponentRef("part", "acme")
    model = ComponentRef("narrow", "acme", {"width": width})
    return RunSpec(part, model, part, part, part, part, {}, seed, mode=mode)


def offer(version: str = "1.0") -> Offer:
    model = bench.Model(name="narrow", build=build)
    return Offer(model, Plugin("acme", "acme-dist", version, "acme"))


def subject(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "spec": spec(),
        "offer": offer(),
        "classes": 10,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        **changes,
    }
    return measured.subject_of(**given)


def test_a_subject_is_the_same_for_every_seed() -> None:
    assert subject() == subject(spec=spec(seed=7))
    assert json.loads(json.dumps(subject())) == subject()


@pytest.mark.parametrize(
    "change",
    [
        {"spec": spec(width=9)},
        {"spec": spec(mode=Mode.DETERMINISTIC)},
        {"offer": offer("1.1")},
        {"classes": 11},
        {"precision": "bfloat16"},
        {"threads": 2},
    ],
)
def test_a_subject_holds_what_speed_depends_on(change: dict[str, Any]) -> None:
    assert subject(**change) != subject()


def test_a_subject_holds_source_device_and_libraries() -> None:
    found = subject()
    assert found["source"] == provenance.component_source(build)
    assert found["device_name"]
    assert found["libraries"]["torch"] == torch.__version__.partition("+")[0]
