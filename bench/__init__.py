"""A plugin-based benchmarking harness for image classification.

This is the one public door: what plugin authors need, the errors, `run` and `load_records`.
Importing it imports neither torch nor any plugin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bench.errors import (
    AmbiguousNameError,
    BenchError,
    ConfigError,
    DataError,
    EnvironmentFailure,
    PluginError,
    StoreError,
    UnknownNameError,
    UsageError,
)
from bench.hookspecs import hookimpl
from bench.jobs import Job, JobEvent, JobEventKind
from bench.records import EpochMetrics, RunRecord, RunSpec, RunStatus
from bench.specs import (
    SINGLE_LABEL,
    Answers,
    Augmentation,
    Component,
    Dataset,
    DatasetHints,
    Executor,
    ExecutorSession,
    Files,
    ImageKind,
    Loss,
    Metric,
    Model,
    ModelHints,
    Optimizer,
    Origin,
    Preprocessing,
    Report,
    Schedule,
    Splits,
    Task,
    Tracker,
    TrackerSession,
    Weights,
)

if TYPE_CHECKING:
    from bench.api import load_records, run

__all__ = [
    "SINGLE_LABEL",
    "AmbiguousNameError",
    "Answers",
    "Augmentation",
    "BenchError",
    "Component",
    "ConfigError",
    "DataError",
    "Dataset",
    "DatasetHints",
    "EnvironmentFailure",
    "EpochMetrics",
    "Executor",
    "ExecutorSession",
    "Files",
    "ImageKind",
    "Job",
    "JobEvent",
    "JobEventKind",
    "Loss",
    "Metric",
    "Model",
    "ModelHints",
    "Optimizer",
    "Origin",
    "PluginError",
    "Preprocessing",
    "Report",
    "RunRecord",
    "RunSpec",
    "RunStatus",
    "Schedule",
    "Splits",
    "StoreError",
    "Task",
    "Tracker",
    "TrackerSession",
    "UnknownNameError",
    "UsageError",
    "Weights",
    "hookimpl",
    "load_records",
    "run",
]

_FROM_API = ("load_records", "run")


def __getattr__(name: str) -> Any:
    """Import what runs and reads only when somebody asks for it."""
    if name in _FROM_API:
        return getattr(importlib.import_module("bench.api"), name)
    raise AttributeError(f"module `bench` has no attribute `{name}`")
