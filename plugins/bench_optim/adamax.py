"""AdaMax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def build(
    model: nn.Module,
    *,
    lr: float = 2e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """AdaMax: Adam with the largest recent gradient in place of the root mean square.

    The mean gradient is divided by u <- max(beta2 * u, |g| + eps) (Kingma and Ba, 2015, section
    7.1, https://arxiv.org/abs/1412.6980).

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; the paper's, and torch's default.
        beta1: memory of the running mean of the gradient; the paper's value.
        beta2: share that a step leaves of the largest gradient; the paper's value.
        eps: added to |g|; torch's default.
        weight_decay: strength of the L2 penalty, added to the gradient; torch's default of 0.
    """
    from torch.optim import Adamax

    return Adamax(
        model.parameters(),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate and both memories."""
    return {
        "lr": trial.suggest_float("lr", 0.0002, 0.02, log=True),
        "beta1": trial.suggest_float("beta1", 0.8, 0.95),
        "beta2": trial.suggest_float("beta2", 0.95, 0.999),
    }


OPTIMIZER = bench.Optimizer(name="adamax", build=build, suggest=suggest, preload=("torch",))
