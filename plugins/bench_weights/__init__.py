"""What training may start from: a model's published weights, a file, an earlier run.

published.py   the model's own weights, as its plugin fetches them
file.py        a file in safetensors' format, or one of torch's that holds nothing but weights
run.py         what an earlier run has left, with the way in which it saw images
reading.py     from a file to tensors
"""

from __future__ import annotations

import bench
from bench_weights import file, published, run

BENCH_API = 1


@bench.hookimpl
def register_weights() -> list[bench.Weights]:
    """Return the built-in weights."""
    return [published.WEIGHTS, file.WEIGHTS, run.WEIGHTS]
