"""Predictions, and the metrics that are computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.engine import device as devices
from bench.engine.pipeline import Batches

EVALUATION_BATCH = 256
MAX_EVALUATION_PIXELS = EVALUATION_BATCH * 3 * 64 * 64
"""Larger images are evaluated in smaller batches, so that memory stays bounded."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of one split.

    Attributes:
        ids: (N,) int64, places in the stored split.
        labels: (N,) int64, the truth.
        predicted: (N,) int64, the class with the largest logit.
        probabilities: (N, C) float32 softmax of the logits.
    """

    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    def arrays(self, split: str) -> dict[str, npt.NDArray[Any]]:
        """Return what `predictions.npz` holds; probabilities as float16, two bytes each."""
        return {
            f"{split}_ids": self.ids,
            f"{split}_labels": self.labels,
            f"{split}_predicted": self.predicted.astype(np.int32),
            f"{split}_probabilities": self.probabilities.astype(np.float16),
        }


def batch_size(batches: Batches) -> int:
    """Return how many images are evaluated at a time."""
    pixels = batches.images.shape[1] * batches.size**2
    return max(1, min(EVALUATION_BATCH, MAX_EVALUATION_PIXELS // pixels))


@torch.inference_mode()
def predict(model: nn.Module, batches: Batches, device: str, precision: str) -> Predictions:
    """Return the model's predictions for every item of a split, none dropped."""
    model.eval()
    size = batch_size(batches)
    logits = []
    for start in range(0, len(batches), size):
        indices = torch.arange(start, min(start + size, len(batches)), device=device)
        with devices.autocast(device, precision):
            logits.append(model(batches.gather(indices)).float())
    everything = torch.cat(logits)
    return Predictions(
        ids=batches.ids,
        labels=batches.labels.cpu().numpy(),
        predicted=everything.argmax(1).cpu().numpy(),
        probabilities=everything.softmax(1).cpu().numpy(),
    )


def metrics(predictions: Predictions) -> dict[str, float | int]:
    """Return accuracy (micro average), log loss (natural logarithm, mean over items) and n."""
    rows = np.arange(len(predictions.labels))
    # As stored, in float16: whoever recomputes the metric from the file gets the same number.
    stored = predictions.probabilities.astype(np.float16).astype(np.float64)
    likelihood = np.maximum(stored[rows, predictions.labels], np.finfo(np.float16).tiny)
    return {
        "accuracy": float((predictions.predicted == predictions.labels).mean()),
        "log_loss": float(-np.log(likelihood).mean()),
        "n": len(predictions.labels),
    }
