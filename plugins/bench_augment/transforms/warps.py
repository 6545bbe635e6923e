"""Affine maps of images, each with its own matrix, in one sampling of the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from bench.engine.augment import Draws, to_float


def warp(images: Tensor, matrices: Tensor, mode: str) -> Tensor:
    """Map images by the inverses of affine maps; what comes in from outside is black.

    Written out and not left to `affine_grid`, whose matrix products round differently with the
    number of images.

    Args:
        images: (B, C, H, W) float32.
        matrices: (B, 2, 3), from the pixels of the result to those of the source, x before y,
            both counted from the middle of the image.
        mode: `bilinear` or `nearest`.

    Returns:
        (B, C, H, W) float32.
    """
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = (torch.arange(height, device=images.device) - (height - 1) / 2)[:, None]
    columns = matrices.to(torch.float32)[..., None, None]
    scaled = [columns[:, row] / (0.5 * size) for row, size in ((0, width), (1, height))]
    axes = [row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in scaled]
    grid = torch.stack(axes, -1)
    return functional.grid_sample(images, grid, mode, "zeros", align_corners=False)


def inverse(angle: Tensor, scale: Tensor) -> Tensor:
    """Return (B, 2, 3) float64, the inverse of turning and then scaling about the middle.

    Args:
        angle: (B,) degrees, counter-clockwise.
        scale: (B,) factor; above 1 enlarges.
    """
    radians = angle.to(torch.float64) * (math.pi / 180)
    # In float64, so that the last bit, which may depend on the size of the batch, is rounded off.
    cosine, sine = torch.cos(radians) / scale, torch.sin(radians) / scale
    zero = torch.zeros_like(cosine)
    values = torch.stack([cosine, -sine, zero, sine, cosine, zero], 1)
    return values.view(-1, 2, 3)


class Warp:
    """Turn and scale images about their middle, bilinearly.

    Args:
        degrees: the furthest turn to either side.
        zoom: the furthest factor is 1 - zoom or 1 + zoom.
    """

    def __init__(self, degrees: float, zoom: float) -> None:
        self.degrees = degrees
        self.zoom = zoom

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) float32 in [0, 1]."""
        # Interpolation weights may add up to a bit more than 1.
        angle, scale = self.draw(draws)
        return warp(to_float(images), inverse(angle, scale), "bilinear").clamp_(0, 1)

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return (B,) float32 degrees, counter-clockwise, and (B,) float32 factors."""
        signed = draws.uniform(2) * 2 - 1
        return signed[:, 0] * self.degrees, signed[:, 1] * self.zoom + 1
