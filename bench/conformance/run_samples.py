"""Runs made up for checking trackers: those that end well, and all others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bench.protocol import Protocol
from bench.records import ComponentRef, EpochMetrics, Purpose, RunRecord, RunSpec, RunStatus

_NAMES = {
    "dataset": "digits",
    "model": "cnn",
    "optimizer": "adamw",
    "schedule": "constant",
    "loss": "cross-entropy",
    "augmentation": "none",
}
ODD_NAMES = (
    "a/b",
    "../../outside",
    ".",
    "<script>",
    "$x_1 & 5 % #",
    "[red]=cmd|x",
    "caf\u00e9 \U0001f600",
    "CON: aux?*",
    "long" * 75,
)
"""What a plugin may call its model; commas, `@` and control characters are refused at its door."""


def spec(seed: int = 0, *, name: str = "cnn", purpose: Purpose = Purpose.FINAL) -> RunSpec:
    """Return a run as it is planned.

    Args:
        seed: of the run.
        name: of its model, its dataset and a param.
        purpose: what it is for.
    """
    names = {**_NAMES, "model": name, "dataset": name}
    params: dict[str, Any] = {"lr": 0.002, "how": name, "betas": [0.9, 0.999], "clip": None}
    refs = {
        kind: ComponentRef(each, "acme", params if kind == "optimizer" else {})
        for kind, each in names.items()
    }
    chosen = {kind: names[kind] for kind in ("schedule", "loss", "augmentation")}
    protocol = Protocol.model_validate(chosen)
    tuned = {"study": "0123456789ab", "trial": 3} if purpose is Purpose.TRIAL else {}
    plan = RunSpec(
        dataset=refs["dataset"],
        model=refs["model"],
        optimizer=refs["optimizer"],
        schedule=refs["schedule"],
        loss=refs["loss"],
        augmentation=refs["augmentation"],
        protocol=protocol.model_dump(mode="json"),
        seed=seed,
        purpose=purpose,
        tuned=tuned,
    )
    key = {**plan.to_dict(), "device": "a processor", "version": "1.0"}
    key["dataset"] = {**key["dataset"], "fingerprint": "f00d" * 8, "variant": "8x8x1"}
    return RunSpec(**{**vars(plan), "key": key})


def epoch(number: int, epochs: int = 30) -> EpochMetrics:
    """Return the metrics of an epoch."""
    loss = 2.0 * math.exp(-number / 10)
    return EpochMetrics(
        epoch=number,
        epochs=epochs,
        train_loss=loss,
        train_accuracy=1 - loss / 2.5,
        val_loss=loss + 0.1,
        val_accuracy=0.95 - loss / 2.5,
        lr=0.002,
        seconds=1.25,
        images_per_second=1234.5,
        steps=10 * number,
        val_score=0.95 - loss / 2.5,
        trained_parameters=21_000,
    )


def odd_epoch() -> EpochMetrics:
    """Return the metrics of an epoch in which everything went wrong."""
    nan = math.nan
    return EpochMetrics(1, 3, nan, 0.0, math.inf, 0.0, nan, 0.0, math.inf, val_score=None)


def record(plan: RunSpec, status: RunStatus = RunStatus.OK, **fields: Any) -> RunRecord:
    """Return the record of a run; one that did not end well has no metrics."""
    classes = {"three": {"precision": 0.9, "recall": 0.8, "n": 50}}
    scores = {"accuracy": 0.93, "log_loss": 0.21, "n": 100, "per_class": classes}
    known: dict[str, Any] = {
        "metrics": {"val": scores, "test": scores} if status is RunStatus.OK else {},
        "error": None if status is RunStatus.OK else f"it ended as {status}",
        "timing": {"wall_seconds": 12.5, "train_seconds": 10.0},
        "profile": {"parameters": 21_000, "latency_ms": 1.5, "flops": None},
        "environment": {"torch": "2.10", "threads": 1, "classes": ["three", "eight"]},
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "finished_at": "2026-01-01T00:00:12.500+00:00",
    }
    return RunRecord(plan, status, **{**known, **fields})


def odd_records() -> Iterator[tuple[str, RunRecord]]:
    """Yield records of runs that ended in all the ways there are, with what to call them."""
    for seed, status in enumerate(RunStatus):
        yield f"a run that ended as `{status}`", record(spec(seed), status)
    bare: dict[str, Any] = {name: {} for name in ("metrics", "timing", "profile", "environment")}
    lost = record(spec(100), RunStatus.FAILED, started_at="", finished_at="", **bare)
    yield "a run that never began", lost
    undefined = {"test": {"accuracy": math.nan, "log_loss": math.inf, "n": 0, "f1": None}}
    yield "a run with metrics that are no numbers", record(spec(101), metrics=undefined)
    yield "a trial of a study", record(spec(102, purpose=Purpose.TRIAL))
