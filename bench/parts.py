"""One split of a dataset, readable item by item, whatever form its plugin gave it.

Three forms come in: arrays, files, and sequences in the manner of torchvision. A `Part` gives the
pixels and the label of one item at a time, so that a set of any size is stored without ever being
in memory as a whole.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench import decoding
from bench.decoding import Pixels
from bench.errors import BenchError, DataError, PluginError
from bench.specs import Files
from bench.text import one_line

EXAMPLES = 2
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
        except (Exception, SystemExit) as error:  # whatever a plugin or a decoder raises
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


def refuse(part: Part, bad: Mapping[int, str], *, all_known: bool) -> DataError:
    """Return the error that names the files of a split that cannot be read."""
    first, *others = sorted(bad)
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


def _unreadable(item: str, error: BaseException) -> str:
    return f"{item} cannot be read: {one_line(f'{type(error).__name__}: {error}')}"
