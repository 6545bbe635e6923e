"""Where a run's images are: on the device, in memory, in a memory map, or in files.

Each place answers the same two questions (these images now; these batches, one after the other)
with the same bits. Which one is taken goes by size and is recorded.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bench import hardware
from bench.stored import Images, Indices, Joined, Streamed

MEMORY_SHARE = 8
"""On a CPU, images that take more than this part of the free memory stay in their memory map."""
MEMORY_LIMIT = 2**30
"""Bytes; beyond it they do so anyway, since all workers share a memory map and a copy none."""
DEVICE_SHARE = 2
PINNED_SHARE = 4
AHEAD = 4
"""Batches that are fetched before they are asked for."""


class Place(Protocol):
    """A run's images, (N, C, H, W) uint8."""

    @property
    def name(self) -> str:
        """Return where they are, for the record."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, C, H, W)."""

    def take(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (B,), on the device."""

    def stream(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the images of each of `rows` (batches, B), on the device."""


@dataclass(frozen=True)
class Resident:
    """Images in the memory of the device itself."""

    images: Tensor
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, C, H, W)."""
        return tuple(self.images.shape)

    def take(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (B,)."""
        return self.images.index_select(0, indices.to(self.images.device))

    def stream(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the images of each row; the device waits for nothing."""
        for indices in rows.to(self.images.device, non_blocking=True):
            # Copies whole images, where indexing would copy value by value.
            yield self.images.index_select(0, indices)


@dataclass(frozen=True)
class Pinned:
    """Images in the machine's memory, locked so that a GPU can fetch them while it computes."""

    images: Tensor
    device: str
    name: str = "pinned"

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, C, H, W)."""
        return tuple(self.images.shape)

    def take(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (B,), on the device."""
        return self.images.index_select(0, indices.cpu()).to(self.device)

    def stream(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the images of each row, gathered ahead of the step that needs them."""
        gathered = (self.images.index_select(0, row).pin_memory() for row in rows.cpu())
        for images in ahead(gathered):
            yield images.to(self.device, non_blocking=True)


@dataclass(frozen=True)
class Stored:
    """Images that stay where they are stored: in a memory map, or in their files."""

    images: Images
    ids: Indices
    device: str
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, C, H, W)."""
        _, height, width, channels = self.images.shape
        return (len(self.ids), channels, height, width)

    def take(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (B,), on the device."""
        return self._gather(indices).to(self.device)

    def stream(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the images of each row, read ahead of the step where that takes time."""
        gathered = (self._gather(indices) for indices in rows.cpu())
        if self.device == "cuda":
            for images in ahead(images.pin_memory() for images in gathered):
                yield images.to(self.device, non_blocking=True)
        else:
            # Rows of a memory map are there sooner than another thread would be.
            yield from ahead(gathered) if self.name == "stream" else gathered

    def _gather(self, indices: Tensor) -> Tensor:
        chosen = self.images[self.ids[indices.cpu().numpy()]]
        return torch.from_numpy(np.ascontiguousarray(chosen)).permute(0, 3, 1, 2)


def place(images: Images, ids: Indices, device: str, wanted: str) -> Place:
    """Return the images `ids` of a stored split (N, H, W, C) where they are to be.

    Args:
        images: the stored split.
        ids: the items wanted.
        device: `cpu` or `cuda`.
        wanted: `auto`, `memory` or `map`; files are streamed whatever is wanted.
    """
    if _in_files(images):
        return Stored(images, ids, device, "stream")
    size = len(ids) * int(np.prod(images.shape[1:]))
    if wanted == "map" or (wanted == "auto" and not _fits_memory(size, device)):
        return Stored(images, ids, device, "map")
    tensor = torch.from_numpy(_copied(images, ids)).permute(0, 3, 1, 2)
    if device == "cpu":
        return Resident(tensor.contiguous(), "memory")
    if size <= torch.cuda.mem_get_info()[0] / DEVICE_SHARE:
        return Resident(tensor.to(device).contiguous(), "device")
    return Pinned(tensor.contiguous().pin_memory(), device)


def ahead(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield batches that a thread makes a few at a time before they are asked for.

    What making one raises is raised here; a caller that stops early stops the thread.
    """
    made: queue.Queue[Tensor | BaseException | None] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(item: Tensor | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                made.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # handed to the thread that waits for the batch
            put(error)

    thread = threading.Thread(target=work, name="batches-ahead", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _fits_memory(size: int, device: str) -> bool:
    free = hardware.free_memory()
    if device == "cpu":
        return size <= min(MEMORY_LIMIT, free / MEMORY_SHARE)
    return size <= max(torch.cuda.mem_get_info()[0] / DEVICE_SHARE, free / PINNED_SHARE)


def _in_files(images: Images) -> bool:
    if isinstance(images, Joined):
        return any(_in_files(part) for part in images.parts)
    return isinstance(images, Streamed)


def _copied(images: Images, ids: Indices) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    count = images.shape[0]
    if len(ids) == count and isinstance(images, np.ndarray):
        return np.array(images)  # all of them, in one sweep
    return images[ids]
