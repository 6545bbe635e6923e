"""Datasets that are wrong, each in one way, and the rule that is to say so."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bench

BENCH_API = 1

CLASSES = ("rose", "sunflower", "tulip")


def images(count: int, seed: int) -> tuple[Any, Any]:
    """Return gray images of noise, (N, 8, 8) uint8, and their labels in turn."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 255, (count, 8, 8), dtype=np.uint8), np.arange(count) % 3


def sound(data_dir: Path | None) -> bench.Splits:
    """60 + 30 images of noise."""
    return bench.Splits(train=images(60, 1), test=images(30, 2), classes=CLASSES)


def label_too_high(data_dir: Path | None) -> bench.Splits:
    """Labels from 1 on, where they begin at 0."""
    pixels, labels = images(60, 1)
    return bench.Splits(train=(pixels, labels + 1), test=images(30, 2), classes=CLASSES)


def float_pixels(data_dir: Path | None) -> bench.Splits:
    """Images that are in [0, 1] already."""
    pixels, labels = images(60, 1)
    return bench.Splits(train=(pixels / 255, labels), test=images(30, 2), classes=CLASSES)


def shuffled_anew(data_dir: Path | None) -> bench.Splits:
    """A test split that is drawn from the generator of whoever asks."""
    pixels, labels = images(90, 1)
    chosen = np.random.permutation(90)
    train, test = chosen[:60], chosen[60:]
    return bench.Splits(
        train=(pixels[train], labels[train]), test=(pixels[test], labels[test]), classes=CLASSES
    )


def numbered_by_a_set(data_dir: Path | None) -> bench.Splits:
    """Class names in the order in which a set happens to hold them."""
    names = [f"kind of flower {number}" for number in range(12)]
    pixels, _ = images(120, 1)
    return bench.Splits(train=(pixels, np.arange(120) % 12), classes=list(set(names)))


def tested_on_train(data_dir: Path | None) -> bench.Splits:
    """The same images to learn from and to report on."""
    return bench.Splits(train=images(60, 1), test=images(60, 1), classes=CLASSES)


def class_without_images(data_dir: Path | None) -> bench.Splits:
    """A class that only its name is known of."""
    return bench.Splits(train=images(60, 1), test=images(30, 2), classes=(*CLASSES, "daisy"))


def raises(data_dir: Path | None) -> bench.Splits:
    """An error of the plugin's own."""
    table = {"train": images(60, 1)}
    return bench.Splits(train=table["training"])


def dies(data_dir: Path | None) -> bench.Splits:
    """The end of the process."""
    os._exit(3)


def hangs(data_dir: Path | None) -> bench.Splits:
    """A wait for what never comes."""
    while True:
        time.sleep(0.1)


def talks(data_dir: Path | None) -> bench.Splits:
    """Words on stdout."""
    print("loading the flowers ...")
    return sound(data_dir)


def nowhere(data_dir: Path | None) -> list[Path]:
    """Name a file that is not there."""
    return [Path("/nowhere/flowers.npz")]


HINTS = bench.DatasetHints(train=600, test=30, image_size=8, channels=1)

BROKEN = {
    "label-too-high": ("is_a_sound_dataset", bench.Dataset(name="", load=label_too_high)),
    "float-pixels": ("is_a_sound_dataset", bench.Dataset(name="", load=float_pixels)),
    "raises": ("is_a_sound_dataset", bench.Dataset(name="", load=raises)),
    "dies": ("is_a_sound_dataset", bench.Dataset(name="", load=dies)),
    "hangs": ("is_a_sound_dataset", bench.Dataset(name="", load=hangs)),
    "shuffled-anew": ("loads_the_same_twice", bench.Dataset(name="", load=shuffled_anew)),
    "numbered-by-a-set": (
        "loads_the_same_content_elsewhere",
        bench.Dataset(name="", load=numbered_by_a_set),
    ),
    "tested-on-train": ("keeps_its_splits_apart", bench.Dataset(name="", load=tested_on_train)),
    "class-without-images": (
        "shows_every_class_in_training",
        bench.Dataset(name="", load=class_without_images),
    ),
    "wrong-hints": ("hints_at_what_it_has", bench.Dataset(name="", load=sound, hints=HINTS)),
    "located-nowhere": (
        "locates_what_it_reads",
        bench.Dataset(name="", load=sound, locate=nowhere),
    ),
    "talks": ("keeps_stdout_clean", bench.Dataset(name="", load=talks)),
    "pins-nonsense": (
        "pins_fields_of_the_protocol",
        bench.Dataset(name="", load=sound, pins={"batchsize": 8}),
    ),
}
"""By name, the rule that it breaks, and the dataset without its name."""


@bench.hookimpl
def register_datasets() -> Iterator[bench.Dataset]:
    yield bench.Dataset(name="sound", load=sound)
    for name, (_, component) in BROKEN.items():
        yield dataclasses.replace(component, name=name)
