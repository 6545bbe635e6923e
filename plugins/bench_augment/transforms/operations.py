"""The fourteen operations of TrivialAugment and RandAugment, one of them for each image.

Operations, magnitudes and kernels are torchvision's (`TrivialAugmentWide`, `RandAugment`), so
that a policy here and there differs in nothing but that images of a batch draw on their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from bench.engine.augment import Draws, to_float
from bench_augment.transforms.colors import brighten, contrast, saturate
from bench_augment.transforms.moves import below
from bench_augment.transforms.neighbours import sharpen
from bench_augment.transforms.warps import warp

OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
"""In torchvision's order and under its names."""

_SIGNED = OPERATIONS[1:10]
_WARPS = OPERATIONS[1:6]


@dataclass(frozen=True)
class Strengths:
    """The greatest magnitude of each operation.

    Attributes:
        shear: tangent of the angle.
        translate: columns and rows, pixels.
        degrees: of rotation.
        colour: of brightness, colour, contrast and sharpness: the factor is 1 - it or 1 + it.
        bits: that posterizing takes from 8.
    """

    shear: float
    translate: tuple[float, float]
    degrees: float
    colour: float
    bits: int

    def table(self, bins: int) -> Tensor:
        """Return the magnitudes of all operations, (14, bins) float32; 0 where there is none."""
        ends = {
            "ShearX": self.shear,
            "ShearY": self.shear,
            "TranslateX": self.translate[0],
            "TranslateY": self.translate[1],
            "Rotate": self.degrees,
            **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), self.colour),
        }
        rows = {name: torch.linspace(0.0, end, bins) for name, end in ends.items()}
        rows["Posterize"] = (8 - torch.arange(bins) / ((bins - 1) / self.bits)).round()
        rows["Solarize"] = torch.linspace(1.0, 0.0, bins)
        return torch.stack([rows.get(name, torch.zeros(bins)) for name in OPERATIONS])


class Policy:
    """Operations drawn for each image, one after another.

    Args:
        strengths: the greatest magnitudes.
        bins: number of magnitudes, from none to the greatest.
        count: operations for each image.
        chosen: the place among the magnitudes; None draws it for each image.
    """

    def __init__(self, strengths: Strengths, bins: int, count: int, chosen: int | None) -> None:
        self.magnitudes = strengths.table(bins)
        self.signed = torch.tensor([name in _SIGNED for name in OPERATIONS])
        self.count = count
        self.chosen = chosen

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Return (B, C, H, W) float32 in [0, 1]."""
        if self.magnitudes.device != images.device:
            self.magnitudes = self.magnitudes.to(images.device)
            self.signed = self.signed.to(images.device)
        images = to_float(images)
        for _ in range(self.count):
            images = apply(images, *self.draw(draws))
        return images

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return (B,) int64 places in `OPERATIONS` and (B,) float32 signed magnitudes."""
        uniform = draws.uniform(3)
        operations = below(uniform[:, 0], len(OPERATIONS))
        if self.chosen is None:
            places = below(uniform[:, 1], self.magnitudes.shape[1])
        else:
            places = torch.full_like(operations, self.chosen)
        magnitudes = self.magnitudes[operations, places]
        negative = self.signed[operations] & (uniform[:, 2] < 0.5)
        return operations, torch.where(negative, -magnitudes, magnitudes)


def apply(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Apply to each image the operation that was drawn for it.

    Args:
        images: (B, C, H, W) float32 in [0, 1].
        operations: (B,) int64, places in `OPERATIONS`.
        magnitudes: (B,) float32, signed.

    Returns:
        (B, C, H, W) float32 in [0, 1].
    """
    result = images.clone()
    for names, kernel in _KERNELS:
        first = OPERATIONS.index(names[0])
        chosen = (operations >= first) & (operations < first + len(names))
        if _grouped(images):
            rows = chosen.nonzero()[:, 0]
            if len(rows):
                changed = kernel(images[rows], operations[rows], magnitudes[rows])
                result.index_copy_(0, rows, changed)
        else:
            changed = kernel(images, operations, magnitudes)
            result = torch.where(chosen.view(-1, 1, 1, 1), changed, result)
    return result


def _grouped(images: Tensor) -> bool:
    """Whether to take a batch apart by operation, and not to compute all of them for all images.

    On an accelerator the host would have to wait for the number of rows in each group.
    """
    return images.device.type == "cpu"


Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def _warp(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Shear about the upper left corner, translate by whole pixels or rotate; nearest pixels."""
    height, width = images.shape[-2:]

    def only(name: str) -> Tensor:
        return magnitudes.to(torch.float64) * (operations == OPERATIONS.index(name))

    shear_x, shear_y, radians = only("ShearX"), only("ShearY"), only("Rotate") * (math.pi / 180)
    cosine, sine = torch.cos(radians), torch.sin(radians)
    rows = [
        cosine,
        shear_x - sine,
        shear_x * (height / 2) - only("TranslateX").trunc(),
        shear_y + sine,
        cosine,
        shear_y * (width / 2) - only("TranslateY").trunc(),
    ]
    return warp(images, torch.stack(rows, 1).view(-1, 2, 3), "nearest")


def _posterize(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Keep the highest bits of the values, as many as the magnitude says."""
    bits = magnitudes.to(torch.int64).clamp_(0, 8)
    levels = (torch.ones_like(bits) << bits).to(torch.float32).view(-1, 1, 1, 1)
    return (images * levels).floor_().minimum(levels - 1).mul_(1 / levels)


def _solarize(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Invert the values that reach the magnitude."""
    return torch.where(images >= magnitudes.view(-1, 1, 1, 1), 1 - images, images)


_KERNELS: tuple[tuple[tuple[str, ...], Kernel], ...] = (
    (_WARPS, _warp),
    (("Brightness",), lambda images, _, magnitudes: brighten(images, magnitudes + 1)),
    (("Color",), lambda images, _, magnitudes: saturate(images, magnitudes + 1)),
    (("Contrast",), lambda images, _, magnitudes: contrast(images, magnitudes + 1)),
    (("Sharpness",), lambda images, _, magnitudes: sharpen(images, magnitudes + 1)),
    (("Posterize",), _posterize),
    (("Solarize",), _solarize),
    (("AutoContrast",), lambda images, *_: functional.autocontrast(images)),
    (("Equalize",), lambda images, *_: functional.equalize(images)),
)
