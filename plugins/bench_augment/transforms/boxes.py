"""Rectangles: drawn as torchvision draws them, cut out, erased or exchanged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bench.engine.augment import Draws, mean_of, to_float
from bench_augment.transforms.moves import below

_ATTEMPTS = 10  # as in torchvision


@dataclass(frozen=True)
class Boxes:
    """A rectangle for each image, (B,) int64 each, in pixels.

    Attributes:
        top: rows above it.
        left: columns to its left.
        height: its rows.
        width: its columns.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    def paste(self, images: Tensor, content: Tensor | float) -> Tensor:
        """Return images (B, C, H, W) with `content` of their dtype, or a number, inside."""
        height, width = images.shape[-2:]
        rows = torch.arange(height, device=self.top.device) - self.top[:, None]
        columns = torch.arange(width, device=self.top.device) - self.left[:, None]
        down = (rows >= 0) & (rows < self.height[:, None])
        across = (columns >= 0) & (columns < self.width[:, None])
        # Products with 0 and 1 are exact, and several times as fast as `where` on CPU.
        inside = down.to(images.dtype)[:, None, :, None] * across.to(images.dtype)[:, None, None]
        return (images * (1 - inside)).add_(inside * content)


def draw_sizes(
    draws: Draws,
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    whole: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw heights and widths whose area is uniform and whose aspect ratio is log-uniform.

    Ten attempts for each image, as in torchvision; the first that fits into the image counts.

    Args:
        draws: where random numbers come from.
        size: height and width of the images, pixels.
        area: the least and the greatest, as a part of the image.
        ratio: the least and the greatest width / height.
        whole: whether a rectangle may be as high or as wide as the image.

    Returns:
        (B,) int64 heights, (B,) int64 widths, and (B,) bool: whether an attempt fits.
    """
    height, width = size
    uniform = draws.uniform(2 * _ATTEMPTS).to(torch.float64)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    areas = (uniform[:, :_ATTEMPTS] * (area[1] - area[0]) + area[0]) * (height * width)
    ratios = torch.exp(uniform[:, _ATTEMPTS:] * (high - low) + low)
    heights = torch.sqrt(areas / ratios).round_().to(torch.int64)
    widths = torch.sqrt(areas * ratios).round_().to(torch.int64)
    if whole:
        fits = (heights > 0) & (widths > 0) & (heights <= height) & (widths <= width)
    else:
        fits = (heights < height) & (widths < width)
    first = fits.to(torch.int8).argmax(1, keepdim=True)
    chosen = (values.gather(1, first)[:, 0] for values in (heights, widths, fits))
    return next(chosen), next(chosen), next(chosen)


def place(draws: Draws, size: tuple[int, int], heights: Tensor, widths: Tensor) -> Boxes:
    """Put rectangles of (B,) heights and widths anywhere in images of `size`, pixels."""
    uniform = draws.uniform(2)
    top = below(uniform[:, 0], size[0] - heights + 1)
    left = below(uniform[:, 1], size[1] - widths + 1)
    return Boxes(top, left, heights, widths)


class ResizedCrop:
    """Cut out a rectangle and stretch it to the size of the image, bilinearly.

    Args:
        area: the least and the greatest, as a part of the image.
        ratio: the least and the greatest width / height.
    """

    def __init__(self, area: tuple[float, float], ratio: tuple[float, float]) -> None:
        self.area = area
        self.ratio = ratio

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) float32 in [0, 1]."""
        boxes = self.draw(draws, (images.shape[-2], images.shape[-1]))
        return stretch(to_float(images), boxes)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        """Return what to cut out of images of `size`, height and width in pixels."""
        heights, widths, found = draw_sizes(draws, size, self.area, self.ratio, whole=True)
        boxes = place(draws, size, heights, widths)
        # Where no attempt fits: the middle, as much of it as the aspect ratio allows.
        height, width = size
        if width / height < self.ratio[0]:
            middle = (round(width / self.ratio[0]), width)
        elif width / height > self.ratio[1]:
            middle = (height, round(height * self.ratio[1]))
        else:
            middle = size
        return Boxes(
            torch.where(found, boxes.top, (height - middle[0]) // 2),
            torch.where(found, boxes.left, (width - middle[1]) // 2),
            torch.where(found, heights, middle[0]),
            torch.where(found, widths, middle[1]),
        )


def stretch(images: Tensor, boxes: Boxes) -> Tensor:
    """Return what lies in the boxes, at the size of the images (B, C, H, W) float32.

    Bilinear, and never from outside of the box. Nothing shrinks, so that an antialiasing filter
    would change nothing.
    """

    def axis(size: int, start: Tensor, length: Tensor) -> Tensor:
        scale = length.to(torch.float32)[:, None] / size
        source = (torch.arange(size, device=images.device) + 0.5) * scale - 0.5
        source = source.clamp_(min=0).minimum((length - 1)[:, None]) + start[:, None]
        return (source * 2 + 1) / size - 1

    height, width = images.shape[-2:]
    vertical = axis(height, boxes.top, boxes.height)[:, :, None].expand(-1, -1, width)
    horizontal = axis(width, boxes.left, boxes.width)[:, None, :].expand(-1, height, -1)
    grid = torch.stack([horizontal, vertical], -1)
    result = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return result.clamp_(0, 1)  # interpolation weights may add up to a bit more than 1


class Erasing:
    """Paint a rectangle in one colour.

    Args:
        probability: of erasing anything, 0 to 1.
        area: the least and the greatest, as a part of the image.
        ratio: the least and the greatest width / height.
        value: brightness, 0 to 1; None for the image's own mean, channel by channel.
    """

    def __init__(
        self,
        probability: float,
        area: tuple[float, float],
        ratio: tuple[float, float],
        value: float | None,
    ) -> None:
        self.probability = probability
        self.area = area
        self.ratio = ratio
        self.value = value

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) of the dtype of `images`."""
        height, width = images.shape[-2:]
        drawn = self.draw(draws, (height, width))
        integers = images.dtype == torch.uint8
        if self.value is not None:
            return drawn.paste(images, round(self.value * 255) if integers else self.value)
        if integers:
            total = images.sum((-2, -1), keepdim=True, dtype=torch.int64)
            mean = (total.to(torch.float64) / (height * width)).round_().to(torch.uint8)
        else:
            mean = mean_of(images)
        return drawn.paste(images, mean)

    def draw(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        """Return what to erase in images of `size`, pixels; of no height where nothing is."""
        heights, widths, found = draw_sizes(draws, size, self.area, self.ratio, whole=False)
        found &= draws.uniform()[:, 0] < self.probability
        boxes = place(draws, size, heights.clamp(max=size[0]), widths.clamp(max=size[1]))
        return Boxes(boxes.top, boxes.left, heights * found, widths)
