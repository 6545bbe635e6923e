"""From a job to its result: resolve the names, train, evaluate, profile, hand back.

`perform` is the one entry that executors call, in whatever process or machine they run it. It
takes and returns plain data.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # torch's optimizers import it at first use; here a warm server pays for it

from bench import census, datastore, downloads, intake
from bench.engine import (
    artifacts,
    evaluation,
    interruption,
    launching,
    memory,
    picturing,
    probing,
    profiling,
)
from bench.engine import device as devices
from bench.engine.attempt import Attempt
from bench.engine.checkpoint import Checkpoints
from bench.engine.clock import Clock
from bench.engine.data import RunData, open_test
from bench.engine.distributed import Group
from bench.engine.interruption import Interrupted
from bench.engine.rehearsal import rehearse
from bench.engine.setup import Setup, offer_of, set_up
from bench.engine.training import Diverged, Training, train
from bench.engine.using import exporting, predicting
from bench.errors import BenchError
from bench.jobs import JobKind
from bench.records import EpochMetrics, Purpose, RunSpec, RunStatus, StepMetrics
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
    result = outcome(lambda: _JOBS[JobKind(kind)](payload, emit))
    result["started_at"] = started
    result["finished_at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    timing = result.setdefault("timing", {})
    # A run that was resumed has spent time before.
    timing["wall_seconds"] = timing.get("wall_seconds", 0.0) + time.perf_counter() - begin
    interruption.clear()
    return result


def outcome(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what some work returns, with its `status`, or how it failed."""
    try:
        return {"status": str(RunStatus.OK), **work()}
    except Interrupted as error:
        return _failure(RunStatus.INTERRUPTED, str(error))
    except Diverged as error:
        return _failure(RunStatus.DIVERGED, str(error))
    except (torch.OutOfMemoryError, MemoryError) as error:
        return _out_of_memory(error)
    except BenchError as error:
        return _failure(RunStatus.FAILED, str(error))
    except (Exception, SystemExit) as error:  # a plugin may even call sys.exit
        traceback.print_exc()
        if "can't allocate memory" in str(error):
            return _out_of_memory(error)
        return _failure(RunStatus.FAILED, one_line(f"{type(error).__name__}: {error}"))


def interrupt() -> None:
    """Ask the run under way in this process, if it is in training, to save its state and end.

    An executor may call it from the handler of a signal.
    """
    interruption.request()


def _failure(status: RunStatus, error: str) -> dict[str, Any]:
    return {"status": str(status), "error": error}


def _out_of_memory(error: BaseException) -> dict[str, Any]:
    peak = memory.peak_memory_bytes("cuda" if torch.cuda.is_initialized() else "cpu")
    used = f" (peak {peak / 2**30:.1f} GiB)" if peak else ""
    advice = (
        "try `--micro-batch`, which takes a batch in parts, or a smaller `--batch-size` or "
        "`--input-size`"
    )
    message = f"out of memory{used}: {one_line(str(error), 160)}; {advice}"
    return {**_failure(RunStatus.OOM, message), "profile": {"peak_memory_bytes": peak}}


def _hello(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    device = devices.resolve(payload["device"])
    launching.check_devices(device, payload.get("devices", 1), payload.get("workers", 1))
    # Plain text: torch's own kind of it would have whoever unpickles the answer import torch.
    version = str(torch.__version__)
    return {"device": device, "device_name": devices.name(device), "torch": version}


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


def _describe(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    spec = RunSpec.from_dict(payload["spec"])
    results = Path(payload["results"])
    census.describe(spec, offer_of(spec, "dataset"), results, samples=payload["samples"])
    return {}


def _check(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    spec = RunSpec.from_dict(payload["spec"])
    with downloads.offline(payload["offline"]):
        census.check(spec, offer_of(spec, "dataset"), Path(payload["results"]))
    return {}


def _rehearse(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    with downloads.offline(payload["offline"]):
        return rehearse(RunSpec.from_dict(payload["spec"]), payload["workers"])


def _run(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    if payload["spec"]["devices"] > 1:
        return launching.launch(payload, emit)
    return carry_out(payload, emit, Group(), Clock())


def carry_out(payload: dict[str, Any], emit: Emit, group: Group, clock: Clock) -> dict[str, Any]:
    """Train, select on val, test once, and leave the artifacts in the run's folder.

    Of the ranks of a group all train and predict; the first one reports, writes and returns. A
    run that pauses leaves its state instead, tests nothing, and is timed from its first epoch.
    """
    attempt = Attempt(clock)
    result = outcome(lambda: _carry_out(payload, emit, group, attempt))
    if result["status"] != RunStatus.OK:
        result["timing"] = attempt.spent()
    return result


def _carry_out(
    payload: dict[str, Any], emit: Emit, group: Group, attempt: Attempt
) -> dict[str, Any]:
    spec, clock = RunSpec.from_dict(payload["spec"]), attempt.clock
    folder = Path(payload["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    begun = sum(clock.parts.values())
    saved = Path(payload["checkpoint"]) if payload["checkpoint"] else None
    minutes = payload["checkpoint_minutes"]
    checkpoints = Checkpoints(saved, spec.whole_id, minutes, writes=group.is_first)

    with downloads.offline(payload["offline"]):
        setup = _resumed(spec, payload, checkpoints, clock, group)
    job, data = setup.job, setup.data
    attempt.job, attempt.earlier = job, sum(clock.parts.values()) - begun
    if job.progress.resumed:
        done = len(job.progress.history)
        emit({"earlier": {"wall_seconds": attempt.earlier, "epochs": done}})
    if (note := _note(spec, job, checkpoints)) is not None:
        emit({"note": note})
    clock.mark("setup_seconds")

    def finished(epoch: EpochMetrics) -> None:
        data.stored.keep()
        emit(epoch.to_dict())

    first = group.is_first
    curves = artifacts.curves(folder, job, finished) if first else contextlib.nullcontext(_no_one)
    with curves as report:
        train(job, data.train, data.val, report, clock, checkpoints)
    # All ranks take part in it, and nothing that follows before it is saved changes what it holds.
    state = job.state(clock) if spec.until is not None else None
    assert job.selection.val is not None
    clock.mark("reporting_seconds")

    said, threshold = _said(spec, setup, job.selection.val)
    group.close()
    if not group.is_first:
        return {}
    metrics = {split: each.metrics() for split, each in said.items()}
    clock.mark("evaluation_seconds")

    # What tuning tries is measured once: the model and the machine stay the same.
    anew = payload["rerun"] and spec.purpose is Purpose.FINAL
    profile = _profile(setup, shared=payload["workers"] > 1, rerun=anew)
    clock.mark("profiling_seconds")

    artifacts.save_predictions(said, folder / "predictions.npz")
    if payload["keep"] != "none" and state is None:
        artifacts.save_weights(job.model, folder / "model.safetensors")
    clock.mark("saving_seconds")
    lacking = ""
    if payload["pictures"] != "none" and "test" in said:
        # Last of what belongs to the result, which is saved: it cannot change any more.
        lacking = picturing.keep(spec, setup, said["test"], folder)
        clock.mark("pictures_seconds")
    if state is not None:
        # Last, so that of what this part of the run has cost nothing but this is forgotten: the
        # cost of the next part is the difference between their times.
        checkpoints.save({**state, "spent": dict(clock.parts)})
        clock.mark("checkpoint_seconds")
    return {
        "metrics": metrics,
        "timing": attempt.timing(),
        "profile": profile,
        "environment": {
            **_environment(spec, setup, payload["workers"], threshold),
            **({"pictures_error": lacking} if lacking else {}),
        },
    }


def _note(spec: RunSpec, job: Training, checkpoints: Checkpoints) -> str | None:
    """Return what there is to say about where a run begins."""
    if checkpoints.refused:
        return "warning: its saved state is damaged or not its own; it starts anew"
    # Going on is what the parts of a trial are made for.
    if not job.progress.resumed or spec.purpose is not Purpose.FINAL:
        return None
    step = job.progress.step
    within = f", step {step} of the next" if step else ""
    return f"goes on after epoch {len(job.progress.history)} of {job.epochs}{within}"


def _no_one(metrics: EpochMetrics | StepMetrics) -> None:
    """Take a report for nobody."""


def _resumed(
    spec: RunSpec, payload: dict[str, Any], checkpoints: Checkpoints, clock: Clock, group: Group
) -> Setup:
    """Return a run's parts, with the state they were saved in if there is one."""
    workers = payload["workers"]
    setup = set_up(spec, workers, rehearsal=False, group=group)
    group.seed_apart(spec.seed)
    setup.job.progress.shared = workers > 1
    clock.device = setup.job.device
    state = checkpoints.load()
    if state is not None and _is_past(state, spec.until, rerun=payload["rerun"]):
        # Another part of the run has left it, which may be gone on with from there.
        checkpoints.stands_aside = not payload["rerun"]
        state = None
    if group.any(state is None):
        return setup
    assert state is not None
    failed = False
    try:
        setup.job.restore(state, clock)
    except Exception as error:  # whatever a component makes of a state that is not its own
        print(f"its saved state is not used, the run starts anew: {error}", file=sys.stderr)
        failed = True
    if group.any(failed):
        checkpoints.refused = True
        checkpoints.remove()
        return _resumed(spec, payload, checkpoints, clock, group)
    return setup


def _is_past(state: dict[str, Any], until: int | None, *, rerun: bool) -> bool:
    """Return whether a state is of no use to a run that pauses: it has trained for longer.

    A run that is to be done again makes no use of what it has come to before, either.
    """
    if until is None:
        return False
    done = (len(state["history"]), state["step"])
    return done > (until, 0) or (rerun and done == (until, 0))


def _said(
    spec: RunSpec, setup: Setup, val: evaluation.Predictions
) -> tuple[dict[str, evaluation.Predictions], float | None]:
    """Return the predictions by split, test among them, and the threshold of a multi-label task."""
    data, job = setup.data, setup.job
    said = {"val": val}
    if spec.predicts_train:
        # The images as they are: what is gathered for predictions passes no augmentation.
        said["train"] = evaluation.predict(
            job.model, data.train, data.question, job.device, job.precision, job.group
        )
    if spec.purpose is Purpose.FINAL:
        # The one place where the test split is opened: after training, once.
        test = open_test(spec, data, job.device, setup.where["dataset"])
        said["test"] = evaluation.predict(
            job.model, test, data.question, job.device, job.precision, job.group
        )
        if not np.isfinite(said["test"].probabilities).all():
            raise Diverged("the predictions on test are not finite")
    if data.question.task is not Task.MULTI_LABEL:
        return said, None
    threshold = evaluation.decide(val, spec.protocol["threshold"])
    return {split: each.at(threshold) for split, each in said.items()}, threshold


def _profile(setup: Setup, *, shared: bool, rerun: bool) -> dict[str, Any]:
    """Return size and speed of a model; what fails here costs a run its profile and no more."""
    job, val = setup.job, setup.data.val
    try:
        return profiling.profile(
            *(job.model, val, job.device, job.precision, setup.subject), shared=shared, rerun=rerun
        )
    except Exception as error:
        traceback.print_exc()
        return {"error": one_line(f"{type(error).__name__}: {error}")}


def _environment(
    spec: RunSpec, setup: Setup, workers: int, threshold: float | None
) -> dict[str, Any]:
    """Return what was in force during a run."""
    data, job = setup.data, setup.job
    return {
        **devices.environment(job.device, setup.threads, job.precision, spec.mode),
        "memory_format": str(data.train.memory_format).removeprefix("torch."),
        "workers": workers,
        "devices": spec.devices,
        "shared_device": job.progress.shared,
        "task": str(data.question.task),
        "selected_by": job.selection.by(data.question.task),
        "train_loss_is_log_loss": _is_log_loss(job, data),
        "classes": list(data.question.classes),
        **({"taxonomy": [list(path) for path in tree]} if (tree := data.question.taxonomy) else {}),
        "threshold": threshold,
        "train_items": len(data.train),
        **{f"{split}_split": origin for split, origin in data.origins.items()},
        "weights": setup.fit.to_dict() if setup.fit else None,
        "batch_size": data.batch_size,
        "normalized_by": data.normalized_by,
        "mean": data.train.mean.flatten().tolist(),
        "std": data.train.std.flatten().tolist(),
        "stored_images": list(data.stored.image_shape),
        "input_size": data.size,
        "placement": data.train.images.name,
    }


def _is_log_loss(job: Training, data: RunData) -> bool:
    """Return whether the training loss may be compared with that of val: tried on random logits."""
    augmenter = data.train.augmenter
    if augmenter is not None and augmenter.mixes:
        return False
    labels = data.train.labels[:64]
    shape = (len(labels), len(job.question.classes))
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(job.device)
    try:
        return bool(torch.isclose(job.loss(logits, labels), job.question.log_loss(logits, labels)))
    except Exception:  # a loss of a plugin may want what it gets in training
        return False


_JOBS: dict[JobKind, Callable[[dict[str, Any], Emit], dict[str, Any]]] = {
    JobKind.HELLO: _hello,
    JobKind.PREPARE: _prepare,
    JobKind.DESCRIBE: _describe,
    JobKind.CHECK: _check,
    JobKind.REHEARSE: _rehearse,
    JobKind.RUN: _run,
    JobKind.PREDICT: predicting.perform,
    JobKind.EXPORT: exporting.perform,
    JobKind.PROBE: probing.perform,
}
