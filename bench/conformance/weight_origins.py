"""Which models weights are tried on, and where they say that they come from; imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import origins
from bench.conformance.rules import Skipped
from bench.errors import BenchError
from bench.overrides import defaults_of
from bench.records import ComponentRef
from bench.registry import Offer, Plugin
from bench.specs import Model, Preprocessing, Weights
from bench.text import one_line

if TYPE_CHECKING:
    from torch import nn

RESULTS = Path("results")
"""The folder of earlier runs, as it is called where nobody names another."""


@dataclass(frozen=True)
class Match:
    """Weights, and a model that they are for.

    Attributes:
        weights: their spec.
        model: the model and its plugin.
        origin: what a run would record of where they come from.
    """

    weights: Weights
    model: Offer
    origin: Mapping[str, Any]

    def load(self, input_shape: tuple[int, int, int]) -> Any:
        """Return what `load` returns, with the default params, for (C, H, W)."""
        files = [Path(name) for name in self.origin["files"]]
        return self.weights.load(_bound(self.model), input_shape, files)


def matched(offer: Offer) -> Match:
    """Return weights with the first model at hand that they are for.

    Raises:
        Skipped: there is none, or they are a source without a path.
    """
    weights = offer.component
    assert isinstance(weights, Weights)
    if weights.is_source and not weights.defaults.get("path"):
        raise Skipped("it is a source; `--set path=PATH` says what it is to load")
    reasons = []
    for model in _models(offer):
        try:
            return Match(weights, model, origin_of(offer, model))
        except BenchError as error:
            reasons.append(one_line(str(error), 160))
    raise Skipped(f"no model at hand starts from it: {reasons[0]}")


def origin_of(offer: Offer, model: Offer) -> Mapping[str, Any]:
    """Return what planning finds out about where weights for a model come from.

    Raises:
        BenchError: there are none for it.
    """
    own = ComponentRef(offer.name, offer.plugin.name, {})
    its = ComponentRef(model.name, model.plugin.name, defaults_of(model))
    return origins.find(offer, own, model, its, RESULTS).origin


def imports_torch(offer: Offer) -> bool:
    """Return whether asking where weights come from imports torch, in a process without."""
    weights = offer.component
    assert isinstance(weights, Weights)
    loaded = "torch" in sys.modules
    if weights.origin is not None:
        for model in _models(offer):
            try:
                weights.origin(_bound(model), RESULTS)
            except BenchError:
                continue
            break
    return not loaded and "torch" in sys.modules


def _models(offer: Offer) -> Iterator[Offer]:
    """Yield the models that weights may be for: those of their own plugin, then the kit's."""
    for component in offer.plugin.components:
        if isinstance(component, Model):
            yield Offer(component, offer.plugin)
    yield Offer(MODEL, Plugin("conformance", "bench-harness", "", __name__))


def _bound(model: Offer) -> Model:
    assert isinstance(model.component, Model)
    return model.component.with_params(defaults_of(model))


def build(num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """Two convolutions and a layer on top, which stands for models in general."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(input_shape[0], 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )


def _pretrained(input_shape: tuple[int, int, int]) -> Mapping[str, Any]:
    from torch import random

    with random.fork_rng(devices=[]):
        random.manual_seed(7)
        state: Mapping[str, Any] = build(5, input_shape).state_dict()
    return state


def _preprocessing() -> Preprocessing:
    return Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


MODEL = Model(name="sample", build=build, pretrained=_pretrained, preprocessing=_preprocessing)
"""A model with published weights of its own."""
