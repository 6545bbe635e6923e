"""Batch normalisation by the statistics of all ranks' batches together.

torch's `SyncBatchNorm.convert_sync_batchnorm` puts a layer of its own in the place of each, which
refuses a CPU and forgets what a library's layer does besides (timm's normalises and activates in
one). Here each layer stays what it is, and only its call of `functional.batch_norm` in training is
answered otherwise: on a GPU by the kernels of torch's SyncBatchNorm, on a CPU by plain arithmetic.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode


def synchronise(model: nn.Module) -> None:
    """Have every batch normalisation of a model go by the batches of all ranks."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
            kind: Any = type(module)
            module.__class__ = _synchronised(kind)


@functools.cache
def _synchronised(kind: Any) -> Any:
    """Return a class of layers that are as those of another, but synchronised."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not dist.is_initialized():
            return kind.forward(self, *args, **kwargs)
        with _Synchronised():
            return kind.forward(self, *args, **kwargs)

    return type(f"Synchronised{kind.__name__}", (kind,), {"forward": forward})


class _Synchronised(TorchFunctionMode):
    """Answers `functional.batch_norm` where it takes its statistics from the batch."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func is functional.batch_norm:
            bound = _SIGNATURE.bind(*args, **given)
            bound.apply_defaults()
            if bound.arguments.pop("training"):
                return _batch_norm(**bound.arguments)
        return func(*args, **given)


_SIGNATURE = inspect.signature(functional.batch_norm)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Return what `functional.batch_norm` would for the batches of all ranks in one, here's part.

    Running statistics move as there: by the unbiased variance.
    """
    if input.is_cuda:
        group = dist.group.WORLD
        return SyncBatchNorm.apply(  # type: ignore[no-any-return]
            *(input, weight, bias, running_mean, running_var, eps, momentum),
            *(group, dist.get_world_size(group)),
        )
    others = [0, *range(2, input.ndim)]
    shape = [1, -1] + [1] * (input.ndim - 2)
    count = _sum(input.new_tensor(input.numel() / input.shape[1]))
    mean = _sum(input.sum(others)) / count
    centred = input - mean.view(shape)
    variance = _sum(centred.square().sum(others)) / count
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.detach(), momentum)
        running_var.lerp_(variance.detach() * (count / (count - 1)), momentum)
    result = centred * (variance + eps).rsqrt().view(shape)
    if weight is not None:
        result = result * weight.view(shape)
    return result if bias is None else result + bias.view(shape)


class _Sum(torch.autograd.Function):
    """The sum over all ranks; so is the gradient, since each rank's loss depends on all."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """Return the sum of a value of which each rank has its own."""
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient of the sum of all ranks' losses."""
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum(value: Tensor) -> Tensor:
    return _Sum.apply(value)  # type: ignore[no-any-return]
