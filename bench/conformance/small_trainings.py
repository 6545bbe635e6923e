"""Small trainings, of a convex loss and of a network, on which optimizers are tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from bench.engine.device import seed_everything
from bench.engine.rates import LearningRates, RatePlan


class Bowl(nn.Module):
    """A convex loss: half the squared distance of each weight from where it is to be.

    Its curvature is from 0.1 to 1 along each weight, so that plain descent gets down with any
    learning rate below 2.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.matrix = nn.Parameter(torch.randn(8, 6, generator=generator))
        self.vector = nn.Parameter(torch.randn(6, generator=generator))
        self._bends = [torch.rand(w.shape, generator=generator) * 0.9 + 0.1 for w in self._weights]
        self._bottoms = [torch.randn(w.shape, generator=generator) for w in self._weights]

    @property
    def _weights(self) -> tuple[nn.Parameter, nn.Parameter]:
        return self.matrix, self.vector

    def forward(self) -> Tensor:
        """Return the height above the lowest point, a scalar."""
        parts = zip(self._weights, self._bends, self._bottoms, strict=True)
        return torch.stack([(b * (w - low).square()).sum() / 2 for w, b, low in parts]).sum()


class Net(nn.Module):
    """What networks for images are made of: convolution, normalisation and a layer on top."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(32, 5)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 5) of images (N, 3, H, W)."""
        logits: Tensor = self.head(self.body(self.stem(images)))
        return logits


def net() -> Net:
    """Return a network with the same weights each time, every generator seeded."""
    seed_everything(0)
    return Net()


def net_loss(model: nn.Module) -> Tensor:
    """Return the loss on 16 images, always the same ones."""
    generator = torch.Generator().manual_seed(1)
    device = next(model.parameters()).device
    images = torch.randn(16, 3, 6, 6, generator=generator).to(device)
    return functional.cross_entropy(model(images), torch.arange(16, device=device) % 5)


class Training:
    """An optimizer at work on a network, with rates that are set in every step as in runs."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, loss_of: Callable[[Any], Tensor] = net_loss
    ) -> None:
        self._model, self._optimizer, self._loss_of = model, optimizer, loss_of
        self._factor = 1.0
        # It takes the base rates now: a state that is loaded later holds those of a step.
        self._rates = LearningRates(optimizer, RatePlan(lambda _: self._factor, 1))

    def take(self, steps: int, factor: float = 1.0) -> list[float]:
        """Take steps at a factor of the base rates; return the loss before each."""
        self._factor = factor
        self._rates.begin([])
        losses = []
        for _ in range(steps):
            self._rates.set(0)
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._loss_of(self._model)
            loss.backward()
            self._optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    def way(self, steps: int, factor: float = 1.0) -> dict[str, float]:
        """Take steps; return how far each parameter is from where it was."""
        before = weights_of(self._model)
        self.take(steps, factor)
        return {
            name: float((now - before[name]).norm())
            for name, now in weights_of(self._model).items()
        }


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters, by name."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}
