"""The built-in small convolutional network."""

from __future__ import annotations

import bench
from bench_cnn import cnn


@bench.hookimpl
def register_models() -> list[bench.Model]:
    """Return the built-in convolutional networks."""
    return [cnn.MODEL]
