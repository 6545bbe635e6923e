"""The hooks of the plugin door. Those that register return specs; the others observe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from bench.records import EpochMetrics, RunRecord, RunSpec
    from bench.specs import (
        Augmentation,
        Dataset,
        Executor,
        Loss,
        Metric,
        Model,
        Optimizer,
        Report,
        Schedule,
        Tracker,
        Weights,
    )

PROJECT = "bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_datasets() -> Iterable[Dataset]:  # type: ignore[empty-body]
    """Return the datasets that this plugin offers."""


@hookspec
def register_models() -> Iterable[Model]:  # type: ignore[empty-body]
    """Return the models that this plugin offers."""


@hookspec
def register_weights() -> Iterable[Weights]:  # type: ignore[empty-body]
    """Return the weights that this plugin offers to start from."""


@hookspec
def register_optimizers() -> Iterable[Optimizer]:  # type: ignore[empty-body]
    """Return the optimizers that this plugin offers."""


@hookspec
def register_schedules() -> Iterable[Schedule]:  # type: ignore[empty-body]
    """Return the learning-rate schedules that this plugin offers."""


@hookspec
def register_losses() -> Iterable[Loss]:  # type: ignore[empty-body]
    """Return the losses that this plugin offers."""


@hookspec
def register_augmentations() -> Iterable[Augmentation]:  # type: ignore[empty-body]
    """Return the augmentations that this plugin offers."""


@hookspec
def register_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """Return the metrics that this plugin offers."""


@hookspec
def register_executors() -> Iterable[Executor]:  # type: ignore[empty-body]
    """Return the executors that this plugin offers."""


@hookspec
def register_reports() -> Iterable[Report]:  # type: ignore[empty-body]
    """Return the formats of reports that this plugin offers."""


@hookspec
def register_trackers() -> Iterable[Tracker]:  # type: ignore[empty-body]
    """Return the trackers that this plugin offers."""


@hookspec
def register_baselines() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return files of published results that `bench verify` is to check."""


@hookspec
def run_started(run: RunSpec) -> None:
    """Observe that a worker has started a run."""


@hookspec
def epoch_finished(run: RunSpec, metrics: EpochMetrics) -> None:
    """Observe the metrics of an epoch; called outside the timed region."""


@hookspec
def run_finished(record: RunRecord) -> None:
    """Observe the record of a run that ended, well or not."""
