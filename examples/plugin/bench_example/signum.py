"""Signum: the sign of the momentum is the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module, *, lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0
) -> Optimizer:
    """Signum: every weight moves by the learning rate, in the direction of its momentum.

    m <- momentum * m + (1 - momentum) * g, then w <- w - lr * (sign(m) + weight_decay * w)
    (Bernstein et al., 2018, https://arxiv.org/abs/1802.04434).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; about that of Adam, whose steps are as long at most.
        momentum: share of m that is kept.
        weight_decay: each weight also shrinks by lr * weight_decay * w.
    """
    from bench_example.signum_steps import Signum

    return Signum(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and the memory of the momentum."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "momentum": trial.suggest_float("momentum", 0.5, 0.98),
    }


OPTIMIZER = bench.Optimizer(
    name="signum", build=build, suggest=suggest, preload=("bench_example.signum_steps",)
)
