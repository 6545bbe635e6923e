"""What every arm is given: the same images, first weights, batches and settings.

`peers.py` writes `problem.pt` into a folder; an arm is a script that is called with that folder and
a number of epochs, trains, and prints the mean training loss of each epoch as its last line.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

MOMENTUM = 0.9
EPOCH = "end of an epoch"
"""The line by which the clock outside goes."""


@dataclass
class Problem:
    """What an arm trains on.

    Attributes:
        model: with the first weights.
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        mean: (1, C, 1, 1) float32, in [0, 1].
        std: (1, C, 1, 1) float32, in [0, 1].
        orders: (most epochs, steps, batch) int64, the items of each step.
        epochs: how many of them to train; preparations cover all, so that their cost cancels.
        lr: of SGD, from the first step to the last.
        fused: whether bench's optimizer takes its step in one kernel; then others do too.
    """

    folder: Path
    model: nn.Module
    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    orders: Tensor
    epochs: int
    lr: float
    fused: bool

    @property
    def batch_size(self) -> int:
        """Return the images of a step."""
        return self.orders.shape[2]

    def floats(self) -> Tensor:
        """Return all images, normalised."""
        return normalised(self.images, self.mean, self.std)

    def sgd(self) -> torch.optim.Optimizer:
        """Return the optimizer of every arm that can use torch's own."""
        fused = self.fused or None  # torch's own choice where bench leaves it that too
        return torch.optim.SGD(self.model.parameters(), lr=self.lr, momentum=MOMENTUM, fused=fused)


def read() -> Problem:
    """Return the problem that the command line names, and leave torch one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = Path(sys.argv[1])
    values = torch.load(folder / "problem.pt", weights_only=False)
    return Problem(folder=folder, epochs=int(sys.argv[2]), **values)


def option() -> str:
    """Return which variant of an arm is wanted."""
    return sys.argv[3]


def normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return uint8 images as floats that the network is trained on."""
    return images.float().div_(255).sub_(mean).div_(std)


class Losses:
    """Means of the loss by epoch, fetched from the device at the end of each."""

    def __init__(self, steps: int) -> None:
        self.means: list[float] = []
        self._steps = self._left = steps
        self._sum = torch.zeros(())

    def add(self, loss: Tensor) -> None:
        """Count the loss of a step."""
        self._sum += loss.detach()
        self._left -= 1
        if not self._left:
            self.means.append(self._sum.item() / self._steps)
            self._left = self._steps
            self._sum = torch.zeros(())
            epoch_ends()


class InOrder(Sampler[int]):
    """Yields the items of the next epoch whenever it is gone through."""

    def __init__(self, orders: Tensor) -> None:
        self._orders = orders
        self._epoch = 0

    def __iter__(self):
        self._epoch += 1
        return iter(self._orders[self._epoch - 1].flatten().tolist())

    def __len__(self) -> int:
        return self._orders[0].numel()


def epoch_ends() -> None:
    """Say so to the clock outside."""
    print(EPOCH, flush=True)


def tell(losses: list[float], **more: object) -> None:
    """Print what an arm reports."""
    print("\n" + json.dumps({"losses": losses, **more}), flush=True)
