"""From stored uint8 images to normalised batches, augmented where they are trained on."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bench.decoding import Interpolation, Resize, scaled_size
from bench.engine.augment import Augmenter
from bench.engine.placement import Place, Resident
from bench.stored import Indices

RESIDENT_LIMIT = 4 * 2**30
"""Bytes up to which resized images are kept; beyond it each batch is resized again."""


@dataclass(frozen=True)
class Batches:
    """One split, ready to be gathered from.

    Attributes:
        images: where the images are.
        labels: (N,) int64, or (N, C) float32 of 0 and 1 for a multi-label task; on the device.
        ids: (N,) int64, the items' places in the stored split.
        size: height and width that a model gets, pixels.
        resize: how images of another shape are brought to it.
        interpolation: how pixels between pixels are found.
        mean: (1, C, 1, 1) float32, in [0, 1].
        std: (1, C, 1, 1) float32, in [0, 1].
        memory_format: layout of the batches.
        classes: number of classes.
        augmenter: what changes the images of an epoch; None where nothing does.
    """

    images: Place
    labels: Tensor
    ids: Indices
    size: int
    resize: Resize
    mean: Tensor
    std: Tensor
    memory_format: torch.memory_format
    classes: int
    interpolation: Interpolation = "bilinear"
    augmenter: Augmenter | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def gather(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (B,) as normalised float32 (B, C, size, size)."""
        return self.normalised(self.sized(self.images.take(indices)))

    def stream(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the images of each of `rows` (batches, B), normalised, as they are."""
        for images in self.images.stream(rows):
            yield self.normalised(self.sized(images))

    def epoch(
        self, order: Tensor, epoch: int
    ) -> Generator[tuple[Tensor, Tensor, Tensor], None, None]:
        """Yield the batches of an epoch: images, what the loss compares with, the true labels.

        Args:
            order: (steps, batch) int64, which items each step takes.
            epoch: from 1; augmentation differs from epoch to epoch.
        """
        # Not waited for: the device reads in the order in which it is asked.
        rows = order.to(self.labels.device, non_blocking=True)
        if self.augmenter is None:
            for labels, images in zip(self._labels_of(rows), self.stream(order), strict=True):
                yield images, labels, labels
            return
        ids = torch.from_numpy(self.ids).to(self.labels.device, non_blocking=True)
        if not self.augmenter.mixes:
            taken = zip(rows, self._labels_of(rows), self.images.stream(order), strict=True)
            for indices, labels, images in taken:
                images = self.augmenter.augment(self.sized(images), ids[indices], epoch)
                yield self.normalised(images), labels, labels
            return
        partners = torch.stack([self.augmenter.partners(ids[indices], epoch) for indices in rows])
        both = torch.cat([rows, partners], 1)
        for indices, images in zip(both, self.images.stream(both), strict=True):
            images = self.augmenter.augment(self.sized(images), ids[indices], epoch)
            count = len(indices) // 2
            own, other = indices[:count], indices[count:]
            mixed, share = self.augmenter.mix(images[:count], images[count:], ids[own], epoch)
            share = share.view(-1, 1)
            targets = share * self.shares(own) + (1 - share) * self.shares(other)
            yield self.normalised(mixed), targets, self.labels[own]

    def _labels_of(self, rows: Tensor) -> Iterable[Tensor]:
        """Return the labels of each row: of all at once, where an image has one number only."""
        if self.labels.ndim == 1:
            return self.labels[rows].unbind()
        return (self.labels[indices] for indices in rows)

    def shares(self, indices: Tensor) -> Tensor:
        """Return labels as float32 (B, C), of which mixtures can be made."""
        labels = self.labels[indices]
        if labels.ndim == 2:
            return labels
        return functional.one_hot(labels, self.classes).to(torch.float32)

    def sized(self, images: Tensor) -> Tensor:
        """Bring uint8 images (B, C, H, W) to the model's size."""
        return resize(images, self.size, self.resize, self.interpolation)

    def normalised(self, images: Tensor) -> Tensor:
        """Normalise images (B, C, H, W), uint8 or float32 in [0, 1]."""
        if images.dtype == torch.uint8:
            images = images.to(torch.float32).div_(255)
        # Not folded into one multiplication: this order equals torchvision's ToTensor and
        # Normalize to the bit.
        images = images.sub_(self.mean).div_(self.std)
        return images.contiguous(memory_format=self.memory_format)


def resize(
    images: Tensor, size: int, how: Resize, interpolation: Interpolation = "bilinear"
) -> Tensor:
    """Return uint8 images (N, C, H, W) at `size`; see `bench.decoding.fit` for `how`.

    Antialiased, rounded back to uint8, so that resizing a whole split in advance and
    resizing each batch give the same bits.
    """
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    scaled = scaled_size(height, width, size, how)
    result = functional.interpolate(
        images.to(torch.float32), scaled, mode=interpolation, antialias=True
    )
    top, left = (abs(edge - size) // 2 for edge in scaled)
    if how == "pad":
        below, right = size - scaled[0] - top, size - scaled[1] - left
        result = functional.pad(result, (left, right, top, below))
    else:
        result = result[..., top : top + size, left : left + size]
    return result.round_().clamp_(0, 255).to(torch.uint8)


def kept_at_size(
    images: Place, size: int, how: Resize, interpolation: Interpolation = "bilinear"
) -> Place:
    """Resize images that are on the device once, where the result has room."""
    count, channels = images.shape[:2]
    if images.shape[2:] == (size, size):
        return images
    if not isinstance(images, Resident) or count * channels * size * size > RESIDENT_LIMIT:
        return images
    parts = [resize(part, size, how, interpolation) for part in images.images.split(1024)]
    return Resident(torch.cat(parts), images.name)


def shaped(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return numbers by channel as tensors (1, C, 1, 1) float32."""
    tensors = [torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (mean, std)]
    return tensors[0], tensors[1]


def epoch_order(
    count: int, batch_size: int, seed: int, epoch: int, weights: Tensor | None = None
) -> Tensor:
    """Return the indices of one epoch's batches, (steps, batch) int64.

    A pure function of (seed, epoch, weights). The batch is capped at `count`, and the last one is
    filled up from the start of the same permutation: a smaller last batch would be compiled anew,
    and one of a single image breaks BatchNorm. Where there are `weights`, see `drawn`.
    """
    batch = min(batch_size, count)
    steps = math.ceil(count / batch)
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(count, generator=generator)
    if weights is not None:
        order = drawn(weights, generator)[order]
    return torch.cat([order, order[: steps * batch - count]]).view(steps, batch)


def drawn(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many indices as there are weights, (N,) int64 ascending, drawn by these.

    Systematic sampling (Kitagawa 1996, doi:10.2307/1390750): with p the item's share of all weight,
    it comes floor(N p) or ceil(N p) times and N p times on average, so that whole numbers come
    exactly and equal weights bring each item once.

    Args:
        weights: (N,) float64, not negative, not all 0.
        generator: draws the one random number that is needed.
    """
    cumulative = weights.cumsum(0)
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    places = (torch.arange(len(weights)) + start) * (cumulative[-1] / len(weights))
    return torch.searchsorted(cumulative, places, right=True).clamp_(max=len(weights) - 1)
