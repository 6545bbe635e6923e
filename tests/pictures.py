"""Image files for tests: of a run's own test split, and of several sizes in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench import selection, stored
from bench.records import RunRecord

Pixels = npt.NDArray[np.uint8]


def pixels_of_test(record: RunRecord) -> Pixels:
    """Return the stored images of a run's test split, in the order of its predictions."""
    spec = record.spec
    dataset = stored.open_stored(spec.fingerprint, spec.variant)
    subset = selection.select(dataset, spec.protocol, "test").test
    return np.asarray(dataset.images(subset.split)[subset.ids])


def write_test_images(record: RunRecord, folder: Path) -> Path:
    """Write a run's test images as files `0.png`, `1.png`, ..., without loss."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(pixels_of_test(record)):
        write(image, folder / f"{number}.png")
    return folder


def write(image: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).save(path)


def write_photographs(folder: Path, *classes: str, each: int = 12, seed: int = 0) -> Path:
    """Write colour images of several sizes, whose tint tells their class, parted into splits."""
    generator = np.random.default_rng(seed)
    for split, count in (("train", each), ("test", 4)):
        for place, name in enumerate(classes):
            for number in range(count):
                size = (int(generator.integers(30, 70)), int(generator.integers(30, 70)), 3)
                image = generator.integers(0, 120, size, dtype=np.uint8)
                image[..., place % 3] += 100
                write(image, folder / split / name / f"{number}.png")
    return folder
