"""A plugin with a component of several kinds: one module for each, one hook for each kind.

It is imported whenever `bench` lists what there is, so it imports nothing heavy: the modules below
import torch and NumPy only where something is built or loaded.
"""

from __future__ import annotations

from collections.abc import Iterator

import bench
from bench_example import journal, patches, shapes, signum
from bench_example.failures import run_finished

__all__ = ["BENCH_API", "run_finished"]

BENCH_API = 1


@bench.hookimpl
def register_datasets() -> Iterator[bench.Dataset]:
    """Offer the drawn shapes."""
    yield shapes.DATASET


@bench.hookimpl
def register_models() -> Iterator[bench.Model]:
    """Offer the network of patches."""
    yield patches.MODEL


@bench.hookimpl
def register_optimizers() -> Iterator[bench.Optimizer]:
    """Offer the optimizer."""
    yield signum.OPTIMIZER


@bench.hookimpl
def register_trackers() -> Iterator[bench.Tracker]:
    """Offer the journal."""
    yield journal.TRACKER
