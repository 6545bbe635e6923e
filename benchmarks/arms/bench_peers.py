"""A plugin of bench for the comparison: a network and a dataset of any length."""

from __future__ import annotations

import bench


def build_mlp(num_classes, input_shape, *, hidden=128):
    """Build a perceptron with one hidden layer."""
    from torch import nn

    channels, height, width = input_shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )


def load(data_dir, *, images=2500, size=28):
    """Take the 2,500 training images of fashion-mnist-mini over and over.

    Val and test are 100 images each of its test split. Images larger than 28x28 get a black frame.
    """
    import numpy as np

    from bench_datasets.fashion_mnist_mini import DATASET

    splits = DATASET.load(data_dir)
    (train, train_labels), (rest, rest_labels) = splits.train, splits.test
    frame = (size - 28) // 2
    train, rest = (np.pad(part, ((0, 0), (frame, frame), (frame, frame))) for part in (train, rest))
    chosen = np.arange(images) % len(train)
    each = np.argsort(rest_labels, kind="stable").reshape(10, -1)
    val, test = each[:, :10].ravel(), each[:, 10:20].ravel()
    return bench.Splits(
        train=(train[chosen], train_labels[chosen]),
        val=(rest[val], rest_labels[val]),
        test=(rest[test], rest_labels[test]),
        classes=splits.classes,
    )


@bench.hookimpl
def register_models():
    return [bench.Model(name="mlp", build=build_mlp)]


@bench.hookimpl
def register_datasets():
    return [bench.Dataset(name="garments", load=load)]
