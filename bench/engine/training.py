"""The training loop, top to bottom.

Nothing in here knows a dataset, model or optimizer by name, and the test split cannot be reached
from here: it is not among the arguments.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench import metrics as metrics_of
from bench.engine import device as devices
from bench.engine import evaluation
from bench.engine.pipeline import Batches, epoch_order
from bench.records import EpochMetrics

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Diverged(Exception):
    """The loss or the logits are no longer finite."""


@dataclass
class Training:
    """What a run trains with.

    Attributes:
        factors: the learning rate's factor for each step of the run.
        select: `best` to end with the weights of the epoch with the highest val accuracy.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: LossFunction
    factors: Sequence[float]
    epochs: int
    batch_size: int
    seed: int
    device: str
    precision: str
    select: str
    question: evaluation.Question


@dataclass
class Trained:
    """What training gave.

    Attributes:
        best_epoch: the epoch whose weights the model now has, from 1.
        val: its predictions on val.
        train_seconds: of training steps only.
        evaluation_seconds: of the evaluations on val.
    """

    best_epoch: int = 0
    val: evaluation.Predictions | None = None
    epochs: list[EpochMetrics] = field(default_factory=list)
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    images: int = 0


def train(
    job: Training, train_data: Batches, val_data: Batches, report: Callable[[EpochMetrics], None]
) -> Trained:
    """Train a model, evaluate it on val after each epoch, and leave it at the selected epoch.

    An epoch's training accuracy is that of the images as they were trained on, augmented.

    Raises:
        Diverged: a loss or a prediction was NaN or infinite.
    """
    model, optimizer, loss_function = job.model, job.optimizer, job.loss
    base_rates = [group["lr"] for group in optimizer.param_groups]
    factors = iter(job.factors)
    result = Trained()
    best_score = (-1.0, 0.0)
    best_weights: dict[str, Tensor] | None = None

    for epoch in range(1, job.epochs + 1):
        order = epoch_order(len(train_data), job.batch_size, job.seed, epoch)
        loss_sum = torch.zeros((), device=job.device)
        correct = torch.zeros((), device=job.device, dtype=torch.int64)
        model.train()

        devices.synchronize(job.device)
        start = time.perf_counter()
        for images, targets, labels in train_data.epoch(order, epoch):
            factor = next(factors)
            for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
                group["lr"] = rate * factor
            with devices.autocast(job.device, job.precision):
                logits = model(images)
                loss = loss_function(logits, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            # Kept on the device: fetching a number here would stop the device at every step.
            loss_sum += loss.detach()
            correct += job.question.hits(logits.detach(), labels).sum()
        devices.synchronize(job.device)
        seconds = time.perf_counter() - start

        seen = order.numel()
        result.train_seconds += seconds
        result.images += seen
        train_loss = loss_sum.item() / len(order)
        if not math.isfinite(train_loss):
            raise Diverged(f"the training loss is {train_loss} in epoch {epoch}")

        start = time.perf_counter()
        val = evaluation.predict(model, val_data, job.question, job.device, job.precision)
        val_metrics = val.metrics()
        if not math.isfinite(val.probabilities.sum()):
            raise Diverged(f"the predictions on val are not finite after epoch {epoch}")
        # The task's own metric, then the lowest log loss: accuracies tie on small val splits.
        score = (metrics_of.score(val_metrics), -float(val_metrics["log_loss"]))
        if job.select == "last" or score > best_score:
            best_score, result.best_epoch, result.val = score, epoch, val
            if job.select == "best" and epoch < job.epochs:
                best_weights = copy.deepcopy(model.state_dict())
        devices.synchronize(job.device)
        result.evaluation_seconds += time.perf_counter() - start

        metrics = EpochMetrics(
            epoch=epoch,
            epochs=job.epochs,
            train_loss=train_loss,
            train_accuracy=correct.item() / seen,
            val_loss=float(val_metrics["log_loss"]),
            val_accuracy=float(val_metrics["accuracy"]),
            lr=float(optimizer.param_groups[0]["lr"]),
            seconds=seconds,
            images_per_second=seen / seconds,
        )
        result.epochs.append(metrics)
        report(metrics)

    if result.best_epoch != job.epochs and best_weights is not None:
        model.load_state_dict(best_weights)
    return result
