"""Metrics, and the stored predictions that they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from bench.specs.component import Component
from bench.specs.data import Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Answers:
    """What one network said of the items of a split, in the order of their ids.

    Attributes:
        task: what was to be said of an image.
        classes: names of the C classes; empty where the record lacks them.
        ids: (N,) int64, places in the stored split; equal ids of one content are equal items.
        labels: (N,) integers or (N, C) of 0 and 1.
        predicted: of the same shape.
        probabilities: (N, C), as stored: float16, float32 for a multi-label task; None where they
            are not stored.
        taxonomy: for a hierarchical task, the path from the top of the tree to each class; empty
            where the record lacks it.
    """

    task: Task
    classes: tuple[str, ...]
    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    probabilities: npt.NDArray[Any] | None
    taxonomy: tuple[tuple[str, ...], ...] = ()

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Return for each item whether all that was said of it is right, (N,)."""
        same = self.labels == self.predicted
        right: npt.NDArray[np.bool_] = same.reshape(len(self.ids), -1).all(axis=1)
        return right

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the C classes, their numbers where the record lacks them."""
        if self.classes:
            return self.classes
        if self.probabilities is not None:
            count = self.probabilities.shape[1]
        elif self.labels.ndim == 2:
            count = self.labels.shape[1]
        else:
            count = int(max(self.labels.max(initial=-1), self.predicted.max(initial=-1))) + 1
        return tuple(map(str, range(count)))


@dataclass(frozen=True, kw_only=True)
class Metric(Component):
    """A number that says how good the stored predictions of a split are.

    It is computed when results are read, never during a run: what selects on val and ranks on
    test is the core's own.

    Attributes:
        compute: `compute(answers, *, ...)` returns a number from a split's `bench.Answers`, or NaN
            where these say nothing about it. It raises `bench.DataError` where they lack what it
            needs, such as probabilities.
        per_item: `per_item(answers, *, ...)` returns a value for each item, (N,) float. In place of
            `compute`, for a metric that is the mean of these: its intervals and paired tests then
            need no resampling.
        tasks: what it suits.
        lower_is_better: whether less is better.
        bounds: the least and the greatest value that it can have.
        reference: `reference(answers, *, ...)` returns the same number by other means, from the
            same answers and params: a published library, or the definition written out. Only
            `bench plugins check` and tests call it.
    """

    kind: ClassVar[str] = "metric"
    plural: ClassVar[str] = "metrics"

    compute: Callable[..., float] | None = None
    per_item: Callable[..., npt.NDArray[Any]] | None = None
    tasks: tuple[Task, ...] = tuple(Task)
    lower_is_better: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    reference: Callable[..., float] | None = None

    @property
    def factory(self) -> Callable[..., Any]:
        """The callable that computes it, or its items; None, which is refused, without either."""
        return self.compute or self.per_item  # type: ignore[return-value]

    def value(self, answers: Answers, params: Mapping[str, Any]) -> float:
        """Return the metric of some answers.

        Raises:
            DataError: they lack what it needs.
        """
        if self.compute is not None:
            return self.compute(answers, **params)
        assert self.per_item is not None
        return float(self.per_item(answers, **params).mean())
