"""The built-in convolutional networks, small enough to train on a CPU.

cnn.py          batch normalisation, convolution, pooling and dropout; two dense layers
cnn3.py         three convolutions that step by two, and one dense layer
cnn_flowers.py  the network of the well-known tutorial on photographs of flowers
blocks.py       what they share: activations, widths, checks and the plain network
"""

from __future__ import annotations

import bench
from bench_cnn import cnn, cnn3, cnn_flowers

BENCH_API = 1


@bench.hookimpl
def register_models() -> list[bench.Model]:
    """Return the built-in convolutional networks."""
    return [cnn.MODEL, cnn3.MODEL, cnn_flowers.MODEL]
