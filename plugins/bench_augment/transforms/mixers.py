"""Transforms that mix an image, and its label, with another one."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from bench.engine.augment import Draws, Mixing
from bench_augment.transforms.boxes import Boxes
from bench_augment.transforms.moves import below

_LEVELS = 2**16


@functools.lru_cache(maxsize=16)
def _quantiles(alpha: float, device: str) -> Tensor:
    """Return the inverse of Beta(alpha, alpha)'s distribution function, (65536,) float32.

    Taken at the middles of equally likely intervals: one uniform number then makes one draw,
    where the usual rejection sampling takes any number of them.
    """
    from scipy import special

    middles = (np.arange(_LEVELS) + 0.5) / _LEVELS
    values = special.betaincinv(alpha, alpha, middles)
    return torch.from_numpy(values).to(torch.float32).to(device)


def draw_share(draws: Draws, alpha: float, probability: float) -> Tensor:
    """Return (B,) float32 from Beta(alpha, alpha), and 1 with probability 1 - `probability`."""
    uniform = draws.uniform(2)
    table = _quantiles(alpha, str(uniform.device))
    share = table.index_select(0, below(uniform[:, 0], _LEVELS))
    return share.masked_fill_(uniform[:, 1] >= probability, 1.0)


class Mixup:
    """Average an image with its partner, with a weight from Beta(alpha, alpha).

    Args:
        alpha: the Beta distribution's parameter, above 0.
        probability: of mixing at all, 0 to 1.
    """

    mixes = True

    def __init__(self, alpha: float, probability: float = 1.0) -> None:
        self.alpha = alpha
        self.probability = probability

    def __call__(self, images: Tensor, partners: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return (B, C, H, W) float32 and (B,) float32, the image's own share."""
        share = draw_share(draws, self.alpha, self.probability)
        weights = share.view(-1, 1, 1, 1)
        return (images * weights).add_(partners * (1 - weights)), share


class CutMix:
    """Replace a rectangle of an image by that of its partner.

    Args:
        alpha: the share that is left comes from Beta(alpha, alpha), above 0.
        probability: of mixing at all, 0 to 1.
    """

    mixes = True

    def __init__(self, alpha: float, probability: float = 1.0) -> None:
        self.alpha = alpha
        self.probability = probability

    def __call__(self, images: Tensor, partners: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return (B, C, H, W) of the dtype of `images`, and (B,) float32, its own share."""
        height, width = images.shape[-2:]
        boxes = self.draw(draws, (height, width))
        share = 1 - (boxes.height * boxes.width).to(torch.float32) / (height * width)
        return boxes.paste(images, partners), share

    def draw(self, draws: Draws, size: tuple[int, int]) -> Boxes:
        """Return what to replace in images of `size`, height and width in pixels.

        As in the paper's code and in torchvision: of the image's own proportions, centred on any
        pixel and cut at the edges.
        """
        share = draw_share(draws, self.alpha, self.probability)
        uniform = draws.uniform(2)
        half = 0.5 * torch.sqrt(1 - share)
        starts, lengths = [], []
        for axis, length in enumerate(size):
            centre = below(uniform[:, axis], length)
            reach = below(half, length)
            start = (centre - reach).clamp_(min=0)
            starts.append(start)
            lengths.append((centre + reach).clamp_(max=length) - start)
        return Boxes(starts[0], starts[1], lengths[0], lengths[1])


class Either:
    """One of two ways of mixing for each image, equally likely.

    Args:
        first: used for one half of the images.
        second: used for the other.
    """

    mixes = True

    def __init__(self, first: Mixing, second: Mixing) -> None:
        self.first = first
        self.second = second

    def __call__(self, images: Tensor, partners: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return (B, C, H, W) float32 and (B,) float32, the image's own share."""
        first = (draws.uniform() < 0.5).to(torch.float32)
        # Both are computed: to take images apart, the number in each part would have to be known
        # to the host, which would wait for the device.
        one, other = (mixing(images, partners, draws) for mixing in (self.first, self.second))
        # Products with 0 and 1 are exact, and several times as fast as `where` on CPU.
        weights = first.view(-1, 1, 1, 1)
        mixed = (one[0] * weights).add_(other[0] * (1 - weights))
        return mixed, torch.where(first[:, 0] == 1, one[1], other[1])
