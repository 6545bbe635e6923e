"""What a plugin offers: one frozen dataclass for each kind of component.

Every kind has the same shape: a name, a factory (`build`, or `load` for a dataset) whose
keyword-only defaults are both the documented params and the untuned baseline, an optional
`suggest(trial)` that returns overrides of those params, and a one-line description.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

if TYPE_CHECKING:
    from bench.decoding import Interpolation

UNFIT_FOR_NAMES = re.compile(r"[,@\x00-\x1f\x7f-\x9f]")
"""Commas separate names, an `@` stands before a plugin's name."""


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
    addressed: ClassVar[tuple[str, ...]] = ()

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

    def is_default(self, task: Task | None) -> bool:
        """Return whether this is used where the user names none of its kind."""
        return self.default

    @property
    def is_source(self) -> bool:
        """Whether users write `NAME:TEXT`, which says what to take."""
        return getattr(self, "address", None) is not None

    def at(self, text: str) -> Self:
        """Return this source with what stands after its colon as the default of `path`."""
        path = self.address(text)  # type: ignore[attr-defined]
        # What people call it: the last part of a path or an address, its checksum left out.
        short = text.partition("#")[0].rstrip("/").rpartition("/")[2] or text
        factories = {name: getattr(self, name) for name in self.addressed}
        bound: dict[str, Any] = {
            name: functools.partial(factory, path=path)
            for name, factory in factories.items()
            if callable(factory)
        }
        return dataclasses.replace(
            self,
            name=f"{self.name}:{UNFIT_FOR_NAMES.sub('_', short)}",
            aliases=(self.name, *self.aliases),
            **bound,
        )

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


class Task(enum.StrEnum):
    """What is to be said of an image.

    Binary and multi-class: one of two or more classes. Multi-label: any number of labels, none
    included. Hierarchical: one class, which is a leaf of a tree, scored at every level.
    """

    BINARY = "binary"
    MULTI_CLASS = "multi-class"
    MULTI_LABEL = "multi-label"
    HIERARCHICAL = "hierarchical"


SINGLE_LABEL = (Task.BINARY, Task.MULTI_CLASS, Task.HIERARCHICAL)
"""The tasks in which an image has exactly one label."""


class ImageKind(enum.StrEnum):
    """What turning an image does to its meaning; presets of augmentations go by it.

    Photo: a mirror image means the same. Symbol: it does not, as with digits, letters and traffic
    signs. Overhead: any turn means the same, as with satellite images and microscopy.
    """

    PHOTO = "photo"
    SYMBOL = "symbol"
    OVERHEAD = "overhead"


@dataclass(frozen=True, kw_only=True)
class DatasetHints:
    """What is known of a dataset before it is loaded; used for estimates and default losses.

    Attributes:
        train: images in the training split.
        test: images in the test split; 0 where a part of train takes its place.
        image_size: height and width, pixels.
        channels: 1 or 3.
        val: images in the val split; 0 where a part of train takes its place.
        task: what is to be said of an image.
    """

    train: int
    test: int
    image_size: int
    channels: int = 3
    val: int = 0
    task: Task = Task.MULTI_CLASS


@dataclass(frozen=True)
class Files:
    """Image files with labels: one of the forms of a split.

    Attributes:
        paths: the files, decoded by the core: EXIF orientation is applied, alpha is laid over
            white, 16-bit gray is cut to 8 bits, and of an animation the first frame counts.
        labels: (N,) integers in 0 .. C-1, or (N, C) of 0 and 1 where an image may have any number
            of labels. Empty where there are none, as in a set to be predicted.
        names: what messages, lists of files and predictions call the items; the paths where empty.
    """

    paths: Sequence[Path]
    labels: Any
    names: Sequence[str] = ()

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)


@dataclass(frozen=True)
class Splits:
    """What a dataset's `load` returns.

    Each split is a pair of arrays, images (N, H, W) or (N, H, W, C) uint8 and labels; or `Files`;
    or any torchvision-style dataset: a sequence of pairs of a PIL image or uint8 array and an
    integer. Labels are (N,) integers in 0 .. C-1, or (N, C) of 0 and 1 for a multi-label task.

    The order of the items does not matter: they are stored in an order of their own, which
    depends on nothing but their content.

    Attributes:
        train: the images to learn from.
        test: the images to report on; where None, a stratified part of `train` takes its place.
        val: the images to select on; where None, a stratified part of `train` takes its place.
        classes: class names in the order of their labels; where empty, the labels themselves.
        taxonomy: for a hierarchical task, the path from the top of the tree to each class, in the
            order of the labels; the last step of each is the class itself.
        image_size: height and width to store images at that differ in size, where the user names
            none; by default the median of their shorter edges, at most 224.
        unlabelled: images without labels, to be predicted.
    """

    train: Any
    test: Any = None
    val: Any = None
    classes: Sequence[str] = ()
    taxonomy: Sequence[Sequence[str]] = ()
    image_size: int | None = None
    unlabelled: Files | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset(Component):
    """Images with labels.

    Attributes:
        load: `load(data_dir, *, ...)` returns `Splits`. `data_dir` is the folder the user named
            with `--data-dir`, or None.
        locate: `locate(data_dir, *, ...)` returns the files that `load` would read, without
            reading them; empty where they are not at hand. None for data inside the package.
        recommends: protocol fields that suit this dataset, for example `{"epochs": 5}`.
        hints: sizes for estimates; or `hints(data_dir, *, ...)`, which returns them from a quick
            look at what is at hand, or None.
        address: makes this dataset a source: users write `NAME:TEXT`, and `address(TEXT)` is what
            `load`, `locate` and `hints` get as their param `path`, for example an absolute path.
    """

    kind: ClassVar[str] = "dataset"
    plural: ClassVar[str] = "datasets"
    addressed: ClassVar[tuple[str, ...]] = ("load", "locate", "hints")

    load: Callable[..., Splits]
    locate: Callable[..., Sequence[Path]] | None = None
    recommends: Mapping[str, Any] = field(default_factory=dict)
    hints: DatasetHints | Callable[..., DatasetHints | None] | None = None
    address: Callable[[str], str] | None = None

    @property
    def factory(self) -> Callable[..., Splits]:
        """The callable that loads the splits."""
        return self.load

    def hints_at(self, data_dir: Path | None, params: Mapping[str, Any]) -> DatasetHints | None:
        """Return what is known of the dataset before it is loaded."""
        return self.hints(data_dir, **params) if callable(self.hints) else self.hints


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
        interpolation: how its own training resized images.
    """

    family: str
    parameters: int | None = None
    macs: int | None = None
    layers: int | None = None
    input_size: int | None = None
    smallest_size: int | None = None
    interpolation: Interpolation | None = None


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How the training that made a model's weights saw its images.

    Attributes:
        mean: by channel, in [0, 1].
        std: by channel, in [0, 1].
        size: height and width, pixels; None where the model does not mind.
        interpolation: how images were resized.
    """

    mean: Sequence[float]
    std: Sequence[float]
    size: int | None = None
    interpolation: Interpolation | None = None


@dataclass(frozen=True, kw_only=True)
class Model(Component):
    """A network.

    Attributes:
        build: `build(num_classes, input_shape, *, ...)` returns a `torch.nn.Module` that maps
            float images (N, C, H, W) to logits (N, num_classes). `input_shape` is (C, H, W).
        hints: sizes for listings and estimates.
        preprocessing: `preprocessing(*, ...)`, with the params of `build`, returns the model's own
            `Preprocessing`: what `--normalize model` asks for, and what training that starts from
            weights uses unless these name their own.
        pretrained: `pretrained(input_shape, *, ...)`, with the params of `build`, returns the
            model's published weights, fetched if need be: tensors by the names of the network's
            `state_dict`, those of its classifier included.
        layers: `layers(network)` returns the names of all its parameters in groups, from the
            input to the logits, for learning rates and freezing by layer; by default the groups
            are the network's children, in the order in which it defines them.
    """

    kind: ClassVar[str] = "model"
    plural: ClassVar[str] = "models"

    build: Callable[..., Any]
    hints: ModelHints | None = None
    preprocessing: Callable[..., Preprocessing] | None = None
    pretrained: Callable[..., Mapping[str, Any]] | None = None
    layers: Callable[[Any], Sequence[Sequence[str]]] | None = None

    def with_params(self, params: Mapping[str, Any]) -> Model:
        """Return this model with its params bound."""
        bound: dict[str, Any] = {
            name: functools.partial(factory, **params)
            for name in ("build", "preprocessing", "pretrained")
            if (factory := getattr(self, name)) is not None
        }
        return dataclasses.replace(self, **bound)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where weights come from, found without loading them.

    Attributes:
        files: what is read; their content is part of a run's identity.
        preprocessing: how images were seen; None where that is the model's own affair.
        classes: what the logits stood for, in their order; empty where that is not known. A head
            that was trained for other classes is not taken over.
    """

    files: Sequence[Path] = ()
    preprocessing: Preprocessing | None = None
    classes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Weights(Component):
    """Weights that training starts from, in place of random ones.

    Attributes:
        load: `load(model, input_shape, files, *, ...)` returns tensors by the names of the
            network's `state_dict`. `model` is the `Model` with its params bound, `input_shape` is
            (C, H, W), and `files` are those that `origin` named.
        origin: `origin(model, results, *, ...)` returns their `Origin`. It imports no torch;
            `results` is the folder of earlier runs.
        address: makes this a source: users write `NAME:TEXT`, and `address(TEXT)` is what `load`
            and `origin` get as their param `path`.
        suffixes: of a source, endings of files for which `NAME:` may be left out.
    """

    kind: ClassVar[str] = "weights"
    plural: ClassVar[str] = "weights"
    addressed: ClassVar[tuple[str, ...]] = ("load", "origin")

    load: Callable[..., Mapping[str, Any]]
    origin: Callable[..., Origin] | None = None
    address: Callable[[str], str] | None = None
    suffixes: tuple[str, ...] = ()

    @property
    def factory(self) -> Callable[..., Mapping[str, Any]]:
        """The callable that loads the tensors."""
        return self.load


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


class ExecutorSession(Protocol):
    """A pool of workers that carries out jobs; what an executor's `build` returns."""

    @property
    def slots(self) -> int:
        """How many jobs can be under way at once."""

    def submit(self, job: Any) -> None:
        """Start a `bench.records.Job` on a free worker."""

    def poll(self, timeout: float) -> Iterable[Any]:
        """Wait at most `timeout` seconds and return the `bench.records.JobEvent`s so far."""

    def interrupt(self, job_id: str) -> None:
        """Ask a run to save its state and end, as `bench.engine.worker.interrupt` does there.

        It reports how it ended, which may be well if it was about to.
        """

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
    spec.kind: spec
    for spec in (Dataset, Model, Weights, Optimizer, Schedule, Loss, Augmentation, Executor)
}
"""Every kind of component, in the order in which listings show them."""
