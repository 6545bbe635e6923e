"""Adafactor."""

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
    beta1: float = 0.0,
    decay_rate: float = -0.8,
    clip_threshold: float = 1.0,
    eps: float = 1e-30,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adafactor: Adam with a factored mean of squares, in little memory.

    The running mean of the squared gradient of a matrix is kept as one value for each row and one
    for each column; a step whose root mean square is above `clip_threshold` is scaled down to it
    (Shazeer and Stern, 2018, https://arxiv.org/abs/1804.04235). timm's, which factors the channels
    of a convolution, where torch's factors its height and width. The learning rate is that of the
    schedule; the paper's own, relative to the size of the weights, is not used.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate; that of `adamw`, for its steps are clipped to be about as long.
        beta1: memory of a running mean of the steps; 0, the paper's value, keeps none and saves its
            memory.
        decay_rate: below 0: the memory of the squared gradients is 1 - t^decay_rate at step t; the
            paper's value.
        clip_threshold: largest root mean square of a step before the learning rate; the paper's
            value.
        eps: added to the squared gradient; the paper's value.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default of 0.
    """
    from timm.optim.adafactor import Adafactor

    return Adafactor(
        model.parameters(),
        lr=lr,
        betas=(beta1, 0.0) if beta1 else None,
        decay_rate=decay_rate,
        clip_threshold=clip_threshold,
        eps=eps,
        weight_decay=weight_decay,
    )


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, both memories and the decay."""
    return {
        "lr": trial.suggest_float("lr", 0.0001, 0.02, log=True),
        "beta1": trial.suggest_float("beta1", 0.0, 0.95),
        "decay_rate": trial.suggest_float("decay_rate", -0.95, -0.5),
        "weight_decay": trial.suggest_float("weight_decay", 0.0001, 0.3, log=True),
    }


OPTIMIZER = bench.Optimizer(name="adafactor", build=build, suggest=suggest, preload=("timm.optim",))
