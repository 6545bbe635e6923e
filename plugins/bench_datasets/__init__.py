"""The built-in datasets: one file for each, one table for those of torchvision, and the sources."""

from __future__ import annotations

import bench
from bench_datasets import digits, fashion_mnist, fashion_mnist_mini, torchvision_sets
from bench_datasets.sources import SOURCES

BENCH_API = 1


@bench.hookimpl
def register_datasets() -> list[bench.Dataset]:
    """Return the built-in datasets."""
    return [
        fashion_mnist_mini.DATASET,
        fashion_mnist.DATASET,
        digits.DATASET,
        *torchvision_sets.DATASETS,
        *SOURCES,
    ]
