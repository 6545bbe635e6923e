"""What the machine is, as far as can be told without importing torch.

Planning needs a device's name and a rough speed within the first second. Workers report what
torch says; where that differs, the worker is right and the plan is corrected.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def guess_device(wanted: str) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda`."""
    if wanted != "auto":
        return wanted
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    return "cuda" if not hidden and gpu_names() else "cpu"


def gpu_names() -> list[str]:
    """Return the names of the NVIDIA GPUs that the driver shows, in bus order."""
    names = []
    for information in sorted(_NVIDIA.glob("*/information")):
        try:
            text = information.read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Model:"):
                names.append(line.partition(":")[2].strip())
    return names


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """Return the name of the device that runs would use."""
    if device == "cpu":
        return cpu_name()
    names = gpu_names()
    return names[0] if names else "unknown GPU"


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def free_memory() -> int:
    """Return the bytes of memory that processes may still take, a container's limit included."""
    available = 2**33
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit.isdigit():
            available = min(available, int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError, IndexError):
        pass
    return max(0, available)


def measure_gflops(seconds: float = 0.1) -> float:
    """Return the best rate of a small float32 matrix product on one core, in 1e9 flop/s.

    One core, since products on several are slowed beyond measure by whatever else runs; the best
    of many repetitions, since a shared machine only ever makes one slower.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    size = 192
    a = np.ones((size, size), np.float32)
    b = np.ones((size, size), np.float32)
    best = float("inf")
    with threadpool_limits(1):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9
