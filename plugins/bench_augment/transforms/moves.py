"""Transforms that only move pixels, and so take uint8 as well as float32 and keep it.

Images are chosen by `index_select` over whole images: on CPU it copies rows of bytes, where
`where` and advanced indices go pixel by pixel and take about four times as long.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from bench.engine.augment import Draws


def below(uniform: Tensor, limit: int | Tensor) -> Tensor:
    """Turn float32 in [0, 1) into int64 in 0 .. limit - 1, of the same shape."""
    return (uniform * limit).to(torch.int64)


def choose(which: Tensor, candidates: list[Tensor]) -> Tensor:
    """Return (B, ...): for each image the candidate, each (B, ...), that `which` (B,) names."""
    count = len(which)
    rows = which * count + torch.arange(count, device=which.device)
    return torch.cat(candidates).index_select(0, rows)


class Flip:
    """Mirror images along one dimension.

    Args:
        dim: -1 exchanges left and right, -2 top and bottom.
        probability: of being mirrored, 0 to 1.
    """

    def __init__(self, dim: int, probability: float) -> None:
        self.dim = dim
        self.probability = probability

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) of the dtype of `images`."""
        flipped = (draws.uniform()[:, 0] < self.probability).to(torch.int64)
        return choose(flipped, [images, images.flip(self.dim)])


class QuarterTurn:
    """Turn images by 0, 90, 180 or 270 degrees, all equally likely; not square ones by 0 or 180."""

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) of the dtype of `images`."""
        square = images.shape[-1] == images.shape[-2]
        turns = (0, 1, 2, 3) if square else (0, 2)
        which = below(draws.uniform()[:, 0], len(turns))
        return choose(which, [torch.rot90(images, turn, (-2, -1)) for turn in turns])


def windows(images: Tensor, padding: tuple[int, int], top: Tensor, left: Tensor) -> Tensor:
    """Pad images with black and cut out windows of their former size.

    Args:
        images: (B, C, H, W).
        padding: pixels added above and below, and on either side.
        top: (B,) int64 in 0 .. 2 * padding[0], rows of the padded image above the window.
        left: (B,) int64 in 0 .. 2 * padding[1].

    Returns:
        (B, C, H, W) of the same dtype.
    """
    count, channels, height, width = images.shape
    vertical, horizontal = padding
    padded = functional.pad(images, (horizontal, horizontal, vertical, vertical)).contiguous()
    row = width + 2 * horizontal
    plane = row * (height + 2 * vertical)
    # Every window of every image as a view, without a copy: they begin one pixel apart.
    last = (count - 1) * channels * plane + 2 * vertical * row + 2 * horizontal
    views = padded.as_strided((last + 1, channels, height, width), (1, plane, row, 1))
    images_begin = torch.arange(count, device=images.device) * (channels * plane)
    return views.index_select(0, images_begin + top * row + left)


class Crop:
    """Pad with black, then cut out a window of the former size anywhere.

    Args:
        padding: what is added on each side, as a part of the height and of the width.
    """

    def __init__(self, padding: float) -> None:
        self.padding = padding

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) of the dtype of `images`."""
        vertical, horizontal = (round(self.padding * size) for size in images.shape[-2:])
        uniform = draws.uniform(2)
        top = below(uniform[:, 0], 2 * vertical + 1)
        left = below(uniform[:, 1], 2 * horizontal + 1)
        return windows(images, (vertical, horizontal), top, left)


class Translation:
    """Shift by whole pixels; what comes in is black.

    Args:
        shift: the furthest, as a part of the height and of the width.
    """

    def __init__(self, shift: float) -> None:
        self.shift = shift

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) of the dtype of `images`."""
        signed = draws.uniform(2) * 2 - 1
        reach = [self.shift * size for size in images.shape[-2:]]
        padding = (math.ceil(reach[0]), math.ceil(reach[1]))
        # As torchvision does: any real shift, rounded, so that the furthest is half as likely.
        down, right = ((signed[:, axis] * reach[axis]).round_().to(torch.int64) for axis in (0, 1))
        return windows(images, padding, padding[0] - down, padding[1] - right)
