"""Muon."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bench

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

SMALLEST = 4
"""Rows and columns that a matrix has at least; what is smaller goes to AdamW, as in timm."""


def build(
    model: nn.Module,
    *,
    lr: float = 2e-3,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    beta1: float = 0.9,
    beta2: float = 0.95,
    eps: float = 1e-7,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Muon: momentum on matrices, made orthogonal; AdamW for the rest.

    The velocity of a matrix is replaced by the nearest orthogonal one, found by a few
    Newton-Schulz steps in bfloat16, so that it moves in all directions alike (Jordan et al., 2024,
    https://kellerjordan.github.io/posts/muon/). Its length is 0.2 * sqrt(rows or columns, the
    greater), about that of AdamW's steps, so that both share one learning rate (Liu et al., 2025,
    https://arxiv.org/abs/2502.16982). timm's, for torch's refuses what is no matrix.

    Convolutions count as matrices of outputs by inputs * height * width. AdamW (with `nesterov`
    NAdamW) has biases, scales of normalisation, depthwise convolutions, embeddings of positions
    and what else has a side of fewer than 4. The last layer is a matrix as any other; Muon's
    authors leave it to AdamW, but which it is cannot be told from a network's weights.

    Args:
        model: the network whose parameters are updated.
        lr: peak learning rate, of both; that of `adamw`.
        momentum: share of the velocity that is kept; the authors' value.
        nesterov: whether the velocity is looked one step ahead; the authors' choice.
        ns_steps: steps towards an orthogonal matrix; the authors' value.
        beta1: AdamW's memory of the running mean of the gradient; timm's default.
        beta2: AdamW's memory of the running mean of the squared gradient; timm's default.
        eps: least norm of a velocity, and AdamW's addition to the denominator; timm's default.
        weight_decay: each weight also shrinks by lr * weight_decay * w; timm's default of 0.

    Raises:
        bench.ConfigError: the network has no matrix to train.
    """
    from timm.optim.muon import Muon

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if _is_matrix(parameter.shape)]
    if not matrices:
        raise bench.ConfigError(
            "optimizer `muon`: the network trains no matrix of at least "
            f"{SMALLEST}x{SMALLEST}; use `adamw`"
        )
    rest = [parameter for parameter in model.parameters() if not _is_matrix(parameter.shape)]
    groups = [{"params": matrices, "use_muon": True}, {"params": rest, "use_muon": False}]
    return Muon(
        [group for group in groups if group["params"]],
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        ns_steps=ns_steps,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


def _is_matrix(shape: tuple[int, ...]) -> bool:
    """Return whether a weight can be made orthogonal, a convolution seen as a matrix."""
    if len(shape) < 2 or 1 in shape[:2]:
        return False
    return min(shape[0], math.prod(shape[1:])) >= SMALLEST


def suggest(trial: Any) -> dict[str, Any]:
    """Search the learning rate, the velocity's memory and the decay."""
    return {
        "lr": trial.suggest_float("lr", 2e-4, 2e-2, log=True),
        "momentum": trial.suggest_float("momentum", 0.85, 0.98),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
    }


OPTIMIZER = bench.Optimizer(name="muon", build=build, suggest=suggest, preload=("timm.optim",))
