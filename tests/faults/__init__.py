"""A plugin package that goes wrong in every way that the tests need, and a little that is sound."""

from __future__ import annotations

from collections.abc import Iterable

import bench
from faults import datasets, losses, models, trackers

BENCH_API = 1


@bench.hookimpl
def register_datasets() -> list[bench.Dataset]:
    return datasets.DATASETS


@bench.hookimpl
def register_models() -> Iterable[bench.Model]:
    return models.MODELS


@bench.hookimpl
def register_losses() -> list[bench.Loss]:
    return losses.LOSSES


@bench.hookimpl
def register_trackers() -> list[bench.Tracker]:
    return trackers.TRACKERS
