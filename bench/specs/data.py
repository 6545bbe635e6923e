"""Datasets: images with labels, and what is to be said of them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from bench.specs.component import Component


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
