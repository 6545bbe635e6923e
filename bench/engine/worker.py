"""From a job to its result: resolve the names, train, evaluate, profile, hand back.

`perform` is the one entry that executors call, in whatever process or machine they run it. It
takes and returns plain data.
"""

from __future__ import annotations

import functools
import io
import time
import traceback
from collections import ChainMap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # torch's optimizers import it at first use; here a warm server pays for it
from torch import nn

from bench import datastore, downloads, files, intake
from bench.engine import device as devices
from bench.engine import evaluation, profiling
from bench.engine.data import open_test
from bench.engine.rehearsal import rehearse
from bench.engine.setup import Setup, offer_of, set_up
from bench.engine.training import Diverged, Training, train
from bench.errors import BenchError
from bench.records import EpochMetrics, JobKind, Purpose, RunSpec, RunStatus
from bench.specs import Task
from bench.text import one_line

PROGRESS_SECONDS = 0.2
Emit = Callable[[dict[str, Any]], None]


def perform(kind: str, payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Carry out one job and return its result, with `status` and, unless ok, `error`.

    Args:
        kind: a `JobKind`.
        payload: what the job needs, as plain data.
        emit: called with the metrics of each finished epoch.
    """
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    begin = time.perf_counter()
    result: dict[str, Any]
    try:
        result = {"status": str(RunStatus.OK), **_JOBS[JobKind(kind)](payload, emit)}
    except Diverged as error:
        result = _failure(RunStatus.DIVERGED, str(error))
    except (torch.OutOfMemoryError, MemoryError) as error:
        result = _out_of_memory(error)
    except BenchError as error:
        result = _failure(RunStatus.FAILED, str(error))
    except (Exception, SystemExit) as error:  # a plugin may even call sys.exit
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
    offer = offer_of(spec, "dataset")
    request = datastore.request_of(spec)
    last = time.perf_counter()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        # The end is always told, but not that of a look at a few files, which is over at once.
        ended = done == total and (what == "read" or total > intake.HEADERS)
        if time.perf_counter() - last > PROGRESS_SECONDS or ended:
            last = time.perf_counter()
            emit({"what": what, "done": done, "total": total})

    with downloads.offline(payload["offline"]):
        stored = datastore.prepare(
            offer,
            spec.dataset,
            request,
            functools.partial(progress, "read"),
            functools.partial(progress, "sized up"),
        )
    notes = datastore.notes(offer, spec.dataset, request)
    return {"dataset": datastore.describe(stored), "notes": notes}


def _rehearse(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    return rehearse(RunSpec.from_dict(payload["spec"]), payload["workers"])


def _run(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Train, select on val, test once, and leave the artifacts in the run's folder."""
    spec = RunSpec.from_dict(payload["spec"])
    folder = Path(payload["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock()

    setup = set_up(spec, payload["workers"], rehearsal=False)
    protocol = spec.protocol
    clock.mark("setup_seconds")

    data = setup.data
    with (folder / "epochs.jsonl").open("w", encoding="utf-8") as epochs_file:

        def report(metrics: EpochMetrics) -> None:
            epochs_file.write(files.dump_json(metrics.to_dict()) + "\n")
            epochs_file.flush()
            data.stored.keep()
            emit(metrics.to_dict())

        job = Training(
            model=setup.model,
            optimizer=setup.optimizer,
            loss=setup.loss,
            factors=setup.factors,
            epochs=protocol["epochs"],
            batch_size=data.batch_size,
            seed=spec.seed,
            device=setup.device,
            precision=setup.precision,
            select=protocol["select"],
            question=data.question,
        )
        trained = train(job, data.train, data.val, report)
    assert trained.val is not None
    clock.skip(trained.train_seconds, "train_seconds")
    clock.skip(trained.evaluation_seconds, "evaluation_seconds")
    clock.mark("reporting_seconds")

    said, threshold = _said(spec, setup, trained.val)
    metrics = {split: each.metrics() for split, each in said.items()}
    clock.mark("evaluation_seconds")

    profile = profiling.profile(setup.model, data.val, setup.device, setup.precision)
    clock.mark("profiling_seconds")

    buffer = io.BytesIO()
    arrays = [each.arrays(split) for split, each in said.items()]
    np.savez_compressed(buffer, allow_pickle=False, **dict(ChainMap(*arrays)))
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
        "environment": _environment(spec, setup, payload["workers"], threshold),
    }


def _said(
    spec: RunSpec, setup: Setup, val: evaluation.Predictions
) -> tuple[dict[str, evaluation.Predictions], float | None]:
    """Return the predictions by split, test among them, and the threshold of a multi-label task."""
    data = setup.data
    said = {"val": val}
    if spec.purpose is Purpose.FINAL:
        # The one place where the test split is opened: after training, once.
        test = open_test(spec, data, setup.device, setup.where["dataset"])
        said["test"] = evaluation.predict(
            setup.model, test, data.question, setup.device, setup.precision
        )
        if not np.isfinite(said["test"].probabilities).all():
            raise Diverged("the predictions on test are not finite")
    if data.question.task is not Task.MULTI_LABEL:
        return said, None
    threshold = evaluation.decide(val, spec.protocol["threshold"])
    return {split: each.at(threshold) for split, each in said.items()}, threshold


def _environment(
    spec: RunSpec, setup: Setup, workers: int, threshold: float | None
) -> dict[str, Any]:
    """Return what was in force during a run."""
    data = setup.data
    return {
        **devices.environment(setup.device, setup.threads, setup.precision, spec.mode),
        "workers": workers,
        "shared_device": workers > 1,
        "task": str(data.question.task),
        "classes": list(data.question.classes),
        "threshold": threshold,
        "train_items": len(data.train),
        **{f"{split}_split": origin for split, origin in data.origins.items()},
        "batch_size": data.batch_size,
        "normalized_by": data.normalized_by,
        "mean": data.train.mean.flatten().tolist(),
        "std": data.train.std.flatten().tolist(),
        "stored_images": list(data.stored.image_shape),
        "placement": data.train.images.name,
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


def _save_weights(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save_model

    with files.atomic_open(path) as file:
        # save_model wants a path; it handles tensors that several modules share.
        save_model(model, file.name)
