"""What happens to gradients between the backward pass and the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Gradients:
    """The gradients of a network's parameters, and what a protocol wants done to them.

    The penalties are l1 * sum |w| and l2 / 2 * sum w^2 over all weights but biases and the scales
    of normalisation, that is over parameters of two dimensions or more. They are added as
    gradients, l1 * sign(w) and l2 * w, and are no part of the loss that is reported: train and val
    loss stay comparable.

    Attributes:
        parameters: what is trained.
        l1: strength of the first penalty.
        l2: strength of the second penalty.
        clip_value: largest gradient of a single weight.
        clip_norm: largest Euclidean norm of all gradients together, applied last.
    """

    parameters: tuple[nn.Parameter, ...]
    l1: float = 0.0
    l2: float = 0.0
    clip_value: float | None = None
    clip_norm: float | None = None
    weights: tuple[nn.Parameter, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find what is penalised."""
        penalised = tuple(parameter for parameter in self.parameters if parameter.ndim > 1)
        object.__setattr__(self, "weights", penalised)

    @classmethod
    def of(cls, model: nn.Module, protocol: Mapping[str, Any]) -> Gradients:
        """Return the gradients of a model's trainable parameters under a protocol."""
        names = ("l1", "l2", "clip_value", "clip_norm")
        trained = tuple(p for p in model.parameters() if p.requires_grad)
        return cls(trained, **{name: protocol[name] for name in names})

    @torch.no_grad()
    def adjust(self) -> None:
        """Add the penalties, then clip; nothing waits for the device."""
        if self.l1 or self.l2:
            weights: list[Tensor] = [weight for weight in self.weights if weight.requires_grad]
            # A weight that the loss did not reach has no gradient, and is penalised all the same.
            for weight in weights:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
            gradients: list[Tensor] = [w.grad for w in weights if w.grad is not None]
            if self.l1 and gradients:
                signs = torch._foreach_sign(weights)
                torch._foreach_add_(gradients, signs, alpha=self.l1)
            if self.l2 and gradients:
                torch._foreach_add_(gradients, weights, alpha=self.l2)
        if self.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.clip_value)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)


def micro_batches(
    size: int | None, images: Tensor, targets: Tensor, labels: Tensor, most: int | None = None
) -> Iterable[tuple[float, Tensor, Tensor, Tensor]]:
    """Return a batch in parts of at most `size` images: its share, images, targets, labels.

    The mean loss of the batch is the sum of the parts' mean losses, each times its share.

    Args:
        size: the most images in a part; None for all.
        images: the batch.
        targets: what the loss compares with.
        labels: the truth.
        most: images in the largest batch that another rank has in this step, since all are to
            have as many parts.
    """
    count = math.ceil((most or len(images)) / size) if size else 1
    if count == 1:
        return [(1.0, images, targets, labels)]
    return _parts(count, images, targets, labels)


def _parts(
    count: int, images: Tensor, targets: Tensor, labels: Tensor
) -> Iterator[tuple[float, Tensor, Tensor, Tensor]]:
    # Of nearly equal size: a rest of a single image would break batch normalisation.
    split = (tensor.tensor_split(count) for tensor in (images, targets, labels))
    for part, target, label in zip(*split, strict=True):
        yield len(part) / len(images), part, target, label
