"""From stored uint8 images to normalised batches, with everything resident on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from bench.datastore import Images, Labels

RESIDENT_LIMIT = 4 * 2**30
"""Bytes up to which resized images are kept; beyond it each batch is resized again."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batches:
    """One split on the device, ready to be gathered from.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        ids: (N,) int64, the items' places in the stored split.
        size: height and width that a model gets, pixels.
        mean: (1, C, 1, 1) float32, in [0, 1].
        std: (1, C, 1, 1) float32, in [0, 1].
        memory_format: layout of the batches.
    """

    images: Tensor
    labels: Tensor
    ids: Indices
    size: int
    mean: Tensor
    std: Tensor
    memory_format: torch.memory_format

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def gather(self, indices: Tensor) -> Tensor:
        """Return the images at `indices` (B,) as normalised float32 (B, C, size, size)."""
        batch = resize(self.images[indices], self.size)
        # Not folded into one multiplication: this order equals torchvision's ToTensor and
        # Normalize to the bit.
        batch = batch.to(torch.float32).div_(255).sub_(self.mean).div_(self.std)
        return batch.contiguous(memory_format=self.memory_format)


def resize(images: Tensor, size: int) -> Tensor:
    """Return uint8 images (N, C, H, W) at `size`: the shorter side resized, the centre cropped.

    Antialiased bilinear, rounded back to uint8, so that resizing a whole split in advance and
    resizing each batch give the same bits.
    """
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    scale = size / min(height, width)
    scaled = (max(size, round(height * scale)), max(size, round(width * scale)))
    result = functional.interpolate(
        images.to(torch.float32), scaled, mode="bilinear", antialias=True
    )
    top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    result = result[..., top : top + size, left : left + size]
    return result.round_().clamp_(0, 255).to(torch.uint8)


def to_batches(
    images: Images,
    labels: Labels,
    ids: Indices,
    size: int,
    statistics: tuple[Tensor, Tensor],
    device: str,
    memory_format: torch.memory_format,
) -> Batches:
    """Place the items `ids` of a stored split (N, H, W, C) on the device."""
    whole = len(ids) == len(labels) and bool((ids == np.arange(len(labels))).all())
    chosen = np.array(images) if whole else images[ids]
    tensor = torch.from_numpy(chosen).to(device).permute(0, 3, 1, 2).contiguous()
    if tensor[0].numel() and len(ids) * tensor.shape[1] * size * size <= RESIDENT_LIMIT:
        tensor = torch.cat([resize(part, size) for part in tensor.split(1024)])
    mean, std = (value.to(device) for value in statistics)
    return Batches(
        images=tensor,
        labels=torch.from_numpy(labels[ids]).to(device),
        ids=ids,
        size=size,
        mean=mean,
        std=std,
        memory_format=memory_format,
    )


def statistics(images: Images, ids: Indices, normalize: str) -> tuple[Tensor, Tensor]:
    """Return mean and std by channel, (1, C, 1, 1) float32, of the items `ids`.

    For `unit` they are 0 and 1, which leaves images in [0, 1]. They come from the training items
    alone; a channel without any variation gets std 1.
    """
    channels = images.shape[-1]
    if normalize == "unit":
        return torch.zeros(1, channels, 1, 1), torch.ones(1, channels, 1, 1)
    # Counting the 256 values is exact and needs no float copy of the images.
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(ids), 4096):
        part = images[ids[start : start + 4096]]
        for channel in range(channels):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    total = counts.sum(1)
    mean = counts @ values / total
    variance = np.maximum(counts @ values**2 / total - mean**2, 0)
    std = np.where(variance > 1e-12, np.sqrt(variance), 1.0)
    shaped = [torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (mean, std)]
    return shaped[0], shaped[1]


def take(labels: Labels, count: int, seed: int) -> Indices:
    """Return a seeded, stratified choice of `count` items, in their stored order.

    Each class gets its share, rounded by the largest remainder, so that shares add up.
    """
    if count >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    generator = np.random.default_rng([seed, len(labels), count])
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    shares = np.floor(exact).astype(np.int64)
    missing = count - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def hold_out(labels: Labels, ids: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split the items `ids` into train and val, seeded and stratified by class."""
    count = min(max(1, round(len(ids) * fraction)), len(ids) - 1)
    inner = take(labels[ids], count, seed)
    held = np.zeros(len(ids), bool)
    held[inner] = True
    return ids[~held], ids[held]


def epoch_order(count: int, batch_size: int, seed: int, epoch: int) -> Tensor:
    """Return the indices of one epoch's batches, (steps, batch) int64.

    A pure function of (seed, epoch). The batch is capped at `count`, and the last one is filled
    up from the start of the same permutation: a smaller last batch would be compiled anew, and
    one of a single image breaks BatchNorm.
    """
    batch = min(batch_size, count)
    steps = math.ceil(count / batch)
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order = torch.randperm(count, generator=generator)
    return torch.cat([order, order])[: steps * batch].view(steps, batch)
