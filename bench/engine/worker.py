"""From a job to its result: resolve the names, train, evaluate, profile, hand back.

`perform` is the one entry that executors call, in whatever process or machine they run it. It
takes and returns plain data.
"""

from __future__ import annotations

import functools
import io
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # torch's optimizers import it at first use; here a warm server pays for it
from torch import Tensor, nn

from bench import datastore, files
from bench.engine import device as devices
from bench.engine import evaluation, pipeline, profiling, sizing
from bench.engine.training import Diverged, LossFunction, Training, train
from bench.errors import BenchError, PluginError
from bench.records import EpochMetrics, JobKind, Purpose, RunSpec, RunStatus
from bench.registry import Offer, Registry, load_registry
from bench.specs import Dataset, Model
from bench.text import one_line

Emit = Callable[[dict[str, Any]], None]


def perform(kind: str, payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Carry out one job and return its result, with `status` and, unless ok, `error`.

    Args:
        kind: a `JobKind`.
        payload: what the job needs, as plain data.
        emit: called with the metrics of each finished epoch.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    begin = time.perf_counter()
    result: dict[str, Any]
    with devices.leaving_process_clean():
        try:
            result = {"status": str(RunStatus.OK), **_JOBS[JobKind(kind)](payload, emit)}
        except Diverged as error:
            result = _failure(RunStatus.DIVERGED, str(error))
        except (torch.OutOfMemoryError, MemoryError) as error:
            result = _out_of_memory(error)
        except BenchError as error:
            result = _failure(RunStatus.FAILED, str(error))
        except Exception as error:
            traceback.print_exc()
            if "can't allocate memory" in str(error):
                result = _out_of_memory(error)
            else:
                message = one_line(f"{type(error).__name__}: {error}")
                result = _failure(RunStatus.FAILED, message)
    result["started_at"] = started
    result["finished_at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    result.setdefault("timing", {})["wall_seconds"] = time.perf_counter() - begin
    return result


def _failure(status: RunStatus, error: str) -> dict[str, Any]:
    return {"status": str(status), "error": error}


def _out_of_memory(error: BaseException) -> dict[str, Any]:
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None
    used = f" (peak {peak / 2**30:.1f} GiB)" if peak else ""
    advice = "try a smaller `--batch-size` or `--input-size`"
    message = f"out of memory{used}: {one_line(str(error), 160)}; {advice}"
    return {**_failure(RunStatus.OOM, message), "profile": {"peak_memory_bytes": peak}}


def _hello(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    device = devices.resolve(payload["device"])
    return {"device": device, "device_name": devices.name(device), "torch": torch.__version__}


def _prepare(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    spec = RunSpec.from_dict(payload["spec"])
    offer = _offer(_registry(), spec, "dataset")
    stored = datastore.prepare(offer, spec.dataset, _path(spec.data_dir))
    return {"dataset": datastore.describe(stored)}


def _rehearse(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Try a cell on real data and its final device before anything long starts."""
    spec = RunSpec.from_dict(payload["spec"])
    setup = _set_up(spec, payload["workers"], rehearsal=True)
    where = setup.where
    before = [p.detach().clone() for p in setup.model.parameters() if p.requires_grad]
    if not before:
        raise PluginError(f"{where['model']} has no trainable parameters")
    order = pipeline.epoch_order(len(setup.train), setup.batch_size, spec.seed, 1)
    seconds: list[float] = []
    for indices in order[:2].to(setup.device):
        devices.synchronize(setup.device)
        start = time.perf_counter()
        setup.model.train()
        with devices.autocast(setup.device, setup.precision):
            logits = setup.model(setup.train.gather(indices))
            sizing.check_logits(logits, len(indices), setup.classes, where["model"])
            loss = setup.loss(logits, setup.train.labels[indices])
        if not seconds:
            # Before the first update only: a rate that is too high is no fault of a plugin.
            _check_finite(logits, where["model"])
            _check_loss(loss, where["loss"])
        setup.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        setup.optimizer.step()
        devices.synchronize(setup.device)
        seconds.append(time.perf_counter() - start)
        # One step is enough to see that it works; a second one is timed where it is cheap.
        if seconds[0] > 2:
            break
    start = time.perf_counter()
    few = min(len(setup.val), evaluation.batch_size(setup.val))
    with torch.inference_mode(), devices.autocast(setup.device, setup.precision):
        setup.model.eval()
        logits = setup.model(setup.val.gather(torch.arange(few, device=setup.device)))
    sizing.check_logits(logits, few, setup.classes, where["model"])
    devices.synchronize(setup.device)
    return {
        "input_size": setup.train.size,
        "parameters": sum(p.numel() for p in setup.model.parameters()),
        "step_seconds": min(seconds),
        "evaluation_seconds_per_image": (time.perf_counter() - start) / few,
        "steps_per_epoch": setup.steps_per_epoch,
        "val_items": setup.val_items,
        "test_items": setup.test_items,
    }


def _run(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Train, select on val, test once, and leave the artifacts in the run's folder."""
    spec = RunSpec.from_dict(payload["spec"])
    folder = Path(payload["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock()

    setup = _set_up(spec, payload["workers"], rehearsal=False)
    protocol = spec.protocol
    clock.mark("setup_seconds")

    with (folder / "epochs.jsonl").open("w", encoding="utf-8") as epochs_file:

        def report(metrics: EpochMetrics) -> None:
            epochs_file.write(files.dump_json(metrics.to_dict()) + "\n")
            epochs_file.flush()
            emit(metrics.to_dict())

        job = Training(
            model=setup.model,
            optimizer=setup.optimizer,
            loss=setup.loss,
            factors=setup.factors,
            epochs=protocol["epochs"],
            batch_size=setup.batch_size,
            seed=spec.seed,
            device=setup.device,
            precision=setup.precision,
            select=protocol["select"],
        )
        trained = train(job, setup.train, setup.val, report)
    assert trained.val is not None
    clock.skip(trained.train_seconds, "train_seconds")
    clock.skip(trained.evaluation_seconds, "evaluation_seconds")
    clock.mark("reporting_seconds")

    metrics = {"val": evaluation.metrics(trained.val)}
    arrays = trained.val.arrays("val")
    if spec.purpose is Purpose.FINAL:
        # The one place where the test split is opened: after training, once.
        test = _test_data(spec, setup)
        predictions = evaluation.predict(setup.model, test, setup.device, setup.precision)
        metrics["test"] = evaluation.metrics(predictions)
        arrays.update(predictions.arrays("test"))
    clock.mark("evaluation_seconds")

    profile = profiling.profile(setup.model, setup.val, setup.device, setup.precision)
    clock.mark("profiling_seconds")

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    files.write_bytes(folder / "predictions.npz", buffer.getvalue())
    if payload["keep"] == "best":
        _save_weights(setup.model, folder / "model.safetensors")
    clock.mark("saving_seconds")

    return {
        "metrics": metrics,
        "timing": {
            **clock.parts,
            "images_per_second": trained.images / trained.train_seconds,
            "steps": len(setup.factors),
            "epochs": len(trained.epochs),
            "best_epoch": trained.best_epoch,
        },
        "profile": profile,
        "environment": {
            **devices.environment(setup.device, setup.threads, setup.precision, spec.mode),
            "workers": payload["workers"],
            "shared_device": payload["workers"] > 1,
            "classes": list(setup.class_names),
            "train_items": len(setup.train),
            "val_split": setup.val_origin,
            "batch_size": setup.batch_size,
            "mean": setup.train.mean.flatten().tolist(),
            "std": setup.train.std.flatten().tolist(),
        },
    }


_JOBS: dict[JobKind, Callable[[dict[str, Any], Emit], dict[str, Any]]] = {
    JobKind.HELLO: _hello,
    JobKind.PREPARE: _prepare,
    JobKind.REHEARSE: _rehearse,
    JobKind.RUN: _run,
}


class _Clock:
    """Splits a job's wall time into parts that add up to it."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, part: str) -> None:
        """Book the time since the last mark."""
        now = time.perf_counter()
        self._add(part, now - self._last)
        self._last = now

    def skip(self, seconds: float, part: str) -> None:
        """Book time that was measured closer to what it is spent on."""
        self._add(part, seconds)
        self._last += seconds

    def _add(self, part: str, seconds: float) -> None:
        self.parts[part] = self.parts.get(part, 0.0) + seconds


@dataclass
class _Setup:
    """A run's parts, resolved and placed on its device. There is no test split among them."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: LossFunction
    factors: list[float]
    train: pipeline.Batches
    val: pipeline.Batches
    statistics: tuple[Tensor, Tensor]
    class_names: tuple[str, ...]
    val_origin: str
    batch_size: int
    steps_per_epoch: int
    val_items: int
    test_items: int
    device: str
    precision: str
    threads: int
    where: dict[str, str]

    @property
    def classes(self) -> int:
        return len(self.class_names)


def _set_up(spec: RunSpec, workers: int, *, rehearsal: bool) -> _Setup:
    protocol = spec.protocol
    registry = _registry()
    offers = {kind: _offer(registry, spec, kind) for kind in spec.components}
    where = {
        kind: f"{kind} `{offer.name}` of plugin {offer.plugin.label}"
        for kind, offer in offers.items()
    }
    device = devices.resolve(spec.device)
    precision = devices.precision_of(protocol["precision"], device)
    threads = devices.set_up(device, spec.seed, spec.mode, protocol["threads"], workers)
    devices.reset_peak_memory(device)

    stored = datastore.open_stored(spec.fingerprint)
    classes = len(stored.classes)
    channels = stored.image_shape[2]
    images, labels = stored.open("train")
    seed, limit = protocol["split_seed"], protocol["limit"]
    train_ids = pipeline.take(labels, limit or len(labels), seed)
    if "val" in stored.counts:
        val_images, val_labels = stored.open("val")
        val_ids = pipeline.take(val_labels, limit or len(val_labels), seed)
        val_origin = "official"
    else:
        val_images, val_labels = images, labels
        train_ids, val_ids = pipeline.hold_out(labels, train_ids, protocol["val"], seed)
        val_origin = f"{protocol['val']:g} of train, stratified, seed {seed}"
    statistics = pipeline.statistics(images, train_ids, protocol["normalize"])

    component = offers["model"].component
    assert isinstance(component, Model)
    build = functools.partial(component.build, **spec.model.params)
    wanted = protocol["input_size"] or max(stored.image_shape[:2])
    native = component.hints.input_size if component.hints else None
    size = _input_size(spec, build, classes, channels, wanted, native, where["model"])

    batch_size = min(protocol["batch_size"], len(train_ids))
    steps_per_epoch = math.ceil(len(train_ids) / batch_size)
    val_items = len(val_ids)
    if rehearsal:
        # Two batches show what the whole set would: the rest need not be placed on the device.
        train_ids, val_ids = train_ids[: 2 * batch_size], val_ids[: evaluation.EVALUATION_BATCH]

    def place(x: datastore.Images, y: datastore.Labels, ids: pipeline.Indices) -> pipeline.Batches:
        layout = devices.memory_format(device)
        return pipeline.to_batches(x, y, ids, size, statistics, device, layout)

    # Seeded again: how often a generator was used until here depends on the worker's past.
    devices.seed_everything(spec.seed)
    model = _built(where["model"], build, classes, (channels, size, size))
    if not isinstance(model, nn.Module):
        raise PluginError(f"{where['model']} built {type(model).__name__}, not torch.nn.Module")
    model = model.to(device).to(memory_format=devices.memory_format(device))
    optimizer = _built(
        where["optimizer"], offers["optimizer"].component.factory, model, **spec.optimizer.params
    )
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__name__
        raise PluginError(f"{where['optimizer']} built {kind}, not torch.optim.Optimizer")
    steps = steps_per_epoch * protocol["epochs"]
    factors = _built(
        where["schedule"],
        offers["schedule"].component.factory,
        steps,
        steps_per_epoch,
        **spec.schedule.params,
    )
    loss = _built(where["loss"], offers["loss"].component.factory, classes, **spec.loss.params)
    if isinstance(loss, nn.Module):
        loss = loss.to(device)
    return _Setup(
        model=model,
        optimizer=optimizer,
        loss=loss,
        factors=_checked_factors(factors, steps, where["schedule"]),
        train=place(images, labels, train_ids),
        val=place(val_images, val_labels, val_ids),
        statistics=statistics,
        class_names=stored.classes,
        val_origin=val_origin,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        val_items=val_items,
        test_items=min(limit or stored.counts["test"], stored.counts["test"]),
        device=device,
        precision=precision,
        threads=threads,
        where=where,
    )


def _test_data(spec: RunSpec, setup: _Setup) -> pipeline.Batches:
    stored = datastore.open_stored(spec.fingerprint)
    images, labels = stored.open("test")
    limit = spec.protocol["limit"] or len(labels)
    ids = pipeline.take(labels, limit, spec.protocol["split_seed"])
    layout = devices.memory_format(setup.device)
    return pipeline.to_batches(
        images, labels, ids, setup.train.size, setup.statistics, setup.device, layout
    )


_sizes: dict[str, int] = {}


def _input_size(
    spec: RunSpec,
    build: Callable[..., nn.Module],
    classes: int,
    channels: int,
    wanted: int,
    native: int | None,
    where: str,
) -> int:
    """Return the input size, probed once a worker for each model and shape."""
    question = repr((spec.model, classes, channels, wanted))
    if question not in _sizes:
        _sizes[question] = sizing.choose_input_size(build, classes, channels, wanted, native, where)
    return _sizes[question]


def _built(where: str, factory: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """Call a plugin's factory; what it raises names the plugin."""
    try:
        return factory(*args, **params)
    except (BenchError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise PluginError(f"{where}: {one_line(f'{type(error).__name__}: {error}')}") from error


def _checked_factors(factors: Any, steps: int, where: str) -> list[float]:
    try:
        checked = [float(factor) for factor in factors]
    except (TypeError, ValueError) as error:
        raise PluginError(f"{where} returned no sequence of numbers") from error
    if len(checked) != steps:
        raise PluginError(f"{where} returned {len(checked)} factors for {steps} steps")
    if not np.isfinite(checked).all():
        raise PluginError(f"{where} returned a NaN or infinite factor")
    return checked


def _check_finite(logits: Tensor, where: str) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise PluginError(f"{where} returned NaN or infinite logits for real images")


def _check_loss(loss: Any, where: str) -> None:
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise PluginError(f"{where} returned {shape}; a scalar tensor is needed")
    if not bool(torch.isfinite(loss)):
        raise PluginError(f"{where} returned {loss.item()} on the first batch")


def _save_weights(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save_model

    with files.atomic_open(path) as file:
        # save_model wants a path; it handles tensors that several modules share.
        save_model(model, file.name)


@functools.cache
def _registry() -> Registry:
    return load_registry()


def _offer(registry: Registry, spec: RunSpec, kind: str) -> Offer:
    ref = spec.components[kind]
    offer = registry.get(kind, f"{ref.name}@{ref.plugin}")
    assert kind != "dataset" or isinstance(offer.component, Dataset)
    return offer


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
