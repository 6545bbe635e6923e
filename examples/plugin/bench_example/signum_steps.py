"""The steps of Signum; this module imports torch, so only who builds the optimizer imports it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Signum(torch.optim.Optimizer):
    """Steps of one length, whose directions are the signs of the momentum.

    What it remembers is in `state`, which bench saves with a run and loads where the run goes on.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                step = state["momentum"].sign().add_(weight, alpha=group["weight_decay"])
                weight.sub_(step * group["lr"])
