"""One pass over all images of a dataset: each is decoded, looked at, and let go.

What stays of an image is a hash of its pixels, some facts, and a gray thumbnail of one kilobyte.
Where there are many, the thumbnails lie in a temporary file.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench import hardware, intake
from bench.decoding import Pixels
from bench.errors import EnvironmentFailure
from bench.inspection.items import THUMBNAIL, Item, Look, look
from bench.intake import Progress
from bench.parts import Part, part_of
from bench.specs import Splits, Task
from bench.text import byte_size

SPLITS = (*intake.SPLITS, "unlabelled")

_IN_MEMORY = 1 << 16  # thumbnails: 64 MiB


@dataclass(frozen=True)
class Scan:
    """All items of a dataset.

    Attributes:
        splits: what was scanned.
        parts: its splits item by item; pictures are read again where they are to be shown.
        items: every image in the order of the splits.
        thumbnails: (N, 32, 32) uint8 in the order of the items, gray.
        classes: class names in the order of their labels.
        task: what is to be said of an image.
    """

    splits: Splits
    parts: Mapping[str, Part]
    items: Sequence[Item]
    thumbnails: npt.NDArray[np.uint8]
    classes: Sequence[str]
    task: Task

    def pixels(self, item: Item) -> Pixels:
        """Read one picture again, (H, W) or (H, W, 3).

        Raises:
            BenchError: it cannot be read.
        """
        return self.parts[item.split].read(item.index)[0]

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
        PluginError: a split has no form that is known, or not as many labels as images.
        EnvironmentFailure: there is no room for the thumbnails.
    """
    parts = {
        name: part_of(content, f"`{name}`", labelled=name != "unlabelled")
        for name in SPLITS
        if (content := getattr(splits, name)) is not None
    }
    total = sum(map(len, parts.values()))
    items: list[Item] = []
    thumbnails = _room_for_thumbnails(total)
    multi_label = any(p.labels is not None and p.labels.ndim == 2 for p in parts.values())
    for name, part in parts.items():
        workers = (threads or hardware.cpu_count()) if part.threaded else 1
        for seen in _in_order(functools.partial(look, part, name), range(len(part)), workers):
            if seen.thumbnail is not None:
                thumbnails[len(items)] = seen.thumbnail
            multi_label |= seen.multi_label
            items.append(seen.item)
            if progress is not None:
                progress(len(items), total)
    classes, task = _classes(splits, items, multi_label)
    return Scan(splits, parts, _named_apart(items), thumbnails, classes, task)


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


def _in_order(work: Callable[[int], Look], indices: Iterable[int], workers: int) -> Iterator[Look]:
    """Yield the results in order, with no more pictures under way than a few for each thread."""
    if workers <= 1:
        yield from map(work, indices)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="bench-scan")
    try:
        waiting: deque[Future[Look]] = deque()
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
