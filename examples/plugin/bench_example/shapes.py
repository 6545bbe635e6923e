"""A dataset that is drawn, not read: discs, squares and triangles of any size, place and colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CLASSES = ("disc", "square", "triangle")
SIZE = 24


def load(
    data_dir: Path | None, *, train: int = 600, test: int = 300, noise: float = 30.0, seed: int = 0
) -> bench.Splits:
    """Discs, squares and triangles on a noisy ground, 24 x 24 pixels, drawn anew from a seed.

    Args:
        data_dir: not used; nothing is read.
        train: number of images to learn from, of which bench sets some aside to select on.
        test: number of images to report on.
        noise: standard deviation of the ground, in levels of 0 to 255.
        seed: the same one draws the same images.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    labels = np.arange(train + test) % len(CLASSES)
    images = np.stack([draw(int(label), noise, generator) for label in labels])
    return bench.Splits(
        train=(images[:train], labels[:train]),
        test=(images[train:], labels[train:]),
        classes=CLASSES,
    )


def draw(label: int, noise: float, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return an image of a shape, (24, 24, 3)."""
    import numpy as np

    radius = generator.uniform(6, 10)
    y, x = np.indices((SIZE, SIZE)) - generator.uniform(radius, SIZE - radius, (2, 1, 1))
    inside = (
        x**2 + y**2 < radius**2,
        np.maximum(abs(x), abs(y)) < 0.85 * radius,
        (y < 0.7 * radius) & (y > 2.2 * abs(x) - radius),
    )[label]
    image = generator.normal(generator.uniform(20, 120, 3), noise, (SIZE, SIZE, 3))
    image[inside] += generator.uniform(60, 120, 3)
    return image.clip(0, 255).astype(np.uint8)


def hints(
    data_dir: Path | None, *, train: int = 600, test: int = 300, noise: float = 30.0, seed: int = 0
) -> bench.DatasetHints:
    """Return what is known without drawing: plans and estimates ask for it."""
    return bench.DatasetHints(train=train, test=test, image_size=SIZE, channels=3)


DATASET = bench.Dataset(
    name="shapes", load=load, hints=hints, recommends={"epochs": 5, "batch_size": 16}
)
