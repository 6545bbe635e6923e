"""The training loop, top to bottom.

Nothing in here knows a dataset, model or optimizer by name, and the test split cannot be reached
from here: it is not among the arguments.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.engine import device as devices
from bench.engine import evaluation, interruption
from bench.engine.averaging import Averaging
from bench.engine.checkpoint import Checkpoints
from bench.engine.clock import Clock
from bench.engine.distributed import Group
from bench.engine.freezing import Freezing
from bench.engine.generators import random_state, restore_random_state
from bench.engine.interruption import Interrupted
from bench.engine.pipeline import Batches, epoch_order
from bench.engine.rates import LearningRates
from bench.engine.stopping import Selection
from bench.engine.updates import Gradients, micro_batches
from bench.records import EpochMetrics, StepMetrics

COUNTED_TOGETHER = 32
"""Parts of batches whose logits are kept until their hits are counted."""
LossFunction = Callable[[Tensor, Tensor], Tensor]
Report = Callable[[EpochMetrics | StepMetrics], None]


class Diverged(Exception):
    """The loss or the logits are no longer finite."""


@dataclass
class Progress:
    """How far training has come.

    Attributes:
        step: steps of the epoch under way that are done.
        losses: of this epoch, one a part of a batch, weighted by its share of the batch.
        hits: of this epoch, whether each image was told right, as far as counted.
        answers: logits and labels of the parts that are not counted yet.
        seconds: of this epoch's steps.
        history: the epochs that are finished.
        points: of the step curves, so far.
        resumed: how often the run has gone on from a saved state.
        shared: whether the machine was shared with other runs, now or before.
    """

    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    hits: list[Tensor] = field(default_factory=list)
    answers: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    seconds: float = 0.0
    history: list[EpochMetrics] = field(default_factory=list)
    points: list[StepMetrics] = field(default_factory=list)
    resumed: int = 0
    shared: bool = False

    def count_hits(self, question: evaluation.Question) -> None:
        """Tell right from wrong in many parts at once: a small operation costs as much."""
        if self.answers:
            logits, labels = (torch.cat(tensors) for tensors in zip(*self.answers, strict=True))
            self.hits.append(question.hits(logits, labels))
            self.answers.clear()

    def after(self, epoch: EpochMetrics) -> Progress:
        """Return how far training has come when an epoch is finished."""
        return Progress(
            history=[*self.history, epoch],
            points=self.points,
            resumed=self.resumed,
            shared=self.shared,
        )


@dataclass
class Training:
    """What a run trains with, and how far it has come.

    Attributes:
        until: the epoch after which training pauses; None to train to the end.
        micro_batch: images that pass through the network at a time; all of a batch where None.
        group: the processes that train the network together; this one alone by default.
        log_steps: steps between the points of the step curves; none where None.
        item_weights: (N,) float64, by which the items of an epoch are drawn; each once where None.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: LossFunction
    rates: LearningRates
    gradients: Gradients
    averaging: Averaging
    freezing: Freezing
    selection: Selection
    question: evaluation.Question
    epochs: int
    batch_size: int
    seed: int
    device: str
    precision: str
    until: int | None = None
    micro_batch: int | None = None
    log_steps: int | None = None
    item_weights: Tensor | None = None
    progress: Progress = field(default_factory=Progress)
    group: Group = field(default_factory=Group)

    def state(self, clock: Clock) -> dict[str, Any]:
        """Return all that a run needs to go on as if it had never stopped."""
        progress = self.progress
        progress.count_hits(self.question)
        is_current = progress.step == 0 and self.selection.epoch == len(progress.history)
        own = {
            "random": random_state(self.device),
            "losses": torch.stack(progress.losses).cpu() if progress.losses else None,
            "hits": torch.cat(progress.hits).cpu() if progress.hits else None,
            "loss": _on_cpu(self.loss.state_dict()) if isinstance(self.loss, nn.Module) else None,
        }
        self.group.share_buffers(self.model)
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaging": self.averaging.state(),
            "selection": self.selection.state(is_current=is_current),
            "ranks": self.group.gathered(own),
            "spent": dict(clock.parts),
            "step": progress.step,
            "seconds": progress.seconds,
            "history": [metrics.to_dict() for metrics in progress.history],
            "points": [point.to_dict() for point in progress.points],
            "resumed": progress.resumed,
            "shared": progress.shared,
        }

    def restore(self, state: Mapping[str, Any], clock: Clock) -> None:
        """Go on from what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        lay_out_as_weights(self.optimizer)
        own = state["ranks"][self.group.rank]
        if isinstance(self.loss, nn.Module):
            self.loss.load_state_dict(own["loss"])
        self.averaging.restore(state["averaging"])
        self.selection.restore(state["selection"], self.question, self.averaging.evaluated)
        losses, hits = own["losses"], own["hits"]
        self.progress = Progress(
            step=state["step"],
            losses=[] if losses is None else list(losses.to(self.device).unbind()),
            hits=[] if hits is None else [hits.to(self.device)],
            seconds=state["seconds"],
            history=[EpochMetrics(**metrics) for metrics in state["history"]],
            points=[StepMetrics(**point) for point in state["points"]],
            resumed=state["resumed"] + 1,
            shared=self.progress.shared or state["shared"],
        )
        restore_random_state(own["random"])
        clock.resume(state["spent"])


def train(
    job: Training,
    train_data: Batches,
    val_data: Batches,
    report: Report,
    clock: Clock,
    checkpoints: Checkpoints,
) -> None:
    """Train a model, evaluate it on val after each epoch, and leave it at the selected epoch.

    One that pauses is left as its last step made it, so that its state can be saved.

    An epoch's training loss and accuracy are those of the images as they were trained on,
    augmented, in training mode, while the weights moved.

    Raises:
        Diverged: a loss or a prediction was NaN or infinite.
        Interrupted: the run was asked to stop; its state is saved.
    """
    model, optimizer, group = job.model, job.optimizer, job.group
    last = job.epochs if job.until is None else job.until
    for epoch in range(len(job.progress.history) + 1, last + 1):
        if job.selection.exhausted:
            break
        now = job.progress
        items = (len(train_data), job.batch_size, job.seed)
        order = epoch_order(*items, epoch, job.item_weights)
        mine, scale = group.part(order), group.scale(order.shape[1])
        job.rates.begin(now.history)
        job.freezing.begin(epoch)
        job.freezing.train_mode()
        few = functools.partial(train_data.gather, mine[0, :2])
        network = group.wrap(model, few, job.precision)
        most = group.largest_part(order.shape[1])
        clock.mark("reporting_seconds")

        for images, targets, labels in train_data.epoch(mine[now.step :], epoch):
            job.rates.set(now.step)
            optimizer.zero_grad(set_to_none=True)
            parts = micro_batches(job.micro_batch, images, targets, labels, most)
            for share, image, target, label in group.in_turn(network, parts):
                with devices.autocast(job.device, job.precision):
                    logits = network(image)
                    loss = job.loss(logits, target)
                if share * scale != 1:
                    loss = loss * (share * scale)
                loss.backward()
                # Kept on the device: fetching a number here would stop it at every step.
                now.losses.append(loss.detach())
                now.answers.append((logits.detach(), label))
            job.gradients.adjust()
            optimizer.step()
            job.averaging.after_step()
            if len(now.answers) >= COUNTED_TOGETHER:
                now.count_hits(job.question)
            now.step += 1
            point = job.log_steps and ((epoch - 1) * len(order) + now.step) % job.log_steps == 0
            save = now.step < len(order) and group.any_now_and_then(checkpoints.due)
            if point or save:
                now.seconds += clock.mark("train_seconds")
                _check_loss(job, epoch)
                if point:
                    now.points.append(_point(job, val_data, epoch, order, clock))
                    report(now.points[-1])
                    job.freezing.train_mode()
                    clock.mark("evaluation_seconds")
                if save:
                    _save(job, clock, checkpoints, f"in epoch {epoch}, after step {now.step}")
        now.count_hits(job.question)
        now.seconds += clock.mark("train_seconds")

        metrics = _evaluate(job, train_data, val_data, epoch, order, clock)
        job.progress = now.after(metrics)
        clock.mark("evaluation_seconds")
        report(metrics)
        clock.mark("reporting_seconds")
        # What is left after the last epoch takes less than an epoch.
        goes_on = epoch < last and not job.selection.exhausted
        if goes_on and group.any(checkpoints.due_after_epoch()):
            _save(job, clock, checkpoints, f"after epoch {epoch}")
    if job.until is None:
        job.selection.finish(model, job.averaging.evaluated)


def _evaluate(
    job: Training, train_data: Batches, val_data: Batches, epoch: int, order: Tensor, clock: Clock
) -> EpochMetrics:
    """Evaluate what an epoch has come to, and take note of it if it is the best so far."""
    now, group = job.progress, job.group
    _check_loss(job, epoch)
    with devices.autocast(job.device, job.precision):
        rows = order if job.micro_batch is None else _rows(order, job.micro_batch * group.size)
        if job.averaging.after_epoch(epoch, train_data.stream(group.part(rows))):
            clock.mark("averaging_seconds")
    network = job.averaging.evaluated
    val = evaluation.predict(network, val_data, job.question, job.device, job.precision, group)
    val_metrics = val.metrics()
    if not math.isfinite(val.probabilities.sum()):
        raise Diverged(f"the predictions on val are not finite after epoch {epoch}")
    return EpochMetrics(
        epoch=epoch,
        epochs=job.epochs,
        train_loss=_mean_loss(job, now.losses, len(order)),
        train_accuracy=_share_of_hits(job, torch.cat(now.hits)),
        val_loss=float(val_metrics["log_loss"]),
        val_accuracy=float(val_metrics["accuracy"]),
        lr=job.rates.at(len(order) - 1),
        seconds=now.seconds,
        images_per_second=order.numel() / now.seconds,
        steps=epoch * len(order),
        trained_parameters=job.freezing.trained_parameters,
        val_score=job.selection.consider(epoch, val, val_metrics, network),
    )


def lay_out_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give a loaded state the strides of its weights.

    They were saved in the layout of another attempt, which a probe may have chosen otherwise;
    torch's fused kernels for CPUs go through memory without looking at strides.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            alike = isinstance(value, Tensor) and value.shape == parameter.shape
            if alike and parameter.ndim > 1:  # what has one dimension lies in one way only
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _rows(order: Tensor, size: int) -> Tensor:
    """Return an epoch's items in rows of at most `size`; a few that fill no row are left out."""
    count = order.numel()
    width = min(size, count)
    return order.flatten()[: count // width * width].view(-1, width)


def _check_loss(job: Training, epoch: int) -> None:
    """Raise Diverged if any loss of the epoch so far was NaN or infinite."""
    total = job.group.mean(float(torch.stack(job.progress.losses).sum()))
    if not math.isfinite(total):
        raise Diverged(f"the training loss is {total} in epoch {epoch}")


def _mean_loss(job: Training, losses: list[Tensor], steps: int) -> float:
    return job.group.mean(float(torch.stack(losses).double().sum())) / steps


def _share_of_hits(job: Training, hits: Tensor) -> float:
    return job.group.total(int(hits.sum())) / job.group.total(len(hits))


def _on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v.cpu() if isinstance(v, Tensor) else v for name, v in state.items()}


def _save(job: Training, clock: Clock, checkpoints: Checkpoints, when: str) -> None:
    """Save the state of a run, and end it if that is wanted."""
    saved = checkpoints.save(job.state(clock))
    clock.mark("checkpoint_seconds")
    if job.group.any(interruption.requested()):
        then = "goes on from there" if saved else "starts it anew: its state could not be saved"
        raise Interrupted(f"stopped {when}; the same command {then}")


def _point(
    job: Training, val_data: Batches, epoch: int, order: Tensor, clock: Clock
) -> StepMetrics:
    """Return a point of the step curves: the mean since the last one, and val as it is now."""
    now, group = job.progress, job.group
    now.count_hits(job.question)
    steps = min(now.step, job.log_steps or 1)
    parts = len(now.losses) // now.step
    own = len(group.part(order)[0])
    network = job.averaging.evaluated
    said = evaluation.predict(network, val_data, job.question, job.device, job.precision, group)
    val = said.metrics()
    return StepMetrics(
        step=(epoch - 1) * len(order) + now.step,
        epoch=epoch,
        lr=job.rates.at(now.step - 1),
        seconds=clock.parts["train_seconds"],
        train_loss=_mean_loss(job, now.losses[-steps * parts :], steps),
        train_accuracy=_share_of_hits(job, torch.cat(now.hits)[-steps * own :]),
        val_loss=float(val["log_loss"]),
        val_accuracy=float(val["accuracy"]),
    )
