from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bench import hardware
from bench.engine import device as devices
from bench.errors import ConfigError, EnvironmentFailure
from bench.records import Mode


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave torch as it was."""
    threads = torch.get_num_threads()
    yield
    devices.reset_process()
    torch.set_num_threads(threads)


def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpu(monkeypatch)
    with pytest.raises(EnvironmentFailure, match="torch finds no CUDA device; use `--device cpu`"):
        devices.resolve("cuda")
    assert devices.resolve("auto") == devices.resolve("cpu") == "cpu"


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="`precision` bfloat16 is for GPUs"):
        devices.precision_of("bfloat16", "cpu")
    assert devices.precision_of("auto", "cpu") == "float32"
    assert devices.precision_of("float32", "cuda") == "float32"


@pytest.mark.parametrize(
    ("mode", "wanted", "workers", "threads"),
    [
        (Mode.FAST, None, 1, 8),
        (Mode.FAST, None, 3, 2),
        (Mode.FAST, None, 20, 1),
        (Mode.FAST, 3, 20, 3),
        (Mode.DETERMINISTIC, None, 1, 1),
        (Mode.DETERMINISTIC, None, 3, 1),
        (Mode.DETERMINISTIC, 3, 20, 3),
    ],
)
def test_threads_are_set_and_told(
    mode: Mode, wanted: int | None, workers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "cpu_count", lambda: 8)
    assert devices.set_up("cpu", 0, mode, wanted, workers) == threads
    assert torch.get_num_threads() == threads


def test_deterministic_mode_is_left_with_the_run() -> None:
    devices.set_up("cpu", 0, Mode.DETERMINISTIC, None, 1)
    assert torch.are_deterministic_algorithms_enabled()
    devices.set_up("cpu", 0, Mode.FAST, 1, 1)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


def test_what_a_plugin_has_moved_is_set_again() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.set_grad_enabled(False)
    devices.set_up("cpu", 0, Mode.FAST, 1, 1)
    assert torch.get_default_dtype() is torch.float32
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_every_generator_is_seeded(seed: int) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    devices.set_up("cpu", seed, Mode.FAST, 1, 1)
    first = draw()
    assert draw() != first
    devices.set_up("cpu", seed, Mode.FAST, 1, 1)
    assert draw() == first


def test_the_environment_says_how_it_was() -> None:
    found = devices.environment("cpu", 2, "float32", Mode.FAST)
    assert (found["device"], found["threads"], found["precision"]) == ("cpu", 2, "float32")
    assert found["device_name"] == hardware.cpu_name()
    assert (found["mode"], found["float32_matmul_precision"]) == ("fast", "highest")
    assert found["libraries"]["torch"] == torch.__version__.partition("+")[0]
    assert found["cuda"] is None
