"""The processes that train one network: one alone, or several ranks with a device each.

Every rank has the whole network, takes its part of each batch, and comes to the same weights and
decisions as the others. `Group` says what that means for one process that has it all; `Ranks` does
it for several.
"""

from __future__ import annotations

import copy
import gc
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bench.engine import device as devices
from bench.engine import generators, sync_norm

T = TypeVar("T")
AGREED_SECONDS = 0.5
"""How often the ranks ask each other within an epoch whether one of them wants to save."""
SEEDS_APART = 1_000_003


class Group:
    """One process that trains by itself.

    Attributes:
        rank: this process's number, from 0.
        size: how many processes train the network.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this process is the one that reports and writes."""
        return self.rank == 0

    def seed_apart(self, seed: int) -> None:
        """Have each rank draw other numbers from here on: each has other images to draw for."""

    def synchronise_norms(self, model: nn.Module) -> None:
        """Have batch normalisation go by the batches of all ranks."""

    def wrap(self, model: nn.Module, images: Callable[[], Tensor], precision: str) -> nn.Module:
        """Return what to call in training, so that all ranks get the mean of their gradients.

        To be asked for anew where other parameters may be trained than before.

        Args:
            model: the network, in training mode.
            images: makes a few training images, to find parameters that get no gradient.
            precision: under which the model runs.
        """
        return model

    def part(self, rows: Tensor) -> Tensor:
        """Return this rank's part of batches (steps, batch): (steps, about batch / size)."""
        return rows

    def largest_part(self, batch: int) -> int:
        """Return the most images of a batch that a rank gets."""
        return batch

    def scale(self, batch: int) -> float:
        """Return what a rank's mean loss is multiplied by: its part's share, times the ranks.

        The mean over the ranks of what comes out is then the mean loss of the whole batch.
        """
        return 1.0

    def in_turn(self, network: nn.Module, parts: Iterable[T]) -> Iterable[T]:
        """Yield the parts of a batch; gradients are exchanged in the backward pass of the last."""
        return parts

    def mean(self, value: float) -> float:
        """Return the mean over the ranks."""
        return value

    def total(self, value: float) -> float:
        """Return the sum over the ranks."""
        return value

    def any(self, wish: bool) -> bool:
        """Return whether it is so on any rank."""
        return wish

    def any_now_and_then(self, wish: Callable[[], bool]) -> bool:
        """Return whether any rank wishes it, as far as they have asked each other lately.

        For questions that come up at every step, on all ranks alike.
        """
        return wish()

    def gathered(self, own: T) -> list[T]:
        """Return what each rank has, plain data or tensors on the CPU, in the order of ranks."""
        return [own]

    def joined(self, own: Tensor) -> Tensor:
        """Return the rows of all ranks, in the order of ranks."""
        return own

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes, plain data, while the others wait."""
        return make()

    def share_buffers(self, network: nn.Module) -> None:
        """Give all ranks the first one's buffers, such as running statistics."""

    def close(self) -> None:
        """Part; what follows needs no other rank."""


class Ranks(Group):
    """Several processes that train one network, each on its part of every batch.

    Gradients are averaged by torch's DistributedDataParallel. What is said about numbers and
    decisions goes over the CPUs (gloo), so that no device waits for it.

    Args:
        device: `cpu` or `cuda`; a GPU is chosen before.
    """

    def __init__(self, device: str) -> None:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._device = device
        self._talk: Any = dist.new_group(backend="gloo")
        self._model: nn.Module | None = None
        self._network: nn.Module | None = None
        self._trained: list[bool] = []
        self._steps_left = self._steps_between = 1
        self._asked = time.perf_counter()

    def seed_apart(self, seed: int) -> None:
        """Have each rank draw other numbers; the first goes on as one process would."""
        if self.rank:
            devices.seed_everything(seed + SEEDS_APART * self.rank)

    def synchronise_norms(self, model: nn.Module) -> None:
        """Have batch normalisation go by the batches of all ranks."""
        sync_norm.synchronise(model)

    def wrap(self, model: nn.Module, images: Callable[[], Tensor], precision: str) -> nn.Module:
        """Return the network in a DistributedDataParallel, a new one if it trains other weights.

        Torch asks to be told of parameters that get no gradient, at some cost in every step; so
        it is tried once whether there are any.
        """
        trained = [parameter.requires_grad for parameter in model.parameters()]
        if self._model is not model or trained != self._trained:
            self._network = None
            gc.collect()
            idle = _some_get_no_gradient(model, images(), self._device, precision)
            self._network = _averaging(model, find_unused_parameters=self.any(idle))
            self._model, self._trained = model, trained
        assert self._network is not None
        return self._network

    def part(self, rows: Tensor) -> Tensor:
        """Return this rank's columns; parts differ in size by one at most."""
        return rows.tensor_split(self.size, 1)[self.rank]

    def largest_part(self, batch: int) -> int:
        """Return the most images of a batch that a rank gets."""
        return -(-batch // self.size)

    def scale(self, batch: int) -> float:
        """Return this rank's share of a batch, times the number of ranks."""
        own = batch // self.size + (self.rank < batch % self.size)
        return own * self.size / batch

    def in_turn(self, network: nn.Module, parts: Iterable[T]) -> Iterator[T]:
        """Yield the parts of a batch; gradients are exchanged in the backward pass of the last."""
        assert isinstance(network, nn.parallel.DistributedDataParallel)
        *first, last = parts
        with network.no_sync():
            yield from first
        yield last

    def mean(self, value: float) -> float:
        """Return the mean over the ranks."""
        return self.total(value) / self.size

    def total(self, value: float) -> float:
        """Return the sum over the ranks, the same bits on each."""
        return float(sum(self.gathered(value)))

    def any(self, wish: bool) -> bool:
        """Return whether it is so on any rank."""
        return any(self.gathered(wish))

    def any_now_and_then(self, wish: Callable[[], bool]) -> bool:
        """Return whether any rank wishes it; asked every `AGREED_SECONDS` or so.

        After how many steps they ask again is agreed on with the answer: clocks differ.
        """
        self._steps_left -= 1
        if self._steps_left:
            return False
        now = time.perf_counter()
        step_seconds = (now - self._asked) / self._steps_between
        # Not too bold: the first steps are slow or, where a GPU lags behind, quick.
        between = min(2 * self._steps_between, int(AGREED_SECONDS / max(step_seconds, 1e-6)))
        answers = self.gathered((wish(), between))
        self._steps_left = self._steps_between = max(1, answers[0][1])
        self._asked = now
        return any(wished for wished, _ in answers)

    def gathered(self, own: T) -> list[T]:
        """Return what each rank has, in the order of ranks."""
        everything: list[Any] = [None] * self.size
        dist.all_gather_object(everything, own, self._talk)
        return everything

    def joined(self, own: Tensor) -> Tensor:
        """Return the rows of all ranks; filled up for the exchange, since ranks may have fewer."""
        counts = self.gathered(len(own))
        filled = own.new_zeros((max(counts), *own.shape[1:]))
        filled[: len(own)] = own
        parts = [torch.empty_like(filled) for _ in counts]
        dist.all_gather(parts, filled)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes while the others wait."""
        made: list[Any] = [make() if self.is_first else None]
        dist.broadcast_object_list(made, 0, self._talk)
        return made[0]  # type: ignore[no-any-return]

    @torch.no_grad()
    def share_buffers(self, network: nn.Module) -> None:
        """Give all ranks the first one's buffers, each kind of number in one message."""
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for buffer in network.buffers():
            # One that repeats its values in memory cannot be written to, and nobody does.
            if not any(step == 0 for step in buffer.stride()) and buffer.numel():
                kinds.setdefault(buffer.dtype, []).append(buffer)
        for kind, buffers in kinds.items():
            # As bytes: neither gloo nor nccl knows every kind of number.
            flat = torch.cat([buffer.flatten() for buffer in buffers]).view(torch.uint8)
            dist.broadcast(flat, 0)
            if not self.is_first:
                sizes = [buffer.numel() for buffer in buffers]
                for buffer, values in zip(buffers, flat.view(kind).split(sizes), strict=True):
                    buffer.copy_(values.view(buffer.shape))

    def close(self) -> None:
        """Part from the other ranks, once all have come this far."""
        self._model = self._network = None
        dist.barrier(self._talk)
        dist.destroy_process_group()


def _averaging(model: nn.Module, **options: Any) -> nn.Module:
    """Return a network whose backward pass averages gradients; buffers are shared by hand."""
    kind: Any = nn.parallel.DistributedDataParallel
    known = inspect.signature(kind).parameters
    # Renamed in torch 2.15, which warns of the old name.
    new = "forward_sync_buffers" in known
    options["forward_sync_buffers" if new else "broadcast_buffers"] = False
    return kind(model, **options)  # type: ignore[no-any-return]


def _some_get_no_gradient(model: nn.Module, images: Tensor, device: str, precision: str) -> bool:
    """Return whether a backward pass leaves out parameters that are trained; nothing moves."""
    tried = copy.deepcopy(model)
    with generators.kept(device):
        with devices.autocast(device, precision):
            logits = tried(images)
        logits.float().sum().backward()
    return any(p.requires_grad and p.grad is None for p in tried.parameters())


def split(rows: Sequence[Tensor], group: Group) -> list[Tensor]:
    """Return this rank's run of some rows, which together are all in the order of ranks."""
    whole, more = divmod(len(rows), group.size)
    first = group.rank * whole + min(group.rank, more)
    return list(rows[first : first + whole + (group.rank < more)])
