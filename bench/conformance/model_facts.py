"""What a model says of itself: layers, preprocessing, size, published weights, params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench import downloads
from bench.conformance.networks import CHANNELS, CLASSES, WANTED, built, component, size_of
from bench.conformance.rules import Broken, Skipped, after_name, name_of, rule
from bench.conformance.suggestions import rule_on_suggestions
from bench.engine import starting
from bench.engine.freezing import layers_of
from bench.errors import BenchError
from bench.registry import Offer
from bench.specs import ModelHints, Preprocessing

HINTED_CLASSES = 1000
NEAR = 0.01
"""Part of the parameters by which a hint at them may be wrong."""


@rule("model")
def names_its_layers(offer: Offer) -> None:
    """Its layers, as `layers` tells them or by its children, hold every parameter once."""
    try:
        groups = layers_of(built(offer), component(offer).layers, _head(offer), name_of(offer))
    except BenchError as error:
        fix = "return the names of `network.named_parameters()` in groups, each name once"
        raise Broken(after_name(error, offer), fix) from error
    if component(offer).layers is not None and len(groups) < 2:
        raise Broken(
            "`layers` puts all below the head into no group of its own",
            "name the layers from the input to the logits, or leave `layers` out",
        )


@rule("model")
def tells_its_preprocessing(offer: Offer) -> None:
    """Its `preprocessing`, where it has one, is a mean and a std by channel, within [0, 1]."""
    tell = component(offer).preprocessing
    if tell is None:
        return
    told = tell()
    if not isinstance(told, Preprocessing):
        raise Broken(
            f"`preprocessing` returned {type(told).__name__}, not bench.Preprocessing",
            "return bench.Preprocessing(mean=..., std=...)",
        )
    mean, std = list(told.mean), list(told.std)
    if len(mean) != len(std) or len(mean) not in (1, 3):
        raise Broken(
            f"`preprocessing` gives {len(mean)} mean(s) and {len(std)} std(s)",
            "give one for each channel, 3 or 1",
        )
    if not all(0 <= value <= 1 for value in mean) or not all(0 < value <= 1 for value in std):
        raise Broken(
            f"`preprocessing` gives mean {mean} and std {std}",
            "give them for values in [0, 1]: divide by 255 what is told for 0 to 255",
        )


@rule("model")
def hints_at_its_size(offer: Offer) -> None:
    """Its hint at the number of parameters, where it gives one, is right."""
    hints = component(offer).hints
    if hints is None:
        return
    if not isinstance(hints, ModelHints):
        raise Broken(f"its hints are {type(hints).__name__}", "give bench.ModelHints")
    if hints.parameters is None:
        return
    real = [_count(offer, channels, hints.input_size) for channels in (CHANNELS, 1)]
    if all(abs(count - hints.parameters) > NEAR * count for count in real):
        raise Broken(
            f"its hints say {hints.parameters:,} parameters with {HINTED_CLASSES:,} classes, and "
            f"it has {real[0]:,}",
            "correct `hints.parameters`, or leave it out",
        )


@rule("model")
def publishes_weights_that_fit(offer: Offer) -> None:
    """What its `pretrained` returns, where it has that, fits the networks that it builds."""
    fetch = component(offer).pretrained
    if fetch is None:
        return
    size = size_of(offer)
    try:
        given = fetch((CHANNELS, size, size))
    except BenchError as error:
        if downloads.OFFLINE in str(error):
            raise Skipped("its published weights are not at hand") from error
        raise
    tensors = isinstance(given, Mapping) and all(isinstance(v, Tensor) for v in given.values())
    if not tensors:
        raise Broken(
            f"`pretrained` returned {type(given).__name__}, not tensors by name",
            "return a `state_dict`",
        )
    try:
        starting.take_over(
            *(built(offer), given, _head(offer)),
            same_classes=False,
            where="what `pretrained` returns",
            model=offer.name,
        )
    except BenchError as error:
        fix = "return tensors by the names and in the shapes of the network's `state_dict`"
        raise Broken(str(error), fix) from error


def _head(offer: Offer) -> frozenset[str]:
    size = size_of(offer)
    return starting.head_of(component(offer).build, CLASSES, (CHANNELS, size, size))


def _count(offer: Offer, channels: int, native: int | None) -> int:
    """Return the trainable parameters of a network of the size that hints are about."""
    size = size_of(offer, HINTED_CLASSES, channels, native or WANTED)
    with torch.device("meta"):
        network: nn.Module = component(offer).build(HINTED_CLASSES, (channels, size, size))
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _build(offer: Offer, **params: Any) -> None:
    size = size_of(offer)
    with torch.device("meta"):
        component(offer).build(CLASSES, (CHANNELS, size, size), **params)


rule_on_suggestions("model", _build)
