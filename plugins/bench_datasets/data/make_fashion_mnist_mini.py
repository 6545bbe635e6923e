"""Make fashion_mnist_mini.npz, a class-balanced part of Fashion-MNIST, and its checksum.

    python make_fashion_mnist_mini.py /usr/share/datasets/fashion-mnist

The folder holds the four original .gz files. The same files, NumPy and zlib give the same bytes:
the choice is seeded, and NumPy writes no times into the archive.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_datasets import idx

SEED = 0
PER_CLASS = {"train": 250, "t10k": 100}
TARGET = Path(__file__).with_name("fashion_mnist_mini.npz")


def choose(
    labels: NDArray[np.uint8], per_class: int, random: np.random.RandomState
) -> NDArray[np.int64]:
    """Return the indices of `per_class` images of every class, in ascending order."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chosen = [random.permutation(group)[:per_class] for group in groups]
    return np.sort(np.concatenate(chosen))


def main(source: Path) -> None:
    """Write the data file and, beside it, its SHA-256 in the format of `sha256sum`."""
    # RandomState's stream is frozen by NumPy's policy (NEP 19), that of a Generator is not.
    random = np.random.RandomState(SEED)
    arrays: dict[str, NDArray[np.integer]] = {}
    for stem, per_class in PER_CLASS.items():
        images, labels = idx.read_pair(
            source / f"{stem}-images-idx3-ubyte.gz", source / f"{stem}-labels-idx1-ubyte.gz"
        )
        indices = choose(labels, per_class, random)
        split = "train" if stem == "train" else "test"
        arrays[f"{split}_images"] = images[indices]
        arrays[f"{split}_labels"] = labels[indices]
        # Where each image stands in the original set, so that results can be traced back.
        arrays[f"{split}_indices"] = indices.astype(np.uint16)
    np.savez_compressed(TARGET, **arrays)  # type: ignore[arg-type]
    checksum = f"{hashlib.sha256(TARGET.read_bytes()).hexdigest()}  {TARGET.name}"
    TARGET.with_suffix(".sha256").write_text(f"{checksum}\n", "utf-8")
    print(checksum)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
