"""Predictions, and the metrics that are computed from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import metrics
from bench.engine import device as devices
from bench.engine.distributed import Group, split
from bench.engine.pipeline import Batches
from bench.specs import Task

EVALUATION_BATCH = 256
MAX_EVALUATION_PIXELS = EVALUATION_BATCH * 3 * 64 * 64
"""Larger images are evaluated in smaller batches, so that memory stays bounded."""
THRESHOLD = 0.5


@dataclass(frozen=True)
class Question:
    """What a model is asked about an image, and how its logits are read.

    Attributes:
        task: what is to be said of an image.
        classes: class names in the order of the logits.
        taxonomy: the path to each class, for a hierarchical task; else empty.
    """

    task: Task
    classes: tuple[str, ...]
    taxonomy: Sequence[Sequence[str]] = ()

    def hits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return for each item whether all that is said of it is right, (N,) bool."""
        if self.task is Task.MULTI_LABEL:
            return ((logits > 0) == labels.bool()).all(1)
        return logits.argmax(1) == labels

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what logits (N, C) mean: by label, or shared out over the classes."""
        return logits.sigmoid() if self.task is Task.MULTI_LABEL else logits.softmax(1)

    def log_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the log loss that is reported for val, the mean over the batch."""
        if self.task is Task.MULTI_LABEL:
            return functional.binary_cross_entropy_with_logits(logits, labels.float())
        return functional.cross_entropy(logits, labels)


@dataclass(frozen=True)
class Predictions:
    """What a model says of one split.

    Attributes:
        ids: (N,) int64, places in the stored split.
        labels: (N,) int64, the truth; (N, C) uint8 for a multi-label task.
        predicted: the class with the largest logit, (N,) int64; or (N, C) uint8.
        probabilities: (N, C) float32.
    """

    question: Question = field(repr=False)
    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32]

    @property
    def stored_probabilities(self) -> npt.NDArray[np.floating[Any]]:
        """Return what `predictions.npz` keeps: two bytes each, four in a multi-label task.

        Its metric goes by the order of the items, and in float16 all that is nearly certain ties.
        """
        exact = self.question.task is Task.MULTI_LABEL
        return self.probabilities if exact else self.probabilities.astype(np.float16)

    def arrays(self, split: str) -> dict[str, npt.NDArray[Any]]:
        """Return what `predictions.npz` holds."""
        predicted = self.predicted
        return {
            f"{split}_ids": self.ids,
            f"{split}_labels": self.labels,
            f"{split}_predicted": predicted.astype(np.int32) if predicted.ndim == 1 else predicted,
            f"{split}_probabilities": self.stored_probabilities,
        }

    def metrics(self) -> dict[str, Any]:
        """Return the metrics that suit the task, with `n`."""
        # As stored: whoever recomputes a metric from the file gets the same number.
        return metrics.compute(
            self.question.task,
            self.labels,
            self.predicted,
            self.stored_probabilities,
            self.question.classes,
            self.question.taxonomy,
        )

    def at(self, threshold: float) -> Predictions:
        """Return what is said where labels count as present from another probability on."""
        said = metrics.said(self.stored_probabilities, threshold)
        return dataclasses.replace(self, predicted=said.astype(np.uint8))


def batch_size(batches: Batches) -> int:
    """Return how many images are evaluated at a time."""
    pixels = batches.images.shape[1] * batches.size**2
    return max(1, min(EVALUATION_BATCH, MAX_EVALUATION_PIXELS // pixels))


def predict(
    model: nn.Module,
    batches: Batches,
    question: Question,
    device: str,
    precision: str,
    group: Group | None = None,
) -> Predictions:
    """Return the model's predictions for every item of a split, none dropped.

    Ranks of a group share the work, and each returns all of it.
    """
    group = group or Group()
    group.share_buffers(model)
    everything = group.joined(_logits(model, batches, question, device, precision, group))
    labels = batches.labels.cpu().numpy()
    probabilities = question.probabilities(everything).cpu().numpy()
    predicted = everything.argmax(1).cpu().numpy()
    if question.task is Task.MULTI_LABEL:
        labels = labels.astype(np.uint8)
        predicted = metrics.said(probabilities, THRESHOLD).astype(np.uint8)
    return Predictions(question, batches.ids, labels, predicted, probabilities)


@torch.inference_mode()
def _logits(
    model: nn.Module,
    batches: Batches,
    question: Question,
    device: str,
    precision: str,
    group: Group,
) -> Tensor:
    """Return the logits (n, C) of this rank's items, in their order."""
    model.eval()
    size = batch_size(batches)
    whole = len(batches) // size * size
    # Shared out in whole rows: the same rows as in one process give the same bits.
    full = split(list(torch.arange(whole).view(-1, size)), group)
    rows = [torch.stack(full)] if full else []
    if whole < len(batches) and group.rank == group.size - 1:
        rows.append(torch.arange(whole, len(batches)).view(1, -1))
    logits = [torch.empty((0, len(question.classes)), device=batches.labels.device)]
    for part in rows:
        for images in batches.stream(part):
            with devices.autocast(device, precision):
                logits.append(model(images).float())
    return torch.cat(logits)


def decide(predictions: Predictions, wanted: float | str) -> float:
    """Return the threshold of a multi-label task: as given, or with `val` the best on these.

    Args:
        predictions: on val.
        wanted: a probability, or `val`.
    """
    if wanted != "val":
        return float(wanted)
    return metrics.best_threshold(predictions.labels, predictions.stored_probabilities)
