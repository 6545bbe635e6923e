"""What a plugin offers: one frozen dataclass for each kind of component.

Every kind has the same shape: a name, a factory (`build`, or `load` for a dataset) whose
keyword-only defaults are both the documented params and the untuned baseline, an optional
`suggest(trial)` that returns overrides of those params, and a one-line description.
"""

from __future__ import annotations

from bench.specs.component import UNFIT_FOR_NAMES, Component
from bench.specs.data import (
    SINGLE_LABEL,
    Dataset,
    DatasetHints,
    Files,
    ImageKind,
    Splits,
    Task,
)
from bench.specs.execution import Executor, ExecutorSession
from bench.specs.metrics import Answers, Metric
from bench.specs.models import Model, ModelHints, Origin, Preprocessing, Weights
from bench.specs.reports import Report
from bench.specs.tracking import Tracker, TrackerSession
from bench.specs.training import Augmentation, Loss, Optimizer, Schedule

__all__ = [
    "KINDS",
    "SINGLE_LABEL",
    "UNFIT_FOR_NAMES",
    "Answers",
    "Augmentation",
    "Component",
    "Dataset",
    "DatasetHints",
    "Executor",
    "ExecutorSession",
    "Files",
    "ImageKind",
    "Loss",
    "Metric",
    "Model",
    "ModelHints",
    "Optimizer",
    "Origin",
    "Preprocessing",
    "Report",
    "Schedule",
    "Splits",
    "Task",
    "Tracker",
    "TrackerSession",
    "Weights",
]

KINDS: dict[str, type[Component]] = {
    spec.kind: spec
    for spec in (
        *(Dataset, Model, Weights, Optimizer, Schedule, Loss, Augmentation),
        *(Metric, Executor, Report, Tracker),
    )
}
"""Every kind of component, in the order in which listings show them."""
