"""The learning rate of each step: the optimizer's own, times a factor that a schedule gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.errors import BenchError, PluginError
from bench.records import EpochMetrics
from bench.text import one_line


@dataclass(frozen=True)
class RatePlan:
    """The factors of a run's steps.

    Attributes:
        schedule: a factor for each step; or takes the finished epochs and returns the factor of
            the next one.
        steps_per_epoch: how many steps an epoch has.
        warmup_steps: steps over which the factor rises from 0 to what the schedule says; step t,
            from 0, has (t + 1) / warmup_steps of it (linear, as in Goyal et al., 2017,
            https://arxiv.org/abs/1706.02677).
        where: the schedule and its plugin, for messages.
    """

    schedule: Sequence[float] | Callable[[Sequence[EpochMetrics]], float]
    steps_per_epoch: int
    warmup_steps: int = 0
    where: str = "the schedule"

    def factors(self, history: Sequence[EpochMetrics]) -> list[float]:
        """Return the factors of the epoch that follows these.

        Raises:
            PluginError: the schedule gave what is no finite number.
        """
        first = len(history) * self.steps_per_epoch
        if callable(self.schedule):
            factors = [self._next(self.schedule, history)] * self.steps_per_epoch
        else:
            factors = list(self.schedule[first : first + self.steps_per_epoch])
        for place in range(min(len(factors), self.warmup_steps - first)):
            factors[place] *= (first + place + 1) / self.warmup_steps
        return factors

    def _next(
        self, schedule: Callable[[Sequence[EpochMetrics]], float], history: Sequence[EpochMetrics]
    ) -> float:
        try:
            factor = float(schedule(history))
        except BenchError:
            raise
        except (Exception, SystemExit) as error:
            told = one_line(f"{type(error).__name__}: {error}")
            raise PluginError(f"{self.where} failed after epoch {len(history)}: {told}") from error
        if not np.isfinite(factor):
            raise PluginError(f"{self.where} returned a NaN or infinite factor")
        return factor


class LearningRates:
    """Sets an optimizer's learning rates, step by step.

    On a GPU an optimizer that can read them there (a fused or a capturable one) gets views of one
    vector for each epoch: a number that a captured or compiled step has seen once would stay as
    it was.

    Args:
        optimizer: whose groups each have a base learning rate.
        plan: the factors.
        on_device: whether learning rates are tensors; by default where that is of use.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, plan: RatePlan, on_device: bool | None = None
    ) -> None:
        self._optimizer = optimizer
        self._plan = plan
        groups = optimizer.param_groups
        self._base = [float(group["lr"]) for group in groups]
        self._device = groups[0]["params"][0].device
        self._on_device = _reads_tensors(groups) if on_device is None else on_device
        self._factors: list[float] = []
        self._rates: list[Any] = []

    def begin(self, history: Sequence[EpochMetrics]) -> None:
        """Make the learning rates of the epoch that follows these."""
        self._factors = self._plan.factors(history)
        self._rates = [[base * factor for factor in self._factors] for base in self._base]
        if self._on_device:
            self._rates = [
                torch.tensor(rates, dtype=torch.float32).to(self._device) for rates in self._rates
            ]

    def set(self, step: int) -> None:
        """Set the learning rates of a step of the epoch, from 0."""
        # Asked for anew at each step: loading a state replaces the optimizer's groups.
        for group, rates in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rates[step]

    def at(self, step: int) -> float:
        """Return the first group's learning rate at a step of the epoch, from 0."""
        return self._base[0] * self._factors[step]


def checked_schedule(made: Any, steps: int, where: str) -> Any:
    """Return what a schedule's `build` made, once it is known to be of use.

    Raises:
        PluginError: it is neither a function nor `steps` finite numbers.
    """
    if callable(made):
        return made
    try:
        factors = [float(factor) for factor in made]
    except (TypeError, ValueError) as error:
        raise PluginError(f"{where} returned no sequence of numbers") from error
    if len(factors) != steps:
        raise PluginError(f"{where} returned {len(factors)} factors for {steps} steps")
    if not np.isfinite(factors).all():
        raise PluginError(f"{where} returned a NaN or infinite factor")
    return factors


def _reads_tensors(groups: Sequence[dict[str, Any]]) -> bool:
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return on_gpu and all(group.get("fused") or group.get("capturable") for group in groups)
