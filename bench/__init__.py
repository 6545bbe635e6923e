"""A plugin-based benchmarking harness for image classification.

This is the one public door: what plugin authors need, the errors, `run` and `load_records`.
Importing it imports neither torch nor any plugin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import load_records, run
    from bench.api_version import API_VERSION
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

__all__ = [
    "API_VERSION",
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

_HOMES = ("errors", "specs", "hookspecs", "api_version", "records", "jobs", "api")
"""Where the names above are defined; the last imports most."""

if not TYPE_CHECKING:  # else no checker would notice a misspelt name

    def __getattr__(name: str) -> Any:
        """Import what a name stands for when it is asked for: help and completion need none."""
        if name in __all__:
            for home in _HOMES:
                module = importlib.import_module(f"bench.{home}")
                if name in vars(module):
                    return globals().setdefault(name, vars(module)[name])
        # By its full name: `from bench import` would ask here for it again.
        return importlib.import_module("bench.deprecations").resolve(name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
