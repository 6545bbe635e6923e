"""The built-in datasets: one file for each, and one table for those that torchvision fetches."""

from __future__ import annotations

import bench
from bench_datasets import digits, fashion_mnist, fashion_mnist_mini, torchvision_sets


@bench.hookimpl
def register_datasets() -> list[bench.Dataset]:
    """Return the built-in datasets."""
    return [
        fashion_mnist_mini.DATASET,
        fashion_mnist.DATASET,
        digits.DATASET,
        *torchvision_sets.DATASETS,
    ]
