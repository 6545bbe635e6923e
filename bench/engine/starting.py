"""Weights that training starts from: which of them fit a network, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.text import listing

LEAST_SHARE = 0.5
"""Part of the values below the head that must fit; with less it is another architecture."""
_COUNTERS = "num_batches_tracked"
_Build = Callable[[int, tuple[int, int, int]], nn.Module]


@dataclass(frozen=True)
class Fit:
    """What became of the tensors of a network and of a file.

    Attributes:
        loaded: tensors that were taken over.
        of: tensors that the network has.
        share: part of the values below the head that were taken over.
        adapted: those that were made to fit another number of channels.
        new: those that start at random.
        unused: those that the file has and the network has not.
        shapes: of those that start at random, the shapes where the file has another.
    """

    loaded: int
    of: int
    share: float
    adapted: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    shapes: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return what a record keeps."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items()}

    def __str__(self) -> str:
        """Return it in words."""
        parts = [f"{self.loaded} of {self.of} tensors"]
        for name in ("adapted", "new", "unused"):
            if names := getattr(self, name):
                parts.append(f"{name}: {listing(names, 4)}")
        parts += [f"`{name}` is {shapes}" for name, shapes in list(self.shapes.items())[:4]]
        return "; ".join(parts)


def head_of(build: _Build, classes: int, input_shape: tuple[int, int, int]) -> frozenset[str]:
    """Return the names of the tensors whose shape depends on the number of classes.

    Found by building the network for one class more, so that no model has to tell.
    """

    def shapes(count: int, device: str) -> dict[str, torch.Size]:
        with torch.device(device):
            return {k: v.shape for k, v in build(count, input_shape).state_dict().items()}

    try:
        one, other = shapes(classes, "meta"), shapes(classes + 1, "meta")
    except Exception:  # a network that looks at values while it is built cannot be on meta
        one, other = shapes(classes, "cpu"), shapes(classes + 1, "cpu")
    return frozenset(name for name, shape in one.items() if other.get(name) != shape)


@torch.no_grad()
def take_over(
    network: nn.Module,
    given: Mapping[str, Tensor],
    head: frozenset[str],
    *,
    same_classes: bool,
    where: str,
    model: str,
) -> Fit:
    """Copy tensors into a network as far as they fit.

    Args:
        network: with random weights.
        given: tensors by name; what wrappers put before the names is seen through.
        head: names of the network's tensors that depend on the classes.
        same_classes: whether the head may be taken over where its shape fits.
        where: the weights, for messages.
        model: the model, for messages.

    Raises:
        ConfigError: less than half of the values below the head fit, or a tensor is of another
            kind of number or holds NaN.
    """
    own = network.state_dict(keep_vars=True)
    given = _renamed(given, own)
    loaded: set[int] = set()
    adapted, new, count = [], [], 0
    shapes: dict[str, str] = {}
    fitting = below = 0
    for name, tensor in own.items():
        is_body = name not in head and not name.endswith(_COUNTERS)
        below += tensor.numel() if is_body else 0
        found = given.get(name) if is_body or same_classes or name not in head else None
        if found is not None and found.shape != tensor.shape:
            found = _with_channels(found, tensor)
            adapted += [name] if found is not None else []
        if found is None:
            if name in given and name not in head:
                shapes[name] = f"{tuple(given[name].shape)} there, {tuple(tensor.shape)} here"
            if not name.endswith(_COUNTERS):
                new.append(name)
            continue
        _check(name, found, tensor, where)
        tensor.copy_(found)
        loaded.add(tensor.data_ptr())
        count += 1
        fitting += tensor.numel() if is_body else 0
    # What shares its values with a tensor that was taken over is not new, whatever its name.
    shared = [name for name in new if own[name].data_ptr() in loaded]
    new = [name for name in new if name not in shared]
    share = fitting / below if below else 1.0
    if share < LEAST_SHARE:
        raise ConfigError(
            f"{where} is of another architecture than model `{model}`: {share:.0%} of the values "
            f"below its head fit ({_misfits(new, shapes, given)})"
        )
    return Fit(
        loaded=count + len(shared),
        of=len(own),
        share=share,
        adapted=tuple(adapted),
        new=tuple(new),
        unused=tuple(name for name in given if name not in own),
        shapes=shapes,
    )


def _check(name: str, given: Tensor, wanted: Tensor, where: str) -> None:
    """Raise ConfigError if a tensor cannot stand for a network's."""
    dense = given.layout is torch.strided and not given.is_quantized and not given.is_meta
    if not dense or given.is_floating_point() != wanted.is_floating_point() or given.is_complex():
        raise ConfigError(
            f"{where}: `{name}` is {given.dtype} ({given.layout}), and weights are numbers like "
            f"{wanted.dtype}; save them so"
        )
    if not bool(torch.isfinite(given).all()):
        raise ConfigError(f"{where}: `{name}` holds NaN or infinite values; take an earlier file")


def _misfits(new: Sequence[str], shapes: Mapping[str, str], given: Mapping[str, Tensor]) -> str:
    """Say what does not fit: shapes, which may be due to the size of images, or else names."""
    if shapes:
        examples = ", ".join(f"`{name}` is {text}" for name, text in list(shapes.items())[:2])
        return f"{examples}; were its images of another size, `--input-size` sets it"
    return f"it lacks {listing(new, 3)}, and has {listing(given, 3)}"


def _with_channels(given: Tensor, wanted: Tensor) -> Tensor | None:
    """Return filters for gray images in place of colour ones or the other way round, else None.

    They are summed up for one channel and shared out over three, so that three equal channels get
    the answer that one of them gets.
    """
    if given.ndim != 4 or given.shape[0] != wanted.shape[0] or given.shape[2:] != wanted.shape[2:]:
        return None
    channels = given.shape[1], wanted.shape[1]
    if channels == (3, 1):
        return given.sum(1, keepdim=True)
    if channels == (1, 3):
        return given.repeat(1, 3, 1, 1) / 3
    return None


def _renamed(given: Mapping[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return tensors under the network's names: wrappers put one word before all of them."""

    def first_word(names: Sequence[str]) -> str:
        words = {name.partition(".")[0] for name in names}
        return f"{words.pop()}." if len(words) == 1 and names and "." in names[0] else ""

    options = [dict(given)]
    drop, put = first_word(list(given)), first_word(list(own))
    if drop:
        options.append({name.removeprefix(drop): value for name, value in given.items()})
    if put:
        options += [{put + name: v for name, v in option.items()} for option in list(options)]
    return max(options, key=lambda option: sum(name in own for name in option))
