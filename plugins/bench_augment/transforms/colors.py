"""Brightness, contrast, saturation and noise, with a strength for each image.

The formulas are those of `torchvision.transforms.v2.functional` for float images.
"""

from __future__ import annotations

from torch import Tensor

from bench.engine.augment import Draws, mean_of, to_float


def gray(images: Tensor) -> Tensor:
    """Return the luma (ITU-R BT.601) of RGB images, (B, 1, H, W) float32; of gray ones themselves.

    The weights are torchvision's, rounded to four places; they add up to 0.9999.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (red * 0.2989).add_(green * 0.587).add_(blue * 0.114)[:, None]


def blend(images: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    """Return factor * image + (1 - factor) * other, cut to [0, 1].

    Args:
        images: (B, C, H, W) float32.
        other: what it broadcasts with.
        factors: (B,) float32; 1 leaves an image as it is.
    """
    weights = factors.view(-1, 1, 1, 1)
    return (images * weights).add_(other * (1 - weights)).clamp_(0, 1)


def brighten(images: Tensor, factors: Tensor) -> Tensor:
    """Blend (B, C, H, W) float32 with black; `factors` (B,)."""
    return (images * factors.view(-1, 1, 1, 1)).clamp_(0, 1)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend (B, C, H, W) float32 with its mean gray; `factors` (B,)."""
    return blend(images, mean_of(gray(images)), factors)


def saturate(images: Tensor, factors: Tensor) -> Tensor:
    """Blend (B, C, H, W) float32 with its gray version; `factors` (B,). Gray stays as it is."""
    return images if images.shape[1] == 1 else blend(images, gray(images), factors)


class _Jitter:
    """Change colours by a factor drawn from max(0, 1 - strength) to 1 + strength.

    Args:
        strength: 0 or more.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def draw(self, draws: Draws) -> Tensor:
        """Return (B,) float32 factors."""
        low, high = max(0.0, 1 - self.strength), 1 + self.strength
        return draws.uniform()[:, 0] * (high - low) + low


class Brightness(_Jitter):
    """Change the brightness."""

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) float32 in [0, 1]."""
        return brighten(to_float(images), self.draw(draws))


class Contrast(_Jitter):
    """Change the contrast."""

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) float32 in [0, 1]."""
        return contrast(to_float(images), self.draw(draws))


class Saturation(_Jitter):
    """Change the saturation; gray images stay as they are."""

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W): float32 in [0, 1], gray images as they came."""
        return images if images.shape[1] == 1 else saturate(to_float(images), self.draw(draws))


class Noise:
    """Add independent Gaussian noise to every value.

    Args:
        std: of the noise, where values go from 0 to 1.
    """

    def __init__(self, std: float) -> None:
        self.std = std

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) float32 in [0, 1]."""
        noise = draws.noise(images.shape[1:])
        return noise.mul_(self.std).add_(to_float(images)).clamp_(0, 1)
