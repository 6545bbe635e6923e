"""What a dataset's `load` returned: checked, and readable item by item.

Three forms come in (arrays, files, and sequences in the manner of torchvision) and one goes out:
a `Part` for each split, which gives the pixels and the label of one item at a time, so that a set
of any size is stored without ever being in memory as a whole.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench import decoding, hardware
from bench.decoding import Pixels, UnreadableImage
from bench.errors import BenchError, DataError, PluginError
from bench.specs import Files, Splits, Task
from bench.text import one_line

SPLITS = ("train", "val", "test")
EXAMPLES = 2
DEFAULT_EDGE = 224
"""Images that differ in size are stored no larger than this unless somebody asks for it."""

Labels = npt.NDArray[Any]


class Part(Protocol):
    """One split on its way into the store.

    Attributes:
        where: how messages name it.
        labels: (N,) int64 or (N, C) uint8; None until every item was read, or where none has any.
        threaded: whether several threads may read at a time.
    """

    where: str
    labels: Labels | None
    threaded: bool

    def __len__(self) -> int:
        """Return the number of items."""

    def read(self, index: int) -> tuple[Pixels, Any]:
        """Return an item's pixels, (H, W) or (H, W, 3), and its label, None where it has none."""

    def name(self, index: int) -> str:
        """Return how an item is called."""


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
class ArrayPart:
    """Images (N, H, W) or (N, H, W, C) uint8, and their labels."""

    where: str
    images: npt.NDArray[np.uint8]
    labels: Labels | None
    threaded: bool = True

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.images)

    def read(self, index: int) -> tuple[Pixels, Any]:
        """Return an item's pixels and label."""
        pixels = self.images[index]
        label = None if self.labels is None else self.labels[index]
        return pixels[..., 0] if pixels.shape[2:] == (1,) else pixels, label

    def name(self, index: int) -> str:
        """Return the item's place."""
        return f"item {index}"


@dataclass
class FilesPart:
    """Image files and their labels."""

    where: str
    files: Files
    labels: Labels | None
    threaded: bool = True

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.files)

    def read(self, index: int) -> tuple[Pixels, Any]:
        """Decode a file."""
        label = None if self.labels is None else self.labels[index]
        return decoding.read_image(Path(self.files.paths[index])), label

    def name(self, index: int) -> str:
        """Return the file's name, as the plugin gave it, or its path."""
        return str((self.files.names or self.files.paths)[index])


@dataclass
class SequencePart:
    """A sequence of (PIL image or array, integer), which may be anything behind that."""

    where: str
    content: Any
    labels: Labels | None = None
    threaded: bool = False

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.content)

    def read(self, index: int) -> tuple[Pixels, Any]:
        """Ask for an item and check it."""
        item = f"{self.where}: item {index}"
        try:
            pair = self.content[index]
        except BenchError:
            raise
        except Exception as error:  # whatever a plugin or a picture's decoder raises
            raise DataError(_unreadable(item, error)) from error
        try:
            image, label = pair
        except (TypeError, ValueError) as error:
            raise PluginError(f"{item} is no pair of image and label") from error
        try:
            is_picture = isinstance(image, Image.Image)
            pixels = decoding.to_pixels(image) if is_picture else np.asarray(image)
        except Exception as error:
            raise DataError(_unreadable(item, error)) from error
        if pixels.ndim == 3 and pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        if pixels.ndim < 2:
            raise PluginError(f"{item} is no image but {type(image).__name__}")
        if pixels.ndim > 3 or pixels.shape[2:] not in ((), (3,)):
            raise PluginError(
                f"{item} has shape {pixels.shape}; (H, W), (H, W, 1) or (H, W, 3) is needed"
            )
        if pixels.dtype != np.uint8:
            raise PluginError(f"{item} is {pixels.dtype}; uint8 is needed")
        if not pixels.size:
            raise PluginError(f"{item} has no pixels: shape {pixels.shape}")
        return pixels, _one_label(label, item)

    def name(self, index: int) -> str:
        """Return the item's place."""
        return f"item {index}"


def leave_out(splits: Any, exclude: frozenset[str]) -> Any:
    """Return splits without the files of these names or paths."""
    if not isinstance(splits, Splits) or not exclude:
        return splits

    def kept(content: Any) -> Any:
        return _without(content, exclude) if isinstance(content, Files) else content

    return dataclasses.replace(
        splits, train=kept(splits.train), val=kept(splits.val), test=kept(splits.test)
    )


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


def part_of(content: Any, where: str, *, labelled: bool = True) -> Part:
    """Return a split in whatever form it came, which may be empty.

    Args:
        content: arrays, files or a sequence.
        where: how messages name the split.
        labelled: whether its items must have labels.

    Raises:
        PluginError: it has no form that is known, or not as many labels as images.
    """
    if isinstance(content, Files):
        if content.names and len(content.names) != len(content):
            raise PluginError(
                f"{where} has {len(content)} files, but {len(content.names)} names for them"
            )
        return FilesPart(where, content, _labels_of(content.labels, len(content), where, labelled))
    if isinstance(content, tuple | list) and len(content) == 2 and hasattr(content[0], "dtype"):
        images = np.asarray(content[0])
        shape = images.shape
        if images.ndim not in (3, 4) or (images.ndim == 4 and shape[-1] not in (1, 3)):
            raise PluginError(
                f"{where} images have shape {shape}; "
                "(N, H, W), (N, H, W, 1) or (N, H, W, 3) is needed"
            )
        if images.dtype != np.uint8:
            raise PluginError(f"{where} images are {images.dtype}; uint8 is needed")
        if len(images) and not images.size:
            raise PluginError(f"{where} images have no pixels: shape {shape}")
        return ArrayPart(where, images, _labels_of(content[1], len(images), where, labelled))
    if hasattr(content, "__len__") and hasattr(content, "__getitem__"):
        return SequencePart(where, content)
    raise PluginError(
        f"{where} is {type(content).__name__}; it must be a pair of arrays, bench.Files "
        "or a sequence of (image, label)"
    )


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


@dataclass
class Survey:
    """What the headers of a dataset's images tell.

    Attributes:
        shapes: None where only reading the images would tell.
        bad: by split, the files that are no images, with what is wrong.
    """

    shapes: Shapes | None
    bad: dict[str, dict[int, str]] = field(default_factory=dict)


def survey(parts: Mapping[str, Part], *, read: bool = False) -> Survey:
    """Look at sizes and channels; with `read`, at the price of decoding where nothing else tells.

    Raises:
        BenchError: an item that is no file cannot be read.
    """
    sizes: list[npt.NDArray[np.int64]] = []
    bad: dict[str, dict[int, str]] = {}
    for split, part in parts.items():
        if isinstance(part, ArrayPart):
            height, width = part.images.shape[1:3]
            gray = part.images.ndim == 3 or part.images.shape[3] == 1
            sizes.append(np.array([[height, width, gray]]).repeat(len(part), 0))
        elif isinstance(part, FilesPart):
            found, bad[split] = _headers(part)
            sizes.append(found)
        elif read:
            pixels = (part.read(index)[0] for index in range(len(part)))
            sizes.append(np.array([[*array.shape[:2], array.ndim == 2] for array in pixels]))
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


def refuse(part: Part, bad: Mapping[int, str], *, all_known: bool) -> DataError:
    """Return the error that names the files of a split that cannot be read."""
    first, *others = bad
    if isinstance(part, FilesPart):
        text = f"`{part.files.paths[first]}` {bad[first]}"
    else:
        text = bad[first]
    if others:
        examples = "".join(f"; `{part.name(i)}` {bad[i]}" for i in others[:EXAMPLES])
        dots = "; ..." if len(others) > EXAMPLES else ""
        text = f"{len(bad)} of {len(part):,} images cannot be read: {text}{examples}{dots}"
    if not all_known:
        text += " (there may be others)"
    return DataError(
        f"{text}; `--on-bad skip` leaves such files out, `bench data check` finds them all"
    )


def _labels_of(values: Any, count: int, where: str, labelled: bool) -> Labels | None:
    if not labelled and (values is None or len(values) == 0):
        return None
    return _labels(values, count, where)


def _labels(values: Any, count: int, where: str) -> Labels:
    labels = np.asarray(values)
    if labels.ndim not in (1, 2) or len(labels) != count:
        raise PluginError(f"{where} has {count} images, but labels of shape {labels.shape}")
    if count and not np.issubdtype(labels.dtype, np.integer):
        raise PluginError(f"{where} labels are {labels.dtype}; integers are needed")
    if labels.ndim == 1:
        return labels.astype(np.int64)
    if labels.size and (labels.min() < 0 or labels.max() > 1):
        wrong = labels.max() if labels.max() > 1 else labels.min()
        raise PluginError(f"{where} holds {wrong} among labels of 0 and 1 by class")
    return labels.astype(np.uint8)


def _one_label(label: Any, item: str) -> Any:
    try:
        return operator.index(label)
    except TypeError:
        values = np.asarray(label)
        if values.ndim == 1 and np.issubdtype(values.dtype, np.integer):
            return values.astype(np.uint8)
        raise PluginError(
            f"{item} has label {label!r}; an integer, or 0 and 1 by class, is needed"
        ) from None


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


def _headers(part: FilesPart) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    def look(index: int) -> tuple[int, int, bool] | str:
        try:
            header = decoding.read_header(Path(part.files.paths[index]))
        except UnreadableImage as error:
            return error.why
        return header.height, header.width, header.gray

    with ThreadPoolExecutor(hardware.cpu_count()) as pool:
        found = list(pool.map(look, range(len(part)), chunksize=256))
    sizes = [facts for facts in found if not isinstance(facts, str)]
    bad = {index: facts for index, facts in enumerate(found) if isinstance(facts, str)}
    return np.array(sizes, np.int64).reshape(-1, 3), bad


def _spread(lengths: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    return int(lengths.min()), int(np.median(lengths)), int(lengths.max())


def _unreadable(item: str, error: Exception) -> str:
    return f"{item} cannot be read: {one_line(f'{type(error).__name__}: {error}')}"


Progress = Callable[[int, int], None]
"""Takes how many items were done, and how many there are."""
