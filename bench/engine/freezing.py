"""Which layers of a network are trained, and how fast, where training starts from weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.errors import PluginError

Groups = Sequence[Sequence[str]]
_STRINGS = (nn.Sequential, nn.ModuleList)


@dataclass
class Freezing:
    """Which parameters are trained, epoch by epoch. A pure function of the epoch.

    Attributes:
        network: what is trained.
        body: its parameters below the head, layer by layer, from the input on.
        backbone: whether these are left as they are at first.
        unfreeze: the epochs at whose start a further part of them is trained, from the top.
        norms: the batch normalisation that is never trained, nor its statistics moved.
    """

    network: nn.Module
    body: Sequence[Sequence[nn.Parameter]] = ()
    backbone: bool = False
    unfreeze: tuple[int, ...] = ()
    norms: tuple[_BatchNorm, ...] = ()
    _fixed: frozenset[int] = field(default=frozenset(), init=False)
    _resting: tuple[_BatchNorm, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Remember what the network itself does not want to be trained."""
        self._fixed = frozenset(
            id(parameter) for parameter in self.network.parameters() if not parameter.requires_grad
        )

    def begin(self, epoch: int) -> None:
        """Say which parameters an epoch trains, from 1."""
        if not self.backbone and not self.norms:
            return
        layers = len(self.body)
        trained = layers
        if self.backbone:
            begun = sum(first <= epoch for first in self.unfreeze)
            trained = -(-layers * begun // max(1, len(self.unfreeze)))
        still = {id(p) for group in self.body[: layers - trained] for p in group}
        still |= {id(p) for norm in self.norms for p in norm.parameters()}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) not in still | self._fixed)
            if id(parameter) in still:
                parameter.grad = None
        # The statistics of a layer that is not trained stay those that its weights were made for.
        self._resting = (*self.norms, *_norms_among(self.network, still))

    def train_mode(self) -> None:
        """Put the network into training mode, all but what rests."""
        self.network.train()
        for module in self._resting:
            module.eval()

    @property
    def trained_parameters(self) -> int:
        """Return how many values are trained now."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)


def _norms_among(network: nn.Module, still: set[int]) -> Iterator[_BatchNorm]:
    """Yield the batch normalisation of layers that are not trained, by the ids of parameters.

    One without parameters of its own belongs to what stands before it.
    """
    resting = False
    for module in network.modules():
        own = [id(parameter) for parameter in module.parameters(recurse=False)]
        resting = still.issuperset(own) if own else resting
        if isinstance(module, _BatchNorm) and resting:
            yield module


def freezing_of(
    network: nn.Module, groups: Groups, protocol: Mapping[str, Any], *, started: bool
) -> Freezing:
    """Return what a protocol wants to be trained.

    Args:
        network: what is trained.
        groups: names of its parameters by layer; the last group is the head, and what else
            starts at random.
        protocol: the fields.
        started: whether training starts from weights; random ones are all trained.
    """
    if not started:
        return Freezing(network)
    named = dict(network.named_parameters())
    fresh = {id(named[name]) for name in groups[-1]}
    return Freezing(
        network,
        [[named[name] for name in group] for group in groups[:-1]],
        backbone=protocol["freeze"] == "backbone",
        unfreeze=tuple(protocol["unfreeze"]),
        norms=tuple(
            module
            for module in network.modules()
            if protocol["batch_norm"] == "frozen"
            and isinstance(module, _BatchNorm)
            and fresh.isdisjoint(map(id, module.parameters()))
        ),
    )


def layers_of(
    network: nn.Module,
    tell: Callable[[nn.Module], Groups | None] | None,
    head: frozenset[str],
    where: str,
) -> list[list[str]]:
    """Return the names of a network's parameters by layer, from the input on; the head is last.

    Args:
        network: the network.
        tell: how the model groups them; by default, or where it returns None, the groups are the
            network's children, in the order in which it defines them.
        head: names of what depends on the classes.
        where: the model and its plugin, for messages.

    Raises:
        PluginError: the model leaves parameters out, or has them twice.
    """
    told = tell(network) if tell is not None else None
    groups = [list(group) for group in told] if told is not None else _children(network)
    names = [name for name, _ in network.named_parameters()]
    if sorted(name for group in groups for name in group) != sorted(names):
        raise PluginError(f"{where}: `layers` must name every parameter of the network once")
    body = [[name for name in group if name not in head] for group in groups]
    last = [name for name in names if name in head]
    return [group for group in body if group] + ([last] if last else [])


def _children(network: nn.Module) -> list[list[str]]:
    """Return parameters by child; a child that strings others together stands for these.

    A network that is such a string itself has its members for layers, whatever they are made of.
    """
    children = dict(network.named_children())
    own = [name for name, _ in network.named_parameters(recurse=False)]
    if len(children) == 1 and not own:  # something around the network
        [(name, inner)] = children.items()
        if any(True for _ in inner.children()):
            return [[f"{name}.{each}" for each in group] for group in _children(inner)]
    groups = [own]
    for name, child in children.items():
        string = isinstance(child, _STRINGS) and not isinstance(network, _STRINGS)
        members = child.named_children() if string else [("", child)]
        for place, member in members:
            prefix = f"{name}.{place}." if place else f"{name}."
            groups.append([f"{prefix}{each}" for each, _ in member.named_parameters()])
    return [group for group in groups if group]


def set_rates(
    optimizer: torch.optim.Optimizer,
    network: nn.Module,
    groups: Groups,
    *,
    backbone_rate: float,
    layer_decay: float,
) -> None:
    """Give each layer its learning rate: that of the head, times a factor.

    The factor of layer i of L is layer_decay^(L - i), the head being layer L, and for all but the
    head also backbone_rate (layer-wise decay as in Howard and Ruder, 2018,
    https://arxiv.org/abs/1801.06146, who take 1 / 2.6, and Clark et al., 2020,
    https://arxiv.org/abs/2003.10555). An optimizer's groups are divided by factor, and all else
    of them stays.
    """
    named = dict(network.named_parameters())
    factors = {
        named[name]: layer_decay ** (len(groups) - 1 - place)
        * (backbone_rate if place < len(groups) - 1 else 1.0)
        for place, group in enumerate(groups)
        for name in group
    }
    if set(factors.values()) == {1.0}:
        return
    divided = []
    for group in optimizer.param_groups:
        for factor, parameters in _by_factor(group["params"], factors).items():
            divided.append({**group, "params": parameters, "lr": group["lr"] * factor})
    optimizer.param_groups[:] = divided


def _by_factor(
    parameters: Iterable[nn.Parameter], factors: Mapping[nn.Parameter, float]
) -> dict[float, list[nn.Parameter]]:
    result: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        result.setdefault(factors.get(parameter, 1.0), []).append(parameter)
    return result
