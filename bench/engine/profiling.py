"""Size and speed of a model: parameters, FLOPs, latency."""

from __future__ import annotations

import logging
import statistics
import time
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.engine import device as devices
from bench.engine.pipeline import Batches

LATENCY_SECONDS = 1.0
LATENCY_REPETITIONS = 20
WARM_UPS = 3


def profile(model: nn.Module, batches: Batches, device: str, precision: str) -> dict[str, Any]:
    """Return parameters, FLOPs and latency of a model, in evaluation mode.

    FLOPs are those of one forward pass of one image as `torch.utils.flop_counter` counts them:
    matrix products, convolutions and attention, a multiply-add as two; what else there is counts
    nothing. Latency is of batch 1 with its input on the device.
    """
    model.eval()
    image = batches.gather(torch.zeros(1, dtype=torch.int64))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": trainable,
        "input_size": batches.size,
        "input_channels": batches.images.shape[1],
        "flops": _flops(model, image),
        "flops_convention": "torch.utils.flop_counter, forward, one image, multiply-add = 2",
        **_latency(model, image, device, precision),
        "peak_memory_bytes": devices.peak_memory_bytes(device),
    }


def _flops(model: nn.Module, image: torch.Tensor) -> int:
    # Only the counter logs about what it does not know; that is no news to a user.
    logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return int(counter.get_total_flops())


def _latency(model: nn.Module, image: torch.Tensor, device: str, precision: str) -> dict[str, Any]:
    times: list[float] = []
    with torch.inference_mode(), devices.autocast(device, precision):
        for _ in range(WARM_UPS):
            model(image)
        begin = time.perf_counter()
        while len(times) < LATENCY_REPETITIONS and time.perf_counter() - begin < LATENCY_SECONDS:
            devices.synchronize(device)
            start = time.perf_counter()
            model(image)
            devices.synchronize(device)
            times.append(time.perf_counter() - start)
    # "Inclusive", since the other method goes beyond what was measured, and with few times below 0.
    quartiles = [times[0]] * 3
    if len(times) > 1:
        quartiles = statistics.quantiles(times, n=4, method="inclusive")
    return {
        "latency_ms": quartiles[1] * 1000,
        "latency_low_ms": quartiles[0] * 1000,
        "latency_high_ms": quartiles[2] * 1000,
        "latency_repetitions": len(times),
    }
