"""Size and speed of a model: parameters, FLOPs, latency, throughput.

Speed depends on the model and the machine and not on what was learnt, so it is measured once for
all runs of a model that share shape and device, and kept (see `measured`).
"""

from __future__ import annotations

import contextlib
import logging
import statistics
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from bench.engine import device as devices
from bench.engine import evaluation, generators, measured, memory
from bench.engine.pipeline import Batches

WARM_UPS = 3
LATENCY_SECONDS = 1.0
LATENCY_REPETITIONS = 20
THROUGHPUT_SECONDS = 1.5
"""For all batches together; a batch that would not be done by then is not tried."""
RUNG_SECONDS = 0.12
RUNG_WARM_UPS = 1
RUNG_REPETITIONS = (3, 20)
LARGEST_BATCH = 512
WORTHWHILE = 1.03
MISSES = 2
"""Batches in a row that give less than 3 % more images a second end the search: one alone may be
chance, or just fall out of a cache."""
_SPEED = {
    "flops": int,
    "flops_convention": str,
    "flops_uncounted": list,
    "latency_ms": float,
    "latency_low_ms": float,
    "latency_high_ms": float,
    "latency_repetitions": int,
    "throughput_images_per_second": float,
    "throughput_low": float,
    "throughput_high": float,
    "throughput_batch": int,
    "throughput_repetitions": int,
    "profiled_at": str,
    "profiled_alone": bool,
}
"""What is measured once, with the type of each."""


def profile(
    model: nn.Module,
    batches: Batches,
    device: str,
    precision: str,
    subject: Mapping[str, Any] | None = None,
    *,
    shared: bool = False,
    rerun: bool = False,
) -> dict[str, Any]:
    """Return parameters, FLOPs, latency, throughput and peak memory, in evaluation mode.

    FLOPs are those of one forward pass of one image as `torch.utils.flop_counter` counts them:
    matrix products, convolutions and attention, a multiply-add as two; what else computed
    something is named in `flops_uncounted`. Latency is of batch 1, throughput of the batch with
    the most images a second, both with the input on the device, medians and quartiles. Peak
    memory is that of the run until now. The model and all random generators stay as they were.

    Args:
        model: on its device.
        batches: images to try it on, of whatever number.
        device: `cpu` or `cuda`.
        precision: under which the model runs.
        subject: what speed depends on, as `measured.subject_of` says; None to keep nothing.
        shared: whether other runs share the machine; what such a run measures is not kept on
            disk, though it takes what another has kept.
        rerun: whether to measure anew what is kept.
    """
    # First of all: larger batches than the run's own would raise it.
    peak = memory.peak_memory_bytes(device)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if subject is not None:
        size, channels = batches.size, batches.images.shape[1]
        shape = {"shape": [channels, size, size], "memory_format": str(batches.memory_format)}
        subject = {**subject, **shape}
    found = None
    if subject is not None and not rerun:
        found = measured.recall("speed", subject, _is_sound)
    # A worker may have measured while it had company, and be alone now.
    if found is None or not (found["profiled_alone"] or shared):
        with _unchanged(model, device):
            found = _speed(model, batches, device, precision)
        found["profiled_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        found["profiled_alone"] = not shared
        if subject is not None:
            measured.keep("speed", subject, found, durable=not shared)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": trainable,
        "input_size": batches.size,
        "input_channels": batches.images.shape[1],
        **found,
        "peak_memory_bytes": peak,
        "peak_memory_of": memory.peak_memory_of(device),
    }


@contextlib.contextmanager
def _unchanged(model: nn.Module, device: str) -> Iterator[None]:
    """Put a model into evaluation mode, and leave its modes and buffers as they were.

    Some models count or cache what they see in evaluation mode too.
    """
    modes = [(module, module.training) for module in model.modules()]
    # Inference mode, since an evaluation may have made buffers that only it may write to.
    with torch.inference_mode():
        buffers = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    try:
        with generators.kept(device):
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.inference_mode():
            for name, (buffer, value) in buffers.items():
                buffer.copy_(value)
                owner, _, leaf = name.rpartition(".")
                setattr(model.get_submodule(owner), leaf, buffer)


def _speed(model: nn.Module, batches: Batches, device: str, precision: str) -> dict[str, Any]:
    model.eval()
    image = _images(batches, 1)
    flops, uncounted = _flops(model, image)
    times = _times(model, image, device, precision, WARM_UPS, (1, LATENCY_REPETITIONS))
    low, median, high = _quartiles(times)
    return {
        "flops": flops,
        "flops_convention": "torch.utils.flop_counter, forward, one image, multiply-add = 2",
        "flops_uncounted": uncounted,
        "latency_ms": median * 1000,
        "latency_low_ms": low * 1000,
        "latency_high_ms": high * 1000,
        "latency_repetitions": len(times),
        **_throughput(model, batches, device, precision, times),
    }


def _images(batches: Batches, count: int) -> Tensor:
    """Return so many images, some of them more than once where there are fewer."""
    return batches.gather(torch.arange(count) % len(batches))


def _flops(model: nn.Module, image: Tensor) -> tuple[int, list[str]]:
    # Only the counter logs about what it does not know; that is no news to a user.
    logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)
    # The counter is the inner one, so that the other sees operations as the counter splits them.
    with torch.no_grad(), _Uncounted() as uncounted, FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops()), sorted(uncounted.names)


_MOVING = frozenset(
    [
        "_local_scalar_dense",
        "_reshape_copy",
        "_to_copy",
        "_unsafe_index",
        "_unsafe_view",
        "arange",
        "as_strided",
        "cat",
        "channel_shuffle",
        "clone",
        "constant_pad_nd",
        "copy",
        "detach",
        "embedding",
        "empty",
        "empty_like",
        "empty_strided",
        "expand_copy",
        "fill",
        "flip",
        "full",
        "full_like",
        "gather",
        "im2col",
        "index",
        "index_put",
        "index_select",
        "lift_fresh",
        "lift_fresh_copy",
        "masked_fill",
        "native_channel_shuffle",
        "new_empty",
        "new_empty_strided",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones",
        "ones_like",
        "permute_copy",
        "pixel_shuffle",
        "pixel_unshuffle",
        "reflection_pad1d",
        "reflection_pad2d",
        "repeat",
        "replication_pad1d",
        "replication_pad2d",
        "resize",
        "roll",
        "scalar_tensor",
        "scatter",
        "select_scatter",
        "slice_scatter",
        "stack",
        "tril",
        "triu",
        "upsample_nearest2d",
        "where",
        "zero",
        "zeros",
        "zeros_like",
    ]
)
"""Operations of `aten` that make, move or choose values and compute none."""


class _Uncounted(TorchDispatchMode):
    """Notes the operations that compute something and that `FlopCounterMode` passes over."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        packet = getattr(func, "_overloadpacket", func)
        name = str(packet)
        if not name.endswith("__"):
            name = name.removesuffix("_")  # in place or not, it is the same operation
        moving = getattr(func, "is_view", False) or name.removeprefix("aten.") in _MOVING
        if packet not in flop_registry and not moving and _is_computed(result):
            self.names.add(name)
        return result


def _is_computed(result: Any) -> bool:
    """Return whether an operation gave values, and not only told a shape or the like."""
    several = isinstance(result, tuple | list)
    return any(isinstance(each, Tensor) for each in (result if several else [result]))


def _throughput(
    model: nn.Module, batches: Batches, device: str, precision: str, single: list[float]
) -> dict[str, Any]:
    """Return the throughput at the best of growing batches; `single` are the times of batch 1."""
    best, best_times, misses = 1, single, 0
    begin = time.perf_counter()
    expected = 2 * statistics.median(single)
    batch = 2
    while batch <= _largest_batch(batches, device) and misses < MISSES:
        passed = time.perf_counter() - begin
        if passed + expected * (RUNG_WARM_UPS + RUNG_REPETITIONS[0]) > THROUGHPUT_SECONDS:
            break
        try:
            images = _images(batches, batch)
            times = _times(
                model, images, device, precision, RUNG_WARM_UPS, RUNG_REPETITIONS, RUNG_SECONDS
            )
        # Out of memory has several guises, and kernels have limits of their own.
        except (RuntimeError, MemoryError):
            break
        seconds = statistics.median(times)
        gain = (batch / seconds) / (best / statistics.median(best_times))
        if gain > 1:
            best, best_times = batch, times
        misses = 0 if gain >= WORTHWHILE else misses + 1
        batch, expected = 2 * batch, 2 * seconds
    if device == "cuda":
        torch.cuda.empty_cache()
    low, median, high = _quartiles(best_times)
    return {
        "throughput_images_per_second": best / median,
        "throughput_low": best / high,
        "throughput_high": best / low,
        "throughput_batch": best,
        "throughput_repetitions": len(best_times),
    }


def _largest_batch(batches: Batches, device: str) -> int:
    """Return the largest batch to try: a GPU says when it is full, and a CPU's kernel kills."""
    if device == "cuda":
        return LARGEST_BATCH
    pixels = batches.images.shape[1] * batches.size**2
    return min(LARGEST_BATCH, evaluation.MAX_EVALUATION_PIXELS // pixels)


def _times(
    model: nn.Module,
    images: Tensor,
    device: str,
    precision: str,
    warm_ups: int,
    repetitions: tuple[int, int],
    seconds: float | None = None,
) -> list[float]:
    """Return the seconds of forward passes, each waited for.

    Args:
        model: in evaluation mode.
        images: on the device.
        device: `cpu` or `cuda`.
        precision: under which the model runs.
        warm_ups: passes before the clock starts.
        repetitions: how many at least and at most.
        seconds: after which no more passes than the least begin.
    """
    times: list[float] = []
    fewest, most = repetitions
    limit = LATENCY_SECONDS if seconds is None else seconds
    with torch.inference_mode(), devices.autocast(device, precision):
        for _ in range(warm_ups):
            model(images)
        begin = time.perf_counter()
        while len(times) < most and (len(times) < fewest or time.perf_counter() - begin < limit):
            devices.synchronize(device)
            start = time.perf_counter()
            model(images)
            devices.synchronize(device)
            times.append(time.perf_counter() - start)
    return times


def _quartiles(times: list[float]) -> list[float]:
    # "Inclusive", since the other method goes beyond what was measured, and with few times below 0.
    return statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3


def _is_sound(found: dict[str, Any]) -> bool:
    """Return whether what a file holds was measured here."""
    return found.keys() == _SPEED.keys() and all(
        isinstance(found[name], kind) for name, kind in _SPEED.items()
    )
