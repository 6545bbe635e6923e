"""Device, precision, threads and determinism: what is set before a run, and what was in force."""

from __future__ import annotations

import contextlib
import os
import platform
import random
from typing import Any

import numpy as np
import torch

from bench import hardware, provenance
from bench.errors import ConfigError, EnvironmentFailure
from bench.records import Mode


def resolve(wanted: str) -> str:
    """Return `cpu` or `cuda` as torch sees it.

    Raises:
        EnvironmentFailure: a GPU was asked for and torch finds none.
    """
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise EnvironmentFailure(
            "torch finds no CUDA device; use `--device cpu` or see `bench doctor`"
        )
    return "cpu"


def name(device: str) -> str:
    """Return the device's name."""
    return torch.cuda.get_device_name() if device == "cuda" else hardware.cpu_name()


def set_up(device: str, seed: int, mode: Mode, threads: int | None, workers: int) -> int:
    """Prepare the process for one run and return its number of CPU threads.

    In deterministic mode the number is fixed by the protocol (1 where it says nothing), so that
    it does not depend on how many workers share the machine.
    """
    deterministic = mode is Mode.DETERMINISTIC
    if threads is None:
        threads = 1 if deterministic else max(1, hardware.cpu_count() // workers)
    reset_process()
    torch.set_num_threads(threads)
    # cuBLAS repeats its results only with a fixed workspace.
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = device == "cuda" and not deterministic
    torch.backends.cudnn.deterministic = deterministic
    seed_everything(seed)
    return threads


def seed_everything(seed: int) -> None:
    """Seed every generator that a plugin might draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def precision_of(wanted: str, device: str) -> str:
    """Return `float32` or `bfloat16`.

    Raises:
        ConfigError: bfloat16 on a CPU; without its instructions it is some fifty times slower.
    """
    if wanted == "auto":
        return "bfloat16" if device == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if wanted == "bfloat16" and device == "cpu":
        raise ConfigError("`precision` bfloat16 is for GPUs; use float32 or auto on a CPU")
    return wanted


def autocast(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which forward passes run."""
    if precision == "bfloat16":
        return torch.autocast(device, torch.bfloat16)
    return contextlib.nullcontext()


def synchronize(device: str) -> None:
    """Wait until the device has done what was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


def reset_process() -> None:
    """Set torch's process-wide switches to what every run starts from.

    A plugin of an earlier run in this worker may have moved them; without this a result would
    depend on what else ran.
    """
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.allow_tf32 = True


def environment(device: str, threads: int, precision: str, mode: Mode) -> dict[str, Any]:
    """Return what a record says of the circumstances of its run."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {n: provenance.library_version(n) for n in provenance.LIBRARIES},
        "bench": provenance.library_version("bench-harness"),
        "cuda": torch.version.cuda if device == "cuda" else None,
        "device": device,
        "device_name": name(device),
        "cores": hardware.cpu_count(),
        "threads": threads,
        "precision": precision,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32 if device == "cuda" else None,
        "execution": "eager",
        "mode": str(mode),
    }
