"""Labels of every task, and logits, on which losses are tried."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from bench.specs import SINGLE_LABEL, Task

IMAGES = 8
COUNTS = (40, 3, 1, 6, 50)
"""Training images of each of five classes; of two in a binary task."""


class Labels(NamedTuple):
    """What a loss compares with.

    Attributes:
        name: how messages call them.
        values: (N,) int64 or (N, C) float32.
        rows: the same as (N, C) float32.
    """

    name: str
    values: Tensor
    rows: Tensor

    def mixed(self) -> Labels:
        """Return what an augmentation that mixes images makes of them."""
        rows = 0.7 * self.rows + 0.3 * self.rows.flip(0)
        return Labels("mixed labels, (N, C) float32", rows, rows)

    def one_hot(self) -> Labels:
        """Return what such an augmentation makes of them where it mixes nothing."""
        return Labels("one-hot labels, (N, C) float32", self.rows, self.rows)


def labels_of(task: Task) -> Labels:
    """Return labels as a dataset with that task has them."""
    classes = len(counts_of(task))
    places = torch.arange(IMAGES) % classes
    rows = functional.one_hot(places, classes).float()
    if task in SINGLE_LABEL:
        return Labels("classes, (N,) int64", places, rows)
    # An image may have any number of labels; the first has none.
    rows = torch.clamp(rows + rows.roll(1, 0), max=1.0)
    rows[0] = 0
    return Labels("labels, (N, C) float32 of 0 and 1", rows, rows)


def counts_of(task: Task) -> tuple[int, ...]:
    """Return the training images of each class."""
    return COUNTS[:2] if task == Task.BINARY else COUNTS


def logits_for(labels: Labels, scale: float = 1.0) -> Tensor:
    """Return logits that want a gradient, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(labels.rows.shape, generator=generator) * scale).requires_grad_()
