"""One pass over all images of a dataset: each is decoded, looked at, and let go.

What stays of an image is a hash of its pixels, some facts, and a gray thumbnail of one kilobyte.
Where there are many, the thumbnails lie in a temporary file.
"""

from __future__ import annotations

import hashlib
import operator
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench import hardware
from bench.decoding import Pixels, UnreadableImage, read_header, read_image, to_pixels
from bench.errors import BenchError, DataError, EnvironmentFailure
from bench.specs import Files, Splits, Task
from bench.text import byte_size, one_line

SPLITS = ("train", "val", "test", "unlabelled")
THUMBNAIL = 32
"""Height and width of the thumbnails by which near duplicates are found, pixels."""

Labels = tuple[int, ...]
Progress = Callable[[int, int], None]

_IN_MEMORY = 1 << 16  # thumbnails: 64 MiB
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


@dataclass(frozen=True)
class Scan:
    """All items of a dataset.

    Attributes:
        splits: what was scanned; pictures are read from it again where they are to be shown.
        items: every image in the order of the splits.
        thumbnails: (N, 32, 32) uint8 in the order of the items, gray.
        classes: class names in the order of their labels.
        task: what is to be said of an image.
        histogram: (3, 256) pixels of train by channel and value; gray counts for all channels.
    """

    splits: Splits
    items: Sequence[Item]
    thumbnails: npt.NDArray[np.uint8]
    classes: Sequence[str]
    task: Task
    histogram: npt.NDArray[np.int64]

    def pixels(self, item: Item) -> Pixels:
        """Read one picture again, (H, W) or (H, W, 3).

        Raises:
            DataError: it cannot be read.
        """
        try:
            return _source(self.splits, item.split).read(item.index)[0]
        except BenchError:
            raise
        except Exception as error:  # whatever a plugin's own dataset raises
            raise DataError(f"`{item.name}` {_why(error)}") from error

    def label_text(self, item: Item) -> str:
        """Return an item's label, or its labels joined by `|`."""
        return "|".join(
            self.classes[label] if 0 <= label < len(self.classes) else str(label)
            for label in item.labels or ()
        )


def scan(splits: Splits, *, progress: Progress | None = None, threads: int | None = None) -> Scan:
    """Decode every image of a dataset once.

    Args:
        splits: what a dataset's `load` returned.
        progress: called after each image with the number done and the number of all.
        threads: how many decode at a time; as many as there are processors by default.

    Raises:
        DataError: a split has no form that is known, or not as many labels as images.
        EnvironmentFailure: there is no room for the thumbnails.
    """
    sources = {name: _source(splits, name) for name in SPLITS if _given(splits, name)}
    total = sum(map(len, sources.values()))
    items: list[Item] = []
    thumbnails = _room_for_thumbnails(total)
    histogram = np.zeros((3, 256), np.int64)
    for name, source in sources.items():
        workers = (threads or hardware.cpu_count()) if source.parallel else 1
        for item, thumbnail, counts in _in_order(source.look, range(len(source)), workers):
            if thumbnail is not None and counts is not None:
                thumbnails[len(items)] = thumbnail
                if name == "train":
                    histogram += counts
            items.append(item)
            if progress is not None:
                progress(len(items), total)
    classes, task = _classes(splits, items, any(source.multi_label for source in sources.values()))
    return Scan(splits, _named_apart(items), thumbnails, classes, task, histogram)


_Look = tuple[Item, Pixels | None, npt.NDArray[np.int64] | None]


class _Source:
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

    def look(self, index: int) -> _Look:
        """Return an item, its thumbnail and its histogram."""
        item = self.item(index)
        try:
            pixels, facts = self.read(index)
            return _seen(item, pixels, facts)
        except UnreadableImage as error:
            return replace(item, why=error.why), None, None
        except Exception as error:  # a picture's decoder or a plugin's dataset may raise anything
            return replace(item, why=_why(error)), None, None


class _FileSource(_Source):
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


class _ArraySource(_Source):
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


class _SequenceSource(_Source):
    """A dataset in the manner of torchvision; nothing says that threads may share it."""

    parallel = False

    def __init__(self, split: str, content: Any) -> None:
        super().__init__(split, np.zeros(len(content), np.int64), len(content))
        self.content = content

    def look(self, index: int) -> _Look:
        item = replace(super().item(index), labels=None)
        try:
            image, label = self.content[index]
            item = replace(item, labels=self._label(label))
            return _seen(item, *self._pixels(image))
        except Exception as error:
            return replace(item, why=_why(error)), None, None

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


def _room_for_thumbnails(count: int) -> npt.NDArray[np.uint8]:
    shape = (count, THUMBNAIL, THUMBNAIL)
    if count <= _IN_MEMORY:
        return np.zeros(shape, np.uint8)
    # Nothing but the mapping holds the file: it is gone with the scan, however that ends.
    with tempfile.TemporaryFile(prefix="bench-thumbnails-") as file:
        size = count * THUMBNAIL**2
        try:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):
                # A disk found full while a mapping is written to would end the process.
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise EnvironmentFailure(
                f"no room for {byte_size(size)} in `{tempfile.gettempdir()}`: "
                f"{error.strerror or error}; TMPDIR names another folder"
            ) from error
        return np.memmap(file, np.uint8, "r+", shape=shape)


def _given(splits: Splits, name: str) -> bool:
    return getattr(splits, name) is not None


def _source(splits: Splits, name: str) -> _Source:
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


def _seen(item: Item, pixels: Pixels, facts: dict[str, Any]) -> _Look:
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
    hasher = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    hasher.update(pixels.data)
    image = Image.fromarray(pixels)
    counts = np.asarray(image.histogram(), np.int64).reshape(-1, 256)
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    height, width = pixels.shape[:2]
    item = replace(item, width=width, height=height, digest=hasher.digest(), **facts)
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


def _why(error: Exception) -> str:
    return f"cannot be read: {one_line(f'{type(error).__name__}: {error}', 160)}"


def _in_order(
    work: Callable[[int], _Look], indices: Iterable[int], workers: int
) -> Iterator[_Look]:
    """Yield the results in order, with no more pictures under way than a few for each thread."""
    if workers <= 1:
        yield from map(work, indices)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="bench-scan")
    try:
        waiting: deque[Future[_Look]] = deque()
        for index in indices:
            waiting.append(pool.submit(work, index))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # an interruption does not wait for what has not begun
        pool.shutdown(wait=True, cancel_futures=True)


def _classes(
    splits: Splits, items: Sequence[Item], multi_label: bool
) -> tuple[tuple[str, ...], Task]:
    highest = max((max(item.labels) for item in items if item.labels), default=-1)
    names = tuple(map(str, splits.classes)) or tuple(map(str, range(highest + 1)))
    if multi_label:
        return names, Task.MULTI_LABEL
    if splits.taxonomy:
        return names, Task.HIERARCHICAL
    return names, Task.BINARY if len(names) == 2 else Task.MULTI_CLASS


def _named_apart(items: Sequence[Item]) -> Sequence[Item]:
    """Return items with names that differ: the path, else the place, stands in for a double."""
    for stand_in in (_by_path, _by_place):
        seen = Counter(item.name for item in items)
        if len(seen) == len(items):
            break
        items = [
            replace(item, name=stand_in(item)) if seen[item.name] > 1 else item for item in items
        ]
    return items


def _by_path(item: Item) -> str:
    return str(item.path or item.name)


def _by_place(item: Item) -> str:
    return f"{item.name} ({item.split}[{item.index}])"
