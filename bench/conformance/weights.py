"""What weights keep to, tried on the models of their plugin and on one of the kit's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench import downloads
from bench.conformance import elsewhere, networks
from bench.conformance.rules import Broken, Skipped, rule
from bench.conformance.weight_origins import Match, imports_torch, matched, origin_of
from bench.engine import device, starting
from bench.errors import BenchError
from bench.registry import Offer
from bench.text import listing


@rule("weights")
def returns_tensors_that_fit(offer: Offer) -> None:
    """`load` returns tensors by name that fit the networks of a model that they are for."""
    match = matched(offer)
    given = _load(match)
    head = starting.head_of(networks.component(match.model).build, networks.CLASSES, _shape(match))
    try:
        starting.take_over(
            *(networks.built(match.model), given, head),
            same_classes=False,
            where="what it loads",
            model=match.model.name,
        )
    except BenchError as error:
        fix = (
            "return tensors by the names and in the shapes of the network's `state_dict`, and let "
            "`origin` raise bench.UsageError for models that the weights are not for"
        )
        raise Broken(str(error), fix) from error


@rule("weights")
def says_where_it_comes_from(offer: Offer) -> None:
    """`origin` names files that can be read, and says the same each time."""
    match = matched(offer)
    again = origin_of(offer, match.model)
    unlike = [name for name, value in match.origin.items() if again[name] != value]
    if unlike:
        raise Broken(
            f"asked again, its `origin` gives other {listing(unlike)}",
            "let it depend on the model, the results folder and the params alone",
        )


@rule("weights")
def loads_the_same_twice(offer: Offer) -> None:
    """Loaded again, under another seed, the tensors are the same, and others share none of them."""
    match = matched(offer)
    device.seed_everything(1)
    first = _load(match)
    kept = {name: value.clone() for name, value in first.items()}
    for value in first.values():
        value.detach().zero_()  # as a network does that has them for its own and is trained
    device.seed_everything(2)
    second = _load(match)
    unlike = [name for name in kept if name not in second or not _are_same(kept, second, name)]
    if unlike or len(second) != len(kept):
        raise Broken(
            f"loaded again, {len(unlike)} of {len(kept)} tensors differ: {listing(unlike, 3)}",
            "read them from the files each time, draw nothing, and hand out copies of what is kept",
        )


@rule("weights")
def plans_without_torch(offer: Offer) -> None:
    """`origin`, which planning asks, imports no torch."""
    matched(offer)
    if elsewhere.ask(imports_torch, offer):
        raise Broken("asking for its `origin` imports torch", "import torch in `load` alone")


def _load(match: Match) -> Mapping[str, Tensor]:
    try:
        given = match.load(_shape(match))
    except BenchError as error:
        if downloads.OFFLINE in str(error):
            raise Skipped("it is not at hand, and nothing is downloaded here") from error
        raise
    if not isinstance(given, Mapping) or not all(isinstance(v, Tensor) for v in given.values()):
        raise Broken(
            f"`load` returned {type(given).__name__}, not tensors by name",
            "return a `state_dict`: a dictionary of tensors",
        )
    return given


def _shape(match: Match) -> tuple[int, int, int]:
    size = networks.size_of(match.model)
    return networks.CHANNELS, size, size


def _are_same(kept: Mapping[str, Tensor], again: Mapping[str, Tensor], name: str) -> bool:
    return torch.equal(kept[name], again[name])
