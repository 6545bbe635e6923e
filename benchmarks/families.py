"""One network of each family, trained for an epoch, as a Markdown table.

All see the same images in the same batches, at the dataset's own size or else the smallest that a
network takes. An epoch on few images ranks nothing: the table shows that each
family runs, at what size, and what it costs.

    python benchmarks/families.py [--limit N] [--epochs N] [--models NAMES] [--input-size N]
"""

from __future__ import annotations

import argparse
import platform

import timm
import torch
import torchvision

import bench
from bench import hardware, tables

MODELS = (
    "cnn,cnn3,cnn-flowers,mobilenet,efficientnet,resnet18,resnet50,vgg11,vgg19,densenet,googlenet,"
    "convnext,inception_v3,inception_v4,xception,vit"
)


def line(row):
    """Return a row of the table; the error in place of figures where the run failed."""
    if row.score is None:
        return [f"`{row.model}`", *["–"] * 6, "; ".join(row.errors)]
    low, high = (f"{100 * end:.1f}" for end in (row.score.low, row.score.high))
    return [
        f"`{row.model}`",
        str(row.input_size),
        tables.count(row.parameters),
        tables.count(row.flops),
        f"{100 * row.score.mean:.1f}% ({low} to {high})",
        str(row.n),
        f"{row.images_per_second:,.0f}",
        f"{row.train_seconds:,.1f}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--dataset", default="fashion-mnist-mini")
    parser.add_argument("--limit", type=int, default=640, help="images of each split")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--input-size", type=int, help="pixels (default: the dataset's own)")
    parser.add_argument("--results", default="results/families")
    given = parser.parse_args()
    result = bench.run(
        models=given.models,
        datasets=given.dataset,
        epochs=given.epochs,
        limit=given.limit,
        input_size=given.input_size,
        threads=1,
        device="cpu",
        results=given.results,
    )
    order = {record.spec.model.name: i for i, record in enumerate(result.records)}
    # One optimizer and one seed: a model is one row.
    rows = sorted(result.leaderboard.rows, key=lambda row: order[row.model])
    print(
        f"{given.dataset}, {given.epochs} epoch(s) of at most {given.limit} images, "
        "batch 32, 1 thread, 1 seed; n: test images"
    )
    print(
        f"{hardware.cpu_name()}, python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, timm {timm.__version__}"
    )
    print()
    heads = [
        "model",
        "size",
        "parameters",
        "FLOPs",
        "test accuracy",
        "test images",
        "images/s",
        "train s",
    ]
    for cells in (heads, ["---"] * len(heads), *(line(row) for row in rows)):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
