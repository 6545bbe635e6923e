"""What a dataset's `load` returned, checked as a whole: its splits, classes and sizes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import decoding, hardware
from bench.decoding import Pixels, UnreadableImage
from bench.errors import ConfigError, DataError, PluginError
from bench.parts import ArrayPart, FilesPart, Labels, Part, part_of
from bench.specs import Files, Splits, Task

SPLITS = ("train", "val", "test")
HEADERS = 4096
"""Files whose headers are read before the next are asked for."""
DEFAULT_EDGE = 224
"""Images that differ in size are stored no larger than this unless somebody asks for it."""
Progress = Callable[[int, int], None]
"""Takes how many items were done, and how many there are."""


def advance(progress: Progress, before: int, total: int, count: int) -> None:
    """Tell how far a split is that comes after others."""
    progress(before + count, total)


def unwatched(done: int, total: int) -> None:
    """Be the progress that nobody looks at."""


@dataclass
class Shapes:
    """What is known of the images of a dataset before they are brought to one size.

    Attributes:
        uniform: height and width, where all images share them.
        gray: whether all images have one channel.
        edge: median of the shorter edges, pixels.
        heights: smallest, median and largest.
        widths: likewise.
    """

    uniform: tuple[int, int] | None
    gray: bool
    edge: int
    heights: tuple[int, int, int] = (0, 0, 0)
    widths: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def of_one(cls, pixels: Pixels) -> Shapes:
        """Return what holds where all images are like this one."""
        height, width = pixels.shape[:2]
        gray = pixels.ndim == 2
        return cls((height, width), gray, min(height, width), (height,) * 3, (width,) * 3)


@dataclass
class Intake:
    """A dataset on its way into the store.

    Attributes:
        classes: empty until the labels are known, where the plugin names none.
        unlabelled: number of images that are there to be predicted.
    """

    where: str
    parts: dict[str, Part]
    classes: tuple[str, ...]
    taxonomy: tuple[tuple[str, ...], ...]
    image_size: int | None
    unlabelled: int = 0


@dataclass
class Survey:
    """What the headers of a dataset's images tell.

    Attributes:
        shapes: None where only reading the images would tell.
        bad: by split, the files that are no images, with what is wrong.
    """

    shapes: Shapes | None
    bad: dict[str, dict[int, str]] = field(default_factory=dict)


def leave_out(splits: Any, exclude: frozenset[str], where: str) -> tuple[Any, int, list[str]]:
    """Return splits without the files of these names or paths.

    With them come how many files were left out, and the names that are those of none.

    Raises:
        ConfigError: the dataset has no files.
    """
    if not isinstance(splits, Splits) or not exclude:
        return splits, 0, []
    kept = {split: getattr(splits, split) for split in SPLITS}
    if not any(isinstance(content, Files) for content in kept.values()):
        raise ConfigError(f"{where} holds no files that `--exclude` could name; leave it out")
    count = 0
    unknown = set(exclude)
    for split, content in kept.items():
        if isinstance(content, Files):
            kept[split] = _without(content, exclude)
            count += len(content) - len(kept[split])
            unknown -= {*content.names, *map(str, content.paths)}
    return dataclasses.replace(splits, **kept), count, sorted(unknown)


def receive(splits: Any, where: str) -> Intake:
    """Check what a plugin returned, as far as that goes without reading the images.

    Args:
        splits: what `load` returned.
        where: the dataset and its plugin, for messages.

    Raises:
        PluginError: naming the plugin, the split and the offending value.
        DataError: nothing is left.
    """
    if not isinstance(splits, Splits):
        raise PluginError(f"{where} returned {type(splits).__name__}, not bench.Splits")
    parts: dict[str, Part] = {}
    for split in SPLITS:
        content = getattr(splits, split)
        if content is None:
            if split == "train":
                raise PluginError(f"{where} has no train split")
            continue
        parts[split] = part_of(content, f"{where}: {split}")
        if len(parts[split]) == 0:
            raise PluginError(f"{where}: {split} is empty")
    taxonomy = tuple(tuple(map(str, path)) for path in splits.taxonomy)
    classes = tuple(str(name) for name in splits.classes)
    if taxonomy and len(taxonomy) != len(classes):
        raise PluginError(
            f"{where} has {len(classes)} classes, but a taxonomy of {len(taxonomy)} paths"
        )
    unlabelled = len(splits.unlabelled) if splits.unlabelled is not None else 0
    return Intake(where, parts, classes, taxonomy, splits.image_size, unlabelled)


def class_names(intake: Intake, labels: Mapping[str, Labels]) -> tuple[str, ...]:
    """Return the class names, and raise PluginError where a label does not fit them."""
    where = intake.where
    for split, values in labels.items():
        if values.ndim != labels["train"].ndim:
            raise PluginError(f"{where}: {split} and train are labelled in different ways")
    if labels["train"].ndim == 2:
        return _multi_label_names(intake, labels)
    count = len(intake.classes) or int(labels["train"].max()) + 1
    if count < 2:
        raise PluginError(f"{where} has {count} class; two or more are needed")
    for split, values in labels.items():
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= count:
            wrong = low if low < 0 else high
            raise PluginError(
                f"{where}: {split} holds label {wrong}, "
                f"but {count} classes are labelled 0 to {count - 1}"
            )
    return intake.classes or tuple(map(str, range(count)))


def task_of(labels: Labels, classes: Sequence[str], taxonomy: Sequence[Sequence[str]]) -> Task:
    """Return what the labels of a dataset ask for."""
    if labels.ndim == 2:
        return Task.MULTI_LABEL
    if taxonomy:
        return Task.HIERARCHICAL
    return Task.BINARY if len(classes) == 2 else Task.MULTI_CLASS


def survey(
    parts: Mapping[str, Part], progress: Progress = unwatched, *, read: bool = False
) -> Survey:
    """Look at sizes and channels; with `read`, at the price of decoding where nothing else tells.

    Raises:
        BenchError: an item that is no file cannot be read.
    """
    sizes: list[npt.NDArray[np.int64]] = []
    total = sum(map(len, parts.values()))
    bad: dict[str, dict[int, str]] = {}
    for split, part in parts.items():
        if isinstance(part, ArrayPart):
            height, width = part.images.shape[1:3]
            gray = part.images.ndim == 3 or part.images.shape[3] == 1
            sizes.append(np.array([[height, width, gray]]).repeat(len(part), 0))
        elif isinstance(part, FilesPart) and not read:
            tell = functools.partial(advance, progress, sum(map(len, sizes)), total)
            found, bad[split] = _headers(part, tell)
            sizes.append(found)
        elif read:
            found, bad[split] = _read_sizes(part)
            sizes.append(found)
        else:
            return Survey(None)
    table = np.concatenate(sizes)
    if not len(table):
        return Survey(Shapes(None, True, DEFAULT_EDGE), bad)
    heights, widths, gray = table.T
    same = len(np.unique(heights)) == 1 and len(np.unique(widths)) == 1
    uniform = (int(heights[0]), int(widths[0])) if same else None
    edge = int(np.median(np.minimum(heights, widths)))
    shapes = Shapes(uniform, bool(gray.all()), edge, _spread(heights), _spread(widths))
    return Survey(shapes, bad)


def _multi_label_names(intake: Intake, labels: Mapping[str, Labels]) -> tuple[str, ...]:
    width = labels["train"].shape[1]
    for split, values in labels.items():
        if values.shape[1] != width or (intake.classes and len(intake.classes) != width):
            raise PluginError(
                f"{intake.where}: {split} has {values.shape[1]} labels an image, train has {width} "
                f"and {len(intake.classes)} are named"
            )
    return intake.classes or tuple(map(str, range(width)))


def _without(files: Files, exclude: frozenset[str]) -> Files:
    names = files.names or [str(path) for path in files.paths]
    kept = [
        index
        for index, (path, name) in enumerate(zip(files.paths, names, strict=True))
        if name not in exclude and str(path) not in exclude
    ]
    labels = np.asarray(files.labels)
    return Files(
        [files.paths[index] for index in kept],
        labels[kept] if len(labels) else labels,
        [names[index] for index in kept] if files.names else (),
    )


def first_shapes(part: Part) -> Shapes:
    """Return what the first image of a split makes likely of all.

    Raises:
        DataError: none can be read.
    """
    why = ""
    for index in range(len(part)):
        try:
            return Shapes.of_one(part.read(index)[0])
        except DataError as error:
            why = why or str(error)
    raise DataError(why)


def _headers(
    part: FilesPart, progress: Callable[[int], None]
) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    """Return height, width and grayness by the headers, (N, 3), and what is wrong by place."""
    sizes = np.zeros((len(part), 3), np.int64)
    bad: dict[int, str] = {}

    def look(index: int) -> None:
        try:
            header = decoding.read_header(Path(part.files.paths[index]))
        except UnreadableImage as error:
            bad[index] = error.why
        else:
            sizes[index] = header.height, header.width, header.gray

    with ThreadPoolExecutor(hardware.cpu_count()) as pool:
        for start in range(0, len(part), HEADERS):
            stop = min(start + HEADERS, len(part))
            for _ in pool.map(look, range(start, stop)):
                pass
            progress(stop)
    return np.delete(sizes, sorted(bad), 0), dict(sorted(bad.items()))


def _read_sizes(part: Part) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    """Return the same by reading every image."""
    sizes = np.zeros((len(part), 3), np.int64)
    bad: dict[int, str] = {}
    for index in range(len(part)):
        try:
            pixels, _ = part.read(index)
        except DataError as error:
            bad[index] = error.why if isinstance(error, UnreadableImage) else str(error)
        else:
            sizes[index] = *pixels.shape[:2], pixels.ndim == 2
    return np.delete(sizes, sorted(bad), 0), bad


def _spread(lengths: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    return int(lengths.min()), int(np.median(lengths)), int(lengths.max())
