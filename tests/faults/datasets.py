"""`tiny`, which is learnable within a second, and datasets that break the contract."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bench

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]
CLASSES = 3
SIZE = 8


def arrays(count: int, seed: int) -> Arrays:
    """Return gray images whose brightest rows tell their class, and the labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = generator.integers(0, 120, (count, SIZE, SIZE), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 3] += 100
    return images, labels


def sound(data_dir: Path | None) -> bench.Splits:
    """96 + 48 gray images of 8x8 pixels in three classes."""
    return bench.Splits(train=arrays(96, 1), test=arrays(48, 2))


def relabelled(data_dir: Path | None, *, label: Any) -> bench.Splits:
    images, labels = arrays(96, 1)
    labels = labels.astype(np.result_type(labels, type(label)))
    labels[5] = label
    return bench.Splits(train=(images, labels), test=arrays(48, 2), classes=("a", "b", "c"))


def misshapen(data_dir: Path | None) -> bench.Splits:
    images, labels = arrays(96, 1)
    return bench.Splits(train=(np.stack([images] * 2, -1), labels), test=arrays(48, 2))


def real_valued(data_dir: Path | None) -> bench.Splits:
    images, labels = arrays(96, 1)
    return bench.Splits(train=(images / 255, labels), test=arrays(48, 2))


def uneven(data_dir: Path | None) -> bench.Splits:
    images, labels = arrays(96, 1)
    return bench.Splits(train=(images, labels[:-1]), test=arrays(48, 2))


def empty(data_dir: Path | None) -> bench.Splits:
    images, labels = arrays(96, 1)
    return bench.Splits(train=(images[:0], labels[:0]), test=arrays(48, 2))


def one_class(data_dir: Path | None) -> bench.Splits:
    images, labels = arrays(96, 1)
    return bench.Splits(train=(images, labels * 0), test=(images, labels * 0))


def single_image(data_dir: Path | None) -> bench.Splits:
    return bench.Splits(train=arrays(1, 1), test=arrays(48, 2), classes=("a", "b", "c"))


def no_test(data_dir: Path | None) -> bench.Splits:
    return bench.Splits(train=arrays(96, 1), test=None)


def wrong_type(data_dir: Path | None) -> Any:
    return list(arrays(96, 1))


def raises(data_dir: Path | None) -> bench.Splits:
    raise OSError("the disk of the plugin's author is elsewhere")


def locate_raises(data_dir: Path | None) -> Sequence[Path]:
    raise RuntimeError("cannot say where it is")


def named(data_dir: Path | None) -> bench.Splits:
    """Three classes with names that some format could take for markup."""
    names = ("<b>bold</b>", "=1+1", "$x_y$ [red]z[/red] a|b")
    return bench.Splits(train=arrays(96, 3), test=arrays(48, 4), classes=names)


SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 16}
HOSTILE_DATASET = "<img src=x onerror=alert(2)> |[red]d[/red]| $d_1$"
LOADERS = {
    "tiny": sound,
    "label-too-high": functools.partial(relabelled, label=CLASSES),
    "label-negative": functools.partial(relabelled, label=-1),
    "label-float": functools.partial(relabelled, label=0.5),
    "misshapen": misshapen,
    "real-valued": real_valued,
    "uneven": uneven,
    "empty": empty,
    "one-class": one_class,
    "single-image": single_image,
    "no-test": no_test,
    "wrong-type": wrong_type,
    "load-raises": raises,
    HOSTILE_DATASET: named,
}
HINTS = bench.DatasetHints(train=96, test=48, image_size=SIZE, channels=1)
DATASETS = [
    bench.Dataset(name=name, load=load, recommends=SMALL, hints=HINTS)
    for name, load in LOADERS.items()
]
DATASETS.append(bench.Dataset(name="lost", load=sound, locate=locate_raises, recommends=SMALL))
