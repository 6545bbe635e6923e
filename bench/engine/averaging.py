"""Weights that are averaged over training, and evaluated in place of the last ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel


class Averaging(Protocol):
    """What a training loop does for the weights that are to be evaluated."""

    @property
    def evaluated(self) -> nn.Module:
        """Return the network that is evaluated now."""

    def after_step(self) -> None:
        """Take note of the weights after a training step."""

    def after_epoch(self, epoch: int, images: Iterable[Tensor]) -> bool:
        """Take note of the weights after an epoch and return whether that took its time.

        Args:
            epoch: from 1.
            images: those trained on, batch by batch, not augmented.
        """

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""


class LastWeights:
    """No averaging: the weights of the last step are evaluated."""

    def __init__(self, model: nn.Module) -> None:
        self.evaluated = model

    def after_step(self) -> None:
        """Nothing is to be noted."""

    def after_epoch(self, epoch: int, images: Iterable[Tensor]) -> bool:
        """Nothing is to be noted."""
        return False

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is to be restored."""


class MovingAverage:
    """An exponential moving average of weights and buffers over training steps (EMA).

    After n averaged steps the share that stays is min(decay, (1 + n) / (10 + n)), so that the
    first, random weights are soon forgotten, as in TensorFlow's `ExponentialMovingAverage` with
    `num_updates`.

    Args:
        model: the network that is trained.
        decay: the share of the average that a step leaves, in the long run.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.evaluated = copy.deepcopy(model)
        self._decay = decay
        self._steps = 0
        pairs = [*zip(_tensors(self.evaluated), _tensors(model), strict=True)]
        blended = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averages, self._current = ([pair[i] for pair in blended] for i in (0, 1))
        # Counters of batches have no mean.
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the average towards the weights; nothing waits for the device."""
        # The first weights are taken as they are.
        stays = min(self._decay, (1 + self._steps) / (10 + self._steps)) if self._steps else 0.0
        torch._foreach_lerp_(self._averages, self._current, 1 - stays)
        for average, current in self._counters:
            average.copy_(current)
        self._steps += 1

    def after_epoch(self, epoch: int, images: Iterable[Tensor]) -> bool:
        """Nothing is to be noted."""
        return False

    def state(self) -> dict[str, Any]:
        """Return the average."""
        return {"weights": self.evaluated.state_dict(), "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from an average."""
        self.evaluated.load_state_dict(state["weights"])
        self._steps = int(state["steps"])


class LastEpochs:
    """The mean of the weights at the ends of the last epochs (stochastic weight averaging).

    Izmailov et al., 2018 (https://arxiv.org/abs/1803.05407). Running statistics of batch
    normalisation do not average; they are taken again over the training images, not augmented.

    Args:
        model: the network that is trained.
        start: epochs after which averaging begins.
    """

    def __init__(self, model: nn.Module, start: int) -> None:
        self._model = model
        self._start = start
        self._average = AveragedModel(model)

    @property
    def evaluated(self) -> nn.Module:
        """Return the mean; before there is one, the network that is trained."""
        started = int(self._average.n_averaged) > 0
        return self._average.module if started else self._model

    def after_step(self) -> None:
        """Nothing is to be noted."""

    def after_epoch(self, epoch: int, images: Iterable[Tensor]) -> bool:
        """Take the weights into the mean."""
        if epoch <= self._start:
            return False
        self._average.update_parameters(self._model)
        # What rests in training, as frozen layers do, keeps its statistics in the mean too.
        for averaged, trained in zip(
            self._average.module.modules(), self._model.modules(), strict=True
        ):
            averaged.training = trained.training
        _count_again(self._average.module, images)
        return True

    def state(self) -> dict[str, Any]:
        """Return the mean."""
        return self._average.state_dict()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a mean."""
        self._average.load_state_dict(state)


@torch.no_grad()
def _count_again(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Take the running statistics of batch normalisation as the mean over these batches.

    As `torch.optim.swa_utils.update_bn`, which takes those of layers in evaluation mode as well.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    for batch in images:
        network(batch)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum


def _tensors(model: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]


def averaging_of(model: nn.Module, protocol: Mapping[str, Any]) -> Averaging:
    """Return what a protocol wants to be evaluated."""
    if protocol["averaging"] == "ema":
        return MovingAverage(model, protocol["ema_decay"])
    if protocol["averaging"] == "swa":
        # The last epoch always counts: the mean is to hold something.
        start = min(int(protocol["swa_start"] * protocol["epochs"]), protocol["epochs"] - 1)
        return LastEpochs(model, start)
    return LastWeights(model)
