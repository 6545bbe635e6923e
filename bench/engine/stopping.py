"""Which epoch is the best so far, by its predictions on val, and whether another one is due."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench import metrics
from bench.engine.evaluation import Predictions, Question
from bench.errors import ConfigError
from bench.specs import Task
from bench.text import did_you_mean, listing


@dataclass
class Selection:
    """Keeps the epoch that is to be tested, and counts those without a better one.

    Attributes:
        select: `best` for the epoch with the highest score on val, `last` for the last one.
        monitor: the val metric that decides; the task's own where None.
        patience: epochs without a better one after which training stops; None for never.
        min_delta: what the score must gain for patience to begin anew.
        epoch: the epoch selected, from 1; 0 before there is any.
        val: its predictions on val.
        weights: its weights; None where the network has them still.
    """

    select: str = "best"
    monitor: str | None = None
    patience: int | None = None
    min_delta: float = 0.0
    epoch: int = 0
    val: Predictions | None = None
    weights: dict[str, Tensor] | None = field(default=None, repr=False)
    _best: tuple[float, float] = (-math.inf, -math.inf)
    _to_beat: float = -math.inf
    _stale: int = 0

    def consider(
        self, epoch: int, val: Predictions, val_metrics: Mapping[str, Any], network: nn.Module
    ) -> float:
        """Take note of an epoch, of which `network` has the weights, and return its score."""
        self.check(val_metrics)
        score = metrics.score(val_metrics, self.monitor)
        # Of equals the lowest log loss: accuracies tie on small val splits.
        among_equals = 0.0 if self.monitor else -float(val_metrics["log_loss"])
        found = (score, among_equals)
        is_best = found > self._best
        self._best = max(self._best, found)
        if is_best if self.min_delta == 0 else score > self._to_beat + self.min_delta:
            self._to_beat, self._stale = score, 0
        else:
            self._stale += 1
        if is_best or self.select == "last":
            self.epoch, self.val = epoch, val
            if self.select == "best":
                self.weights = copy.deepcopy(network.state_dict())
        return score

    def check(self, val_metrics: Mapping[str, Any]) -> None:
        """Raise ConfigError unless the metric that decides is among these."""
        if self.monitor is not None and self.monitor not in val_metrics:
            known = [name for name, value in val_metrics.items() if isinstance(value, float)]
            raise ConfigError(
                f"`monitor` is `{self.monitor}`{did_you_mean(self.monitor, known)}, but val has "
                f"{listing(known)}"
            )

    def by(self, task: Task) -> str | None:
        """Return the metric that decides; None where the last epoch is taken, whatever it is."""
        if self.select == "last" and self.patience is None:
            return None
        return self.monitor or metrics.PRIMARY[task]

    @property
    def exhausted(self) -> bool:
        """Return whether patience has run out."""
        return self.patience is not None and self._stale >= self.patience

    def finish(self, model: nn.Module, evaluated: nn.Module) -> None:
        """Give a model the weights of the epoch selected.

        Args:
            model: the network that was trained.
            evaluated: the one that was evaluated, where weights were averaged another one.
        """
        weights = evaluated.state_dict() if self.weights is None else self.weights
        if self.weights is not None or evaluated is not model:
            model.load_state_dict(weights)

    def state(self, *, is_current: bool) -> dict[str, Any]:
        """Return what a resumed run needs, as plain data and tensors.

        Args:
            is_current: whether the network still has the weights of the epoch selected, so that
                they need not be saved twice.
        """
        arrays = None
        if self.val is not None:
            arrays = {
                name: torch.from_numpy(getattr(self.val, name))
                for name in ("ids", "labels", "predicted", "probabilities")
            }
        return {
            "epoch": self.epoch,
            "best": list(self._best),
            "to_beat": self._to_beat,
            "stale": self._stale,
            "weights": None if is_current else self.weights,
            "val": arrays,
        }

    def restore(self, state: Mapping[str, Any], question: Question, network: nn.Module) -> None:
        """Go on from what `state` returned; `network` has the weights that were current then."""
        self.epoch = int(state["epoch"])
        best, loss = state["best"]
        self._best = (float(best), float(loss))
        self._to_beat, self._stale = float(state["to_beat"]), int(state["stale"])
        self.weights = state["weights"]
        if self.weights is None and self.select == "best" and self.epoch:
            self.weights = copy.deepcopy(network.state_dict())
        if state["val"] is not None:
            arrays = {name: tensor.numpy() for name, tensor in state["val"].items()}
            self.val = Predictions(question, **arrays)
