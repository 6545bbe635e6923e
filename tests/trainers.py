"""Training jobs on a few small images, for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from samples import make_batches
from torch import nn
from torch.nn import functional

from bench.engine import evaluation
from bench.engine.averaging import averaging_of
from bench.engine.checkpoint import Checkpoints
from bench.engine.clock import Clock
from bench.engine.freezing import Freezing
from bench.engine.pipeline import Batches
from bench.engine.rates import LearningRates, RatePlan
from bench.engine.setup import SELECTED_BY
from bench.engine.stopping import Selection
from bench.engine.training import Training, train
from bench.engine.updates import Gradients
from bench.protocol import Protocol
from bench.records import EpochMetrics, StepMetrics
from bench.specs import Task

EPOCHS, BATCH, SEED = 3, 16, 5
QUESTION = evaluation.Question(Task.MULTI_CLASS, ("top", "middle", "bottom"))


def batches(count: int, seed: int = 0, labels: Any = None, **fields: Any) -> Batches:
    """Return gray images of three classes, each with its bright row, under noise."""
    generator = np.random.default_rng(seed)
    chosen = np.arange(count) % 3 if labels is None else np.asarray(labels)
    images = generator.integers(0, 120, (count, 6, 6, 1), np.uint8)
    images[np.arange(count), chosen] += 100
    return make_batches(images, chosen.astype(np.int64), 6, **fields)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-2)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def job(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Sequence[float] | Callable[..., float] | None = None,
    *,
    count: int = 40,
    protocol: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Training:
    """Return a job on `count` images under a protocol; `fields` go straight to it."""
    told = Protocol(**{"epochs": EPOCHS, "select": "last", **(protocol or {})}).model_dump()
    batch = fields.get("batch_size", BATCH)
    each = -(-count // min(count, batch))
    if schedule is None:
        schedule = [1.0] * (each * told["epochs"])
    plan = RatePlan(schedule, each, round(told["warmup"] * each))
    plain = {
        "loss": functional.cross_entropy,
        "rates": LearningRates(optimizer, plan),
        "gradients": Gradients.of(model, told),
        "averaging": averaging_of(model, told),
        "freezing": Freezing(model),
        "selection": Selection(**{name: told[name] for name in SELECTED_BY}),
        "question": QUESTION,
        "epochs": told["epochs"],
        "batch_size": batch,
        "seed": SEED,
        "device": "cpu",
        "precision": "float32",
        "micro_batch": told["micro_batch"],
        "log_steps": told["log_steps"],
    }
    return Training(model=model, optimizer=optimizer, **{**plain, **fields})


@dataclass
class Trained:
    """What a job came to."""

    job: Training
    clock: Clock
    reported: list[EpochMetrics | StepMetrics]

    @property
    def epochs(self) -> list[EpochMetrics]:
        return self.job.progress.history

    @property
    def best_epoch(self) -> int:
        return self.job.selection.epoch

    @property
    def val(self) -> evaluation.Predictions:
        assert self.job.selection.val is not None
        return self.job.selection.val


def run(
    what: Training,
    data: Batches,
    val: Batches,
    report: Callable[[Any], None] = lambda metrics: None,
    path: Path | None = None,
    minutes: float = 5.0,
) -> Trained:
    """Train, from the state saved at `path` if there is one."""
    clock = Clock()
    checkpoints = Checkpoints(path, "a run", minutes)
    state = checkpoints.load()
    if state is not None:
        what.restore(state, clock)
    reported: list[EpochMetrics | StepMetrics] = []

    def note(metrics: EpochMetrics | StepMetrics) -> None:
        reported.append(metrics)
        report(metrics)

    train(what, data, val, note, clock, checkpoints)
    return Trained(what, clock, reported)
