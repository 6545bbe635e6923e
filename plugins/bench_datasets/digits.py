"""Handwritten digits of 8x8 pixels, which come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import bench


def load(data_dir: Path | None) -> bench.Splits:
    """1,797 handwritten digits of 8x8 pixels, inside scikit-learn.

    Part of the set of Alpaydin and Kaynak, 1998 (https://doi.org/10.24432/C50P49). Gray values
    0 to 16 are scaled to 0 to 255. There is no official test split.

    Args:
        data_dir: not used; the data come with scikit-learn.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return bench.Splits(
        train=(images, bunch.target),
        classes=[str(digit) for digit in bunch.target_names],
    )


DATASET = bench.Dataset(
    name="digits",
    load=load,
    recommends={"epochs": 15, "batch_size": 32, "image_kind": "symbol"},
    hints=bench.DatasetHints(train=1797, test=0, image_size=8, channels=1),
    preload=("sklearn.datasets",),
)
