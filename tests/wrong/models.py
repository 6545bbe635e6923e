"""Models that are wrong, each in one way, and the rule that is to say so."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import bench

BENCH_API = 1

Shape = tuple[int, int, int]


class Net(nn.Module):
    """A small network that is right; the others are made of it."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, 8, 3, padding=1)
        self.head = nn.Linear(8, num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return (N, 8)."""
        embedded: Tensor = self.features(images).relu().mean((2, 3))
        return embedded

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.embed(images))
        return logits


def sound(num_classes: int, input_shape: Shape) -> nn.Module:
    """A convolution and a layer on top."""
    return Net(num_classes, input_shape[0])


class TenClasses(Net):
    """A number of classes of its own."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__(10, channels)


class Colour(Net):
    """A first layer for colour images, whatever comes."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__(num_classes, 3)


class Softmax(Net):
    """Probabilities in place of logits."""

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities."""
        return super().forward(images).softmax(1)


class Unused(Net):
    """A layer that `forward` forgets."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__(num_classes, channels)
        self.attention = nn.Linear(8, 8)


class Detached(Net):
    """A gradient that ends half-way."""

    def embed(self, images: Tensor) -> Tensor:
        """Return (N, 8)."""
        return super().embed(images).detach()


class AlwaysDrops(Net):
    """Dropout that knows of no evaluation."""

    def embed(self, images: Tensor) -> Tensor:
        """Return (N, 8)."""
        return functional.dropout(super().embed(images), 0.5)


class ByBatch(Net):
    """Normalisation by the batch at hand, in evaluation too."""

    def embed(self, images: Tensor) -> Tensor:
        """Return (N, 8)."""
        embedded = super().embed(images)
        return (embedded - embedded.mean(0)) / (embedded.std(0, correction=0) + 1e-5)


class OtherInTraining(Net):
    """Another scale in training."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, twice as large in training."""
        return super().forward(images) * (2.0 if self.training else 1.0)


class Unsaved(Net):
    """Something drawn that is in no state dict."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__(num_classes, channels)
        self.projection = torch.randn(8, 8)

    def embed(self, images: Tensor) -> Tensor:
        """Return (N, 8)."""
        return super().embed(images) @ self.projection.to(images.device)


class InPlace(Net):
    """Normalisation of the caller's own images."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        return super().forward(images.mul_(0.5))


class Stubborn(Net):
    """A network whose backbone never leaves the mode that it is in."""

    def train(self, mode: bool = True) -> Any:
        """Set the head alone."""
        self.training = mode
        self.head.train(mode)
        return self


class FrozenNorm(Net):
    """Statistics that stay as they are in training, which is sound."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__(num_classes, channels)
        self.norm = nn.BatchNorm2d(channels)

    def embed(self, images: Tensor) -> Tensor:
        """Return (N, 8)."""
        return super().embed(self.norm(images))

    def train(self, mode: bool = True) -> Any:
        """Keep the normalisation in evaluation."""
        super().train(mode)
        self.norm.eval()
        return self


def seeded(num_classes: int, input_shape: Shape) -> nn.Module:
    """A seed of its own."""
    torch.manual_seed(42)
    return sound(num_classes, input_shape)


def double(num_classes: int, input_shape: Shape) -> nn.Module:
    """A change of what numbers are for everybody."""
    network = sound(num_classes, input_shape)
    torch.set_num_threads(2)
    return network


def function(num_classes: int, input_shape: Shape) -> Any:
    """A function, where a module is needed."""
    network = sound(num_classes, input_shape)
    return lambda images: network(images) if images.device.type != "meta" else None


def segfaults(num_classes: int, input_shape: Shape) -> nn.Module:
    """The end of the process, by a signal."""
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGSEGV)
    return sound(num_classes, input_shape)


def suggest_other(trial: Any) -> dict[str, Any]:
    """Propose what `build` does not take."""
    return {"width": trial.suggest_int("width", 1, 2)}


def of(network: type[Net]) -> bench.Model:
    """Return the model that builds such networks."""

    def build(num_classes: int, input_shape: Shape) -> nn.Module:
        return network(num_classes, input_shape[0])

    return bench.Model(name="", build=build, description=(network.__doc__ or ""))


LARGE = bench.ModelHints(family="small", parameters=25_000_000)

BROKEN = {
    "ten-classes": ("gives_logits", of(TenClasses)),
    "function": ("gives_logits", bench.Model(name="", build=function)),
    "segfaults": ("gives_logits", bench.Model(name="", build=segfaults)),
    "colour-only": ("takes_other_shapes", of(Colour)),
    "softmax": ("gives_no_probabilities", of(Softmax)),
    "unused-layer": ("gradients_reach_all_parameters", of(Unused)),
    "detached": ("gradients_reach_all_parameters", of(Detached)),
    "unsaved": ("saves_and_loads", of(Unsaved)),
    "seeded": ("draws_its_weights_from_the_seed", bench.Model(name="", build=seeded)),
    "always-drops": ("evaluates_without_chance", of(AlwaysDrops)),
    "by-batch": ("answers_each_image_alone", of(ByBatch)),
    "other-in-training": ("has_two_modes", of(OtherInTraining)),
    "stubborn": ("has_two_modes", of(Stubborn)),
    "in-place": ("looks_at_its_images", of(InPlace)),
    "more-threads": ("leaves_torch_as_it_was", bench.Model(name="", build=double)),
    "half-its-layers": (
        "names_its_layers",
        bench.Model(name="", build=sound, layers=lambda network: [["head.weight", "head.bias"]]),
    ),
    "bytes-preprocessing": (
        "tells_its_preprocessing",
        bench.Model(
            name="",
            build=sound,
            preprocessing=lambda: bench.Preprocessing(mean=(124.0,) * 3, std=(58.0,) * 3),
        ),
    ),
    "wrong-hints": ("hints_at_its_size", bench.Model(name="", build=sound, hints=LARGE)),
    "other-weights": (
        "publishes_weights_that_fit",
        bench.Model(name="", build=sound, pretrained=lambda shape: {"a": torch.zeros(3)}),
    ),
    "suggests-other": (
        "suggests_usable_params",
        bench.Model(name="", build=sound, suggest=suggest_other),
    ),
}
"""By name, the rule that it breaks, and the model without its name."""


@bench.hookimpl
def register_models() -> Iterator[bench.Model]:
    yield bench.Model(name="sound", build=sound)
    yield dataclasses.replace(of(FrozenNorm), name="frozen-norm")
    for name, (_, component) in BROKEN.items():
        yield dataclasses.replace(component, name=name)
