"""What changes a network, and what changes the images that it learns from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.specs.component import Component
from bench.specs.data import SINGLE_LABEL, Task


@dataclass(frozen=True, kw_only=True)
class Optimizer(Component):
    """A rule that updates weights.

    Attributes:
        build: `build(model, *, lr=..., ...)` returns a `torch.optim.Optimizer`. It takes the
            model, not its parameters, since some optimizers split them by shape.
    """

    kind: ClassVar[str] = "optimizer"
    plural: ClassVar[str] = "optimizers"

    build: Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Schedule(Component):
    """How the learning rate moves during a run.

    Attributes:
        build: `build(steps, steps_per_epoch, *, ...)` returns factors of the optimizer's base
            learning rate: a sequence of `steps`, one for each training step; or, where they
            depend on how training goes, a function that takes the finished epochs (a sequence of
            `bench.EpochMetrics`, empty at first) and returns the factor of the next one. It is to
            depend on nothing else, so that a run that is resumed goes on as it would have.
    """

    kind: ClassVar[str] = "schedule"
    plural: ClassVar[str] = "schedules"

    build: Callable[..., Sequence[float] | Callable[..., float]]


@dataclass(frozen=True, kw_only=True)
class Loss(Component):
    """What training minimises.

    Attributes:
        build: `build(num_classes, *, ...)` returns a callable that maps logits (N, C) float and
            labels to a scalar tensor, the mean over the batch. Labels are (N,) int64; or (N, C)
            float where they were mixed by an augmentation, or the task is multi-label. A second
            parameter of that name, `build(num_classes, class_counts, *, ...)`, gets the number of
            training images of each class, a sequence of C integers.
        tasks: what it suits.
        default_tasks: with `default`, the tasks of which it is the default; all it suits where
            empty.
    """

    kind: ClassVar[str] = "loss"
    plural: ClassVar[str] = "losses"

    build: Callable[..., Any]
    tasks: tuple[Task, ...] = SINGLE_LABEL
    default_tasks: tuple[Task, ...] = ()

    def arguments(self, class_counts: Sequence[int]) -> tuple[Any, ...]:
        """Return what `build` is called with, given the training images of each class."""
        known = (len(class_counts), class_counts)
        return known if "class_counts" in inspect.signature(self.build).parameters else known[:1]

    def is_default(self, task: Task | None) -> bool:
        """Return whether this is used for a task where the user names no loss."""
        return self.default and (task is None or task in (self.default_tasks or self.tasks))


@dataclass(frozen=True, kw_only=True)
class Augmentation(Component):
    """Changes to training images that leave their meaning as it is.

    Attributes:
        build: `build(image_shape, image_kind, *, ...)` returns the transforms to apply, in order;
            see `bench.engine.augment` for what a transform is. `image_shape` is (C, H, W) of what
            the model gets, `image_kind` an `ImageKind`.
    """

    kind: ClassVar[str] = "augmentation"
    plural: ClassVar[str] = "augmentations"

    build: Callable[..., Sequence[Any]]
