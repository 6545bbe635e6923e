"""The forms of a split, and what one look at one of its images tells."""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.decoding import Pixels, UnreadableImage, read_header, read_image, to_pixels
from bench.errors import DataError
from bench.specs import Files, Splits
from bench.text import one_line

THUMBNAIL = 32
"""Height and width of the thumbnails by which near duplicates are found, pixels."""

Labels = tuple[int, ...]

_EXIF_ORIENTATION = 0x0112
_WITH_EXIF = ("JPEG", "MPO", "TIFF")


@dataclass(frozen=True, slots=True)
class Item:
    """What is kept of one image.

    Attributes:
        split: `train`, `val`, `test` or `unlabelled`.
        index: its place in the split.
        name: what reports call it; no two items of a dataset have the same.
        labels: its one label, or all that apply to it in a multi-label task; None if unlabelled.
        path: the file, if it is one.
        why: why it cannot be read; empty if it can, and only then what follows is filled in.
        width: pixels, after the EXIF orientation is applied.
        height: likewise.
        mode: Pillow's mode, for example `RGB`.
        format: Pillow's name of the file's format; empty where there is no file.
        frames: more than 1 for an animation.
        size: bytes of the file.
        turned: whether its EXIF orientation turns or mirrors it.
        digest: hash of the decoded pixels; equal for a gray image and its copy in RGB.
    """

    split: str
    index: int
    name: str
    labels: Labels | None
    path: Path | None = None
    why: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    frames: int = 1
    size: int = 0
    turned: bool = False
    digest: bytes = b""


Look = tuple[Item, Pixels | None, npt.NDArray[np.int64] | None]
"""An item, its thumbnail, and its pixels by channel and value; None where it is unreadable."""


class Source:
    """One split in any of its forms."""

    parallel = True
    multi_label = False

    def __init__(self, split: str, labels: Any, count: int) -> None:
        self.split = split
        self.count = count
        self.labels = np.asarray([] if labels is None else labels)
        if self.labels.size == 0 and (split == "unlabelled" or not count):
            self.labels = np.empty((0,), np.int64)
        elif self.labels.ndim not in (1, 2) or len(self.labels) != count:
            raise DataError(
                f"`{split}` has {count:,} images, but labels of shape {self.labels.shape}; "
                "give one label, or one row of 0 and 1, for each image"
            )
        self.multi_label = self.labels.ndim == 2

    def __len__(self) -> int:
        return self.count

    def item(self, index: int) -> Item:
        """Return what is known before the picture is read."""
        labels = _labels(self.labels[index]) if len(self.labels) else None
        return Item(self.split, index, f"{self.split}[{index}]", labels)

    def read(self, index: int) -> tuple[Pixels, dict[str, Any]]:
        """Return the pixels and what else an item is to say."""
        raise NotImplementedError

    def look(self, index: int) -> Look:
        """Return an item, its thumbnail and its histogram."""
        item = self.item(index)
        try:
            pixels, facts = self.read(index)
            return _seen(item, pixels, facts)
        except Exception as error:  # a picture's decoder or a plugin's dataset may raise anything
            return replace(item, why=why_unreadable(error)), None, None


class _FileSource(Source):
    def __init__(self, split: str, files: Files) -> None:
        super().__init__(split, files.labels, len(files))
        self.files = files

    def item(self, index: int) -> Item:
        path = Path(self.files.paths[index])
        name = str(self.files.names[index]) if len(self.files.names) else str(path)
        return replace(super().item(index), name=name, path=path)

    def read(self, index: int) -> tuple[Pixels, dict[str, Any]]:
        path = Path(self.files.paths[index])
        header = read_header(path)
        facts = {
            "mode": header.mode,
            "format": header.format,
            "frames": header.frames,
            "size": path.stat().st_size,
            "turned": header.format in _WITH_EXIF and _turned(path),
        }
        return read_image(path), facts


class _ArraySource(Source):
    def __init__(self, split: str, images: Any, labels: Any) -> None:
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise DataError(
                f"`{split}` images are {images.dtype} of shape {images.shape}; "
                "uint8 of (N, H, W) or (N, H, W, C) is needed"
            )
        super().__init__(split, labels, len(images))
        self.images = images

    def read(self, index: int) -> tuple[Pixels, dict[str, Any]]:
        return np.asarray(self.images[index]), {}


class _SequenceSource(Source):
    """A dataset in the manner of torchvision; nothing says that threads may share it."""

    parallel = False

    def __init__(self, split: str, content: Any) -> None:
        super().__init__(split, np.zeros(len(content), np.int64), len(content))
        self.content = content

    def look(self, index: int) -> Look:
        item = replace(super().item(index), labels=None)
        try:
            image, label = self.content[index]
            item = replace(item, labels=self._label(label))
            return _seen(item, *self._pixels(image))
        except Exception as error:
            return replace(item, why=why_unreadable(error)), None, None

    def read(self, index: int) -> tuple[Pixels, dict[str, Any]]:
        image, _ = self.content[index]
        return self._pixels(image)

    def _pixels(self, image: Any) -> tuple[Pixels, dict[str, Any]]:
        if isinstance(image, Image.Image):
            return to_pixels(image), {"mode": image.mode}
        return np.asarray(image), {}

    def _label(self, label: Any) -> Labels:
        if np.ndim(label) == 1:
            self.multi_label = True
            return _labels(np.asarray(label))
        return (operator.index(label),)


def source_of(splits: Splits, name: str) -> Source:
    """Return a split in whatever form it has.

    Raises:
        DataError: it has none that is known, or not as many labels as images.
    """
    content = getattr(splits, name)
    if isinstance(content, Files):
        return _FileSource(name, content)
    if isinstance(content, tuple | list) and len(content) == 2 and hasattr(content[0], "dtype"):
        return _ArraySource(name, content[0], content[1])
    if hasattr(content, "__len__") and hasattr(content, "__getitem__"):
        return _SequenceSource(name, content)
    raise DataError(
        f"`{name}` is {type(content).__name__}; it must be bench.Files, a pair of arrays "
        "or a sequence of (image, label)"
    )


def _labels(label: Any) -> Labels:
    if np.ndim(label):
        return tuple(int(i) for i in np.flatnonzero(np.asarray(label)))
    return (operator.index(label),)


def _seen(item: Item, pixels: Pixels, facts: dict[str, Any]) -> Look:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        why = f"is {pixels.dtype} of shape {pixels.shape}; uint8 of (H, W) or (H, W, 3) is needed"
        return replace(item, why=why), None, None
    if not pixels.size:
        return replace(item, why=f"has no pixels: shape {pixels.shape}"), None, None
    facts = {"mode": "RGB" if pixels.ndim == 3 else "L"} | facts
    # Gray stored as colour is the same picture: one copy in PNG, one in JPEG, as often as not.
    if pixels.ndim == 3 and _is_gray(pixels):
        pixels = pixels[..., 0]
    pixels = np.ascontiguousarray(pixels)
    hasher = hashlib.sha256(str(pixels.shape).encode())
    hasher.update(pixels.data)
    image = Image.fromarray(pixels)
    counts = np.asarray(image.histogram(), np.int64).reshape(-1, 256)
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    height, width = pixels.shape[:2]
    item = replace(item, width=width, height=height, digest=hasher.digest()[:16], **facts)
    return item, np.asarray(small), counts


def _is_gray(pixels: Pixels) -> bool:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    # The middle row first: nearly every colour picture is told by it.
    middle = len(pixels) // 2
    if not np.array_equal(red[middle], green[middle]):
        return False
    return np.array_equal(red, green) and np.array_equal(red, blue)


def _turned(path: Path) -> bool:
    with Image.open(path) as image:
        return image.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)


def why_unreadable(error: Exception) -> str:
    """Return what to say of an image that raised this."""
    if isinstance(error, UnreadableImage):
        return error.why
    return f"cannot be read: {one_line(f'{type(error).__name__}: {error}', 160)}"
