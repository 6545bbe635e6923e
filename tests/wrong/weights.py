"""Weights that are wrong, each in one way, and the rule that is to say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench

BENCH_API = 1

Shape = tuple[int, int, int]


def sound(model: bench.Model, input_shape: Shape, files: Sequence[Path]) -> Mapping[str, Any]:
    """The weights of a network under another seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        state: Mapping[str, Any] = model.build(5, input_shape).state_dict()
    return state


def drawn(model: bench.Model, input_shape: Shape, files: Sequence[Path]) -> Mapping[str, Any]:
    """Other weights each time."""
    state: Mapping[str, Any] = model.build(5, input_shape).state_dict()
    return state


_kept: dict[str, Any] = {}


def kept(model: bench.Model, input_shape: Shape, files: Sequence[Path]) -> Mapping[str, Any]:
    """The same tensors for everybody, to be trained by all."""
    if not _kept:
        _kept.update(sound(model, input_shape, files))
    return _kept


def arrays(model: bench.Model, input_shape: Shape, files: Sequence[Path]) -> Mapping[str, Any]:
    """Arrays, where tensors are needed."""
    return {name: value.numpy() for name, value in sound(model, input_shape, files).items()}


def others(model: bench.Model, input_shape: Shape, files: Sequence[Path]) -> Mapping[str, Any]:
    """Weights of another network."""
    import torch

    return {"encoder.weight": torch.zeros(7, 7)}


def missing(model: bench.Model, results: Path) -> bench.Origin:
    """Name a file that is not there."""
    return bench.Origin(files=[Path("/nowhere/weights.safetensors")])


def heavy(model: bench.Model, results: Path) -> bench.Origin:
    """Import torch while planning."""
    import torch

    return bench.Origin(classes=(torch.__name__,))


_asked: list[int] = []


def fickle(model: bench.Model, results: Path) -> bench.Origin:
    """Tell of other classes each time."""
    _asked.append(1)
    return bench.Origin(classes=[f"class {number}" for number in range(len(_asked))])


BROKEN = {
    "fickle-origin": (
        "says_where_it_comes_from",
        bench.Weights(name="", load=sound, origin=fickle),
    ),
    "other-network": ("returns_tensors_that_fit", bench.Weights(name="", load=others)),
    "arrays": ("returns_tensors_that_fit", bench.Weights(name="", load=arrays)),
    "drawn": ("loads_the_same_twice", bench.Weights(name="", load=drawn)),
    "kept": ("loads_the_same_twice", bench.Weights(name="", load=kept)),
    "heavy-origin": ("plans_without_torch", bench.Weights(name="", load=sound, origin=heavy)),
}
"""By name, the rule that it breaks, and the weights without their name."""


@bench.hookimpl
def register_weights() -> Iterator[bench.Weights]:
    yield bench.Weights(name="sound", load=sound)
    for name, (_, component) in BROKEN.items():
        yield dataclasses.replace(component, name=name)
