"""Blurring and sharpening, with a strength for each image.

Sums of shifted images instead of convolutions: those take one kernel for the whole batch, and
round differently with its size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bench.engine.augment import Draws, to_float


def gaussian_weights(sigma: Tensor, kernel_size: int) -> Tensor:
    """Return the weights of Gaussian kernels, (B, kernel_size) float32, that add up to 1.

    As in torchvision: exp(-x**2 / (2 * sigma**2)) at whole pixels x, normalised.
    """
    half = kernel_size // 2
    x = torch.arange(-half, half + 1, device=sigma.device)
    weights = torch.exp(-0.5 * (x / sigma.to(torch.float64)[:, None]) ** 2)
    return (weights / weights.sum(1, keepdim=True)).to(torch.float32)


def blur(images: Tensor, weights: Tensor) -> Tensor:
    """Convolve (B, C, H, W) float32 with `weights` (B, K) down and across; edges are mirrored."""
    size = weights.shape[1]
    half = size // 2
    result = functional.pad(images, (half, half, half, half), mode="reflect")
    for dim in (-1, -2):
        length = images.shape[dim]
        parts = (
            result.narrow(dim, shift, length) * weights[:, shift].view(-1, 1, 1, 1)
            for shift in range(size)
        )
        total = next(parts)
        for part in parts:
            total += part
        result = total
    return result


def sharpen(images: Tensor, factors: Tensor) -> Tensor:
    """Blend (B, C, H, W) float32 with a smoothed version; `factors` (B,).

    The smoothing kernel is 5 in the middle and 1 around it, over 13, as in Pillow and
    torchvision; the outermost pixels are not smoothed.
    """
    height, width = images.shape[-2:]
    if height <= 2 or width <= 2:
        return images
    across = images[..., :-2] + images[..., 1:-1]
    across += images[..., 2:]
    around = across[..., :-2, :] + across[..., 1:-1, :]
    around += across[..., 2:, :]
    inner = images[..., 1:-1, 1:-1]
    around += inner * 4
    result = images.clone()
    result[..., 1:-1, 1:-1] += (around * (1 / 13)).sub_(inner).mul_(1 - factors.view(-1, 1, 1, 1))
    return result.clamp_(0, 1)


class Blur:
    """Blur with a Gaussian kernel, its width drawn for each image.

    Args:
        kernel_size: odd; rows and columns of the kernel.
        sigma: the least and the greatest standard deviation, pixels.
    """

    def __init__(self, kernel_size: int, sigma: tuple[float, float]) -> None:
        self.kernel_size = kernel_size
        self.sigma = sigma

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) float32 in [0, 1]."""
        weights = gaussian_weights(self.draw(draws), self.kernel_size)
        return blur(to_float(images), weights).clamp_(0, 1)

    def draw(self, draws: Draws) -> Tensor:
        """Return (B,) float32 standard deviations, pixels."""
        low, high = self.sigma
        return draws.uniform()[:, 0] * (high - low) + low
