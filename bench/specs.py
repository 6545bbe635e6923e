"""What a plugin offers: one frozen dataclass for each kind of component.

Every kind has the same shape: a name, a factory (`build`, or `load` for a dataset) whose
keyword-only defaults are both the documented params and the untuned baseline, an optional
`suggest(trial)` that returns overrides of those params, and a one-line description.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True, kw_only=True)
class Component:
    """What all kinds have in common.

    Attributes:
        name: what users type. Any text without commas, `@` and control characters.
        suggest: takes an Optuna trial and returns overrides of the factory's params.
        description: one line; the first line of the factory's docstring where left empty.
        aliases: further names that mean this component.
        pins: protocol fields that this component fixes, for example `{"batch_size": 1}`.
        preload: modules that the factory imports; workers import them once, ahead of time.
        default: whether this component is used where the user names none of its kind.
    """

    kind: ClassVar[str]
    plural: ClassVar[str]

    name: str
    suggest: Callable[[Any], dict[str, Any]] | None = None
    description: str = ""
    aliases: tuple[str, ...] = ()
    pins: Mapping[str, Any] = field(default_factory=dict)
    preload: tuple[str, ...] = ()
    default: bool = False

    @property
    def factory(self) -> Callable[..., Any]:
        """The callable that makes the real thing."""
        build: Callable[..., Any] = self.build  # type: ignore[attr-defined]
        return build

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """The factory's keyword-only params with their default values."""
        parameters = inspect.signature(self.factory).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def summary(self) -> str:
        """The description, or the first line of the factory's docstring."""
        if self.description:
            return self.description
        documented: Any = self.factory
        while isinstance(documented, functools.partial):
            documented = documented.func
        lines = (inspect.getdoc(documented) or "").splitlines()
        return lines[0] if lines else ""


@dataclass(frozen=True, kw_only=True)
class DatasetHints:
    """What is known of a dataset before it is loaded; used for estimates only.

    Attributes:
        train: images in the training split.
        test: images in the test split.
        image_size: height and width, pixels.
        channels: 1 or 3.
    """

    train: int
    test: int
    image_size: int
    channels: int = 3


@dataclass(frozen=True)
class Splits:
    """What a dataset's `load` returns.

    Each split is either a pair of arrays, images (N, H, W) or (N, H, W, C) uint8 and labels
    (N,) of integers in 0 .. C-1, or any torchvision-style dataset: a sequence of pairs of a
    PIL image or uint8 array and an integer.

    Attributes:
        train: the images to learn from.
        test: the images to report on.
        val: the images to select on; where None, a stratified part of `train` takes its place.
        classes: class names in the order of their labels; where empty, the labels themselves.
        image_size: needed where images differ in size: each one's shorter side is resized to
            it and the centre cropped.
    """

    train: Any
    test: Any
    val: Any = None
    classes: Sequence[str] = ()
    image_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset(Component):
    """Images with labels.

    Attributes:
        load: `load(data_dir, *, ...)` returns `Splits`. `data_dir` is the folder the user named
            with `--data-dir`, or None.
        locate: `locate(data_dir, *, ...)` returns the files that `load` would read, without
            reading them; empty where they are not at hand. None for data inside the package.
        recommends: protocol fields that suit this dataset, for example `{"epochs": 5}`.
        hints: sizes for estimates.
    """

    kind: ClassVar[str] = "dataset"
    plural: ClassVar[str] = "datasets"

    load: Callable[..., Splits]
    locate: Callable[..., Sequence[Path]] | None = None
    recommends: Mapping[str, Any] = field(default_factory=dict)
    hints: DatasetHints | None = None

    @property
    def factory(self) -> Callable[..., Splits]:
        """The callable that loads the splits."""
        return self.load


@dataclass(frozen=True, kw_only=True)
class ModelHints:
    """What is known of a model before it is built; used for listings and estimates only.

    Attributes:
        family: the architecture's family, for example `resnet`.
        parameters: number of trainable parameters with 1,000 classes.
        macs: multiply-accumulates of one forward pass of one image at `input_size`.
        layers: modules that hold parameters.
        input_size: the height and width it was designed for, pixels.
        smallest_size: the smallest height and width that it takes, pixels.
    """

    family: str
    parameters: int | None = None
    macs: int | None = None
    layers: int | None = None
    input_size: int | None = None
    smallest_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Model(Component):
    """A network.

    Attributes:
        build: `build(num_classes, input_shape, *, ...)` returns a `torch.nn.Module` that maps
            float images (N, C, H, W) to logits (N, num_classes). `input_shape` is (C, H, W).
        hints: sizes for listings and estimates.
    """

    kind: ClassVar[str] = "model"
    plural: ClassVar[str] = "models"

    build: Callable[..., Any]
    hints: ModelHints | None = None


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
        build: `build(steps, steps_per_epoch, *, ...)` returns `steps` factors of the
            optimizer's base learning rate, one for each training step, fixed in advance.
    """

    kind: ClassVar[str] = "schedule"
    plural: ClassVar[str] = "schedules"

    build: Callable[..., Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Loss(Component):
    """What training minimises.

    Attributes:
        build: `build(num_classes, *, ...)` returns a callable that maps logits (N, C) float and
            labels (N,) int64 to a scalar tensor, the mean over the batch.
    """

    kind: ClassVar[str] = "loss"
    plural: ClassVar[str] = "losses"

    build: Callable[..., Any]


class ExecutorSession(Protocol):
    """A pool of workers that carries out jobs; what an executor's `build` returns."""

    @property
    def slots(self) -> int:
        """How many jobs can be under way at once."""

    def submit(self, job: Any) -> None:
        """Start a `bench.records.Job` on a free worker."""

    def poll(self, timeout: float) -> Iterable[Any]:
        """Wait at most `timeout` seconds and return the `bench.records.JobEvent`s so far."""

    def cancel(self, job_id: str) -> None:
        """Stop a job now, by force; no further event of it is reported."""

    def close(self, *, force: bool) -> None:
        """Stop all workers; with `force`, without waiting for what they are doing."""


@dataclass(frozen=True, kw_only=True)
class Executor(Component):
    """Where runs are carried out.

    Attributes:
        build: `build(workers, preload, *, ...)` returns an `ExecutorSession`. `workers` is the
            number of jobs at a time, `preload` the modules that workers should import first.
    """

    kind: ClassVar[str] = "executor"
    plural: ClassVar[str] = "executors"

    build: Callable[..., ExecutorSession]


KINDS: dict[str, type[Component]] = {
    spec.kind: spec for spec in (Dataset, Model, Optimizer, Schedule, Loss, Executor)
}
"""Every kind of component, in the order in which listings show them."""
