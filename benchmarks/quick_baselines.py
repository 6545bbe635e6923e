"""What the quick levels of two baselines expect: one epoch by a plain loop of torch.

Nothing of bench is in it, so that `bench verify` is held against something else than itself.

    python benchmarks/quick_baselines.py --mnist FOLDER --fashion-mnist FOLDER [--seeds 4]

The folders hold the four IDX files, gzipped or not. Prints the test accuracy of each seed, their
mean and their standard deviation.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
from pathlib import Path

import numpy as np
import torch
from torch import nn

TRAIN = 58_800
"""What `val = 0.02` leaves of the training images."""
NETWORKS = {"mnist": (1, 32), "fashion-mnist": (2, 64)}
"""Convolutions and batch size, by the name of the data."""


def read(folder: Path, stem: str) -> torch.Tensor:
    """Return the array that an IDX file of bytes holds."""
    path = next(path for path in (folder / f"{stem}.gz", folder / stem) if path.exists())
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    shape = np.frombuffer(content, ">u4", content[3], 4)
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)
    return torch.from_numpy(array.copy())


def network(depth: int) -> nn.Module:
    """Return convolutions of 32, 64, ... filters with pooling, and two dense layers."""
    layers: list[nn.Module] = []
    channels = 1
    for block in range(depth):
        filters = 32 * 2**block
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    features = channels * (28 // 2**depth) ** 2
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def accuracy(folder: Path, depth: int, batch: int, seed: int) -> float:
    """Train one epoch and return the accuracy on the test images."""
    torch.manual_seed(seed)
    images, labels = (
        read(folder, f"train-{name}-ubyte") for name in ("images-idx3", "labels-idx1")
    )
    net = network(depth)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    order = torch.randperm(len(images))[:TRAIN]
    for chosen in order.split(batch):
        said = net(images[chosen, None].float() / 255)
        loss = nn.functional.cross_entropy(said, labels[chosen].long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, labels = (read(folder, f"t10k-{name}-ubyte") for name in ("images-idx3", "labels-idx1"))
    with torch.no_grad():
        said = torch.cat([net(part[:, None].float() / 255).argmax(1) for part in images.split(500)])
    return float((said == labels).float().mean())


def main() -> None:
    """Train what was asked for and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in NETWORKS:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=4)
    given = vars(parser.parse_args())
    torch.set_num_threads(1)
    for name, (depth, batch) in NETWORKS.items():
        folder = given[name.replace("-", "_")]
        if folder is None:
            continue
        found = [accuracy(folder, depth, batch, seed) for seed in range(given["seeds"])]
        spread = statistics.stdev(found) if len(found) > 1 else float("nan")
        shown = ", ".join(f"{value:.4f}" for value in found)
        print(f"{name}: {shown}; mean {statistics.fmean(found):.4f}, deviation {spread:.4f}")


if __name__ == "__main__":
    main()
