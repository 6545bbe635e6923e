"""A dataset as it lies on disk: opened in milliseconds, read by memory map or file by file."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bench import cache, decoding, files, hardware
from bench.decoding import Interpolation, Resize
from bench.errors import StoreError
from bench.specs import Task

Indices = npt.NDArray[np.int64]
STATISTICS_ITEMS = 50_000
"""Images that the mean and std are taken from, at most."""
COUNTED_VALUES = 2_000_000
"""Values that are counted at a time; counting takes 8 bytes for each of a channel's."""


class Images(Protocol):
    """The images of one split, (N, H, W, C) uint8, wherever they are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, H, W, C)."""

    def __getitem__(self, ids: Indices, /) -> npt.NDArray[np.uint8]:
        """Return the images at `ids` (B,) as (B, H, W, C)."""


@dataclass(frozen=True)
class StoredDataset:
    """A dataset on disk, with its images at one size.

    Attributes:
        folder: holds the labels, and the images in its subfolder `variant`.
        fingerprint: hash of the images, labels and class names as they came.
        variant: the shape of the stored images, as a name.
        classes: class names in the order of their labels.
        taxonomy: the path from the top of the tree to each class; empty where there is no tree.
        task: what the labels ask for.
        image_shape: (H, W, C).
        resize: how images that differ in size were brought to one; None where they did not.
        interpolation: with what in between.
        counts: images by split; a split that the dataset lacks is absent.
        files: lists the image files, where images are decoded from these each time; it belongs
            to the source, not to the content. None where they are stored decoded.
    """

    folder: Path
    fingerprint: str
    variant: str
    classes: tuple[str, ...]
    taxonomy: tuple[tuple[str, ...], ...]
    task: Task
    image_shape: tuple[int, int, int]
    resize: Resize | None
    counts: Mapping[str, int]
    files: Path | None = None
    interpolation: Interpolation = "bilinear"

    @property
    def streamed(self) -> bool:
        """Return whether images are decoded from their files each time."""
        return self.files is not None

    def keep(self) -> None:
        """Note that it is in use, so that nobody removes it."""
        cache.touch(self.folder if self.streamed else self.folder / self.variant)

    def images(self, split: str) -> Images:
        """Return the images of a split; of `all`, those of every split one after the other."""
        if split == "all":
            return Joined([self.images(each) for each in self.counts])
        if self.files is None:
            path = self.folder / self.variant / f"{split}.images.npy"
            images: Images = np.load(path, mmap_mode="r")
            return images
        listed = _listed(self.files, self.files.stat().st_mtime_ns)
        return Streamed(listed["paths"][split], self.image_shape, self.resize, self.interpolation)

    def labels(self, split: str) -> npt.NDArray[np.int64] | npt.NDArray[np.uint8]:
        """Return the labels of a split, (N,) int64 or (N, C) uint8 of 0 and 1; or of `all`."""
        if split == "all":
            return np.concatenate([self.labels(each) for each in self.counts])
        labels: npt.NDArray[np.int64] = np.load(self.folder / f"{split}.labels.npy")
        return labels

    def originals(self, split: str) -> Indices:
        """Return for each item of a split the place of the first with the same pixels, (N,)."""
        counts = {**self.counts, "all": sum(self.counts.values())}
        starts = dict(zip(self.counts, np.cumsum([0, *self.counts.values()]), strict=False))
        start, count = int(starts.get(split, 0)), counts[split]
        originals = np.arange(count, dtype=np.int64)
        copies: Indices = np.load(self.folder / "copies.npy")
        inside = copies[(copies[:, 0] >= start) & (copies[:, 0] < start + count)] - start
        # The first of all may lie in another split; here the first of this one stands for it.
        firsts: dict[int, int] = {}
        for again, first in inside.tolist():
            originals[again] = first if first >= 0 else firsts.setdefault(first, again)
        return originals


def open_stored(fingerprint: str, variant: str, listed: Path | None = None) -> StoredDataset:
    """Return a stored dataset.

    Args:
        fingerprint: of its content.
        variant: the shape of its images, as a name.
        listed: the list of its image files, where these are to be decoded each time.

    Raises:
        StoreError: it is not in the store, or it is damaged.
    """
    root = files.cache_folder() / "datasets"
    folder = root / fingerprint
    try:
        about = json.loads((folder / "about.json").read_text("utf-8"))
        if listed is None:
            inner = json.loads((folder / variant / "about.json").read_text("utf-8"))
        else:
            inner = _listed(listed, listed.stat().st_mtime_ns)
        height, width, channels = inner["image_shape"]
        cache.touch(folder / variant if listed is None else folder)
        (folder / "copies.npy").stat()
        for split, count in about["counts"].items():
            (folder / f"{split}.labels.npy").stat()
            if listed is not None:
                Path(inner["paths"][split][0]).stat()
                continue
            whole = count * height * width * channels
            if (folder / variant / f"{split}.images.npy").stat().st_size < whole:
                raise ValueError(f"the images of {split} are cut")
        return StoredDataset(
            folder=folder,
            fingerprint=fingerprint,
            variant=variant,
            classes=tuple(about["classes"]),
            taxonomy=tuple(tuple(path) for path in about["taxonomy"]),
            task=Task(about["task"]),
            image_shape=(height, width, channels),
            resize=inner["resize"],
            interpolation=inner.get("interpolation", "bilinear"),
            counts=about["counts"],
            files=listed,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StoreError(f"dataset {fingerprint} ({variant}) is not in `{root}`") from error


@functools.lru_cache(maxsize=4)
def _listed(path: Path, modified: int) -> dict[str, Any]:
    """Return a list of image files by split, with the shape that they are brought to."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


class Joined:
    """The images of several splits as if they were one.

    Attributes:
        parts: the images of each.
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        self.parts = parts
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, H, W, C)."""
        return (int(self._starts[-1]), *self.parts[0].shape[1:])

    def __getitem__(self, ids: Indices) -> npt.NDArray[np.uint8]:
        """Return the images at `ids` (B,) as (B, H, W, C)."""
        ids = np.asarray(ids)
        result = np.empty((len(ids), *self.shape[1:]), np.uint8)
        owners = np.searchsorted(self._starts, ids, side="right") - 1
        for number, part in enumerate(self.parts):
            mine = owners == number
            if mine.any():
                result[mine] = part[ids[mine] - self._starts[number]]
        return result


class Streamed:
    """Images that are decoded from their files whenever they are asked for."""

    def __init__(
        self,
        paths: Sequence[str],
        image_shape: tuple[int, int, int],
        resize: Resize | None,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        self._paths = paths
        self._image_shape = image_shape
        self._resize = resize
        self._interpolation = interpolation

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, H, W, C)."""
        return (len(self._paths), *self._image_shape)

    def __getitem__(self, ids: Indices) -> npt.NDArray[np.uint8]:
        """Return the images at `ids` (B,) as (B, H, W, C).

        Raises:
            DataError: a file has gone or is damaged.
        """
        result = np.empty((len(ids), *self._image_shape), np.uint8)

        def work(place: int) -> None:
            pixels = decoding.read_image(Path(self._paths[ids[place]]))
            if self._resize is not None:
                pixels = decoding.fit(
                    pixels, self._image_shape[0], self._resize, self._interpolation
                )
            result[place] = decoding.with_channels(pixels, self._image_shape[2])

        with ThreadPoolExecutor(hardware.cpu_count()) as pool:
            for _ in pool.map(work, range(len(ids))):
                pass
        return result


def channel_statistics(images: Images, ids: Indices) -> tuple[list[float], list[float]]:
    """Return mean and std by channel, in [0, 1], of the items `ids`.

    They come from at most `STATISTICS_ITEMS`, evenly spaced; a channel without any variation gets
    std 1.
    """
    ids = ids[:: math.ceil(len(ids) / STATISTICS_ITEMS)]
    channels = images.shape[-1]
    # Counting the 256 values is exact and needs no float copy of the images.
    counts = np.zeros((channels, 256), np.int64)
    step = max(1, COUNTED_VALUES // math.prod(images.shape[1:]))
    for start in range(0, len(ids), step):
        part = images[ids[start : start + step]]
        for channel in range(channels):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    total = counts.sum(1)
    mean = counts @ values / total
    variance = np.maximum(counts @ values**2 / total - mean**2, 0)
    return mean.tolist(), np.where(variance > 1e-12, np.sqrt(variance), 1.0).tolist()
