"""The embedded part of Fashion-MNIST: data at hand on every machine, without a download."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import bench
from bench_datasets.fashion_mnist import CLASSES

FILE = Path(__file__).parent / "data" / "fashion_mnist_mini.npz"
"""Arrays (train|test)_(images|labels|indices); data/make_fashion_mnist_mini.py wrote it."""

REPAIR = "install `bench-harness` again"


def load(data_dir: Path | None) -> bench.Splits:
    """Fashion-MNIST in small, inside the package: 2,500 + 1,000 images, class-balanced.

    Of each class 250 images are drawn from the original training set and 100 from the original
    test set, all 28x28 gray (Xiao, Rasul and Vollgraf, 2017, https://arxiv.org/abs/1708.07747).

    Args:
        data_dir: not used; the data come with the package.

    Raises:
        bench.DataError: the data file is missing or damaged.
    """
    return read(FILE)


def read(path: Path) -> bench.Splits:
    """Return the splits in a data file whose SHA-256 stands beside it.

    Raises:
        bench.DataError: a file is missing, or the data do not have that checksum.
    """
    import numpy as np

    try:
        content = path.read_bytes()
        expected = path.with_suffix(".sha256").read_text("utf-8").split()[:1]
    except (OSError, UnicodeDecodeError) as error:
        raise bench.DataError(f"cannot read the embedded data: {error}; {REPAIR}") from error
    if [hashlib.sha256(content).hexdigest()] != expected:
        raise bench.DataError(f"`{path}` is damaged: its SHA-256 is wrong; {REPAIR}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return bench.Splits(
            train=(arrays["train_images"], arrays["train_labels"]),
            test=(arrays["test_images"], arrays["test_labels"]),
            classes=CLASSES,
        )


DATASET = bench.Dataset(
    name="fashion-mnist-mini",
    load=load,
    recommends={"epochs": 5, "batch_size": 32, "image_kind": "photo"},
    hints=bench.DatasetHints(train=2500, test=1000, image_size=28, channels=1),
    default=True,
)
