"""Networks and images to try models on, small ones, on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.conformance.rules import Broken, name_of
from bench.engine import device, sizing
from bench.registry import Offer
from bench.specs import Model

WANTED = 32
"""Height and width that networks are tried at, pixels, or the next larger one that they take."""
CLASSES = 5
CHANNELS = 3
BATCH = 4
CONTRACT = (
    "`build(num_classes, input_shape)` returns a torch.nn.Module that maps float images "
    "(N, C, H, W) to logits (N, num_classes)"
)
WARM_STEPS = 2
"""Steps after which statistics are those of images, and what started at zero no longer is."""
RATE = 0.01

_sizes: dict[tuple[int, int, int, int], tuple[Offer, int]] = {}


def component(offer: Offer) -> Model:
    """Return the model that is offered."""
    assert isinstance(offer.component, Model)
    return offer.component


def size_of(
    offer: Offer, classes: int = CLASSES, channels: int = CHANNELS, wanted: int = WANTED
) -> int:
    """Return the height and width at which runs would build a network, pixels.

    Raises:
        PluginError: there is none, or its logits have the wrong shape.
    """
    key = (id(offer), classes, channels, wanted)
    if key not in _sizes:
        model = component(offer)
        native = model.hints.input_size if model.hints else None
        found = sizing.choose_input_size(
            model.build, classes, channels, wanted, native, name_of(offer)
        )
        _sizes[key] = offer, found
    return _sizes[key][1]


def images(offer: Offer, seed: int = 0, count: int = BATCH) -> Tensor:
    """Return colour images of noise, (N, C, H, W) float, normalised."""
    size = size_of(offer)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, CHANNELS, size, size, generator=generator)


def built(offer: Offer, seed: int = 0) -> nn.Module:
    """Return a new network for colour images, built under a seed, on the CPU."""
    size = size_of(offer)
    device.seed_everything(seed)
    return checked(component(offer).build(CLASSES, (CHANNELS, size, size)))


def checked(network: Any) -> nn.Module:
    """Return what `build` made.

    Raises:
        Broken: it is no network.
    """
    if not isinstance(network, nn.Module):
        raise Broken(f"`build` returned {type(network).__name__}, not torch.nn.Module", CONTRACT)
    return network


def trained(offer: Offer) -> nn.Module:
    """Return a network after a few steps, in evaluation."""
    network = built(offer).train()
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=RATE)
    for step in range(WARM_STEPS):
        take_a_step(network, optimizer, images(offer, seed=step))
    return network.eval()


def take_a_step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor) -> None:
    """Train on a batch of images with labels at random, by gradients that are clipped."""
    optimizer.zero_grad(set_to_none=True)
    labels = torch.randint(CLASSES, (len(batch),))
    functional.cross_entropy(network(batch).float(), labels).backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def asked(network: nn.Module, batch: Tensor, seed: int = 0) -> Tensor:
    """Return what a network says of a copy of some images, every generator seeded."""
    device.seed_everything(seed)
    with torch.inference_mode():
        said: Tensor = network(batch.clone())
    return said


def are_close(one: Tensor, other: Tensor) -> bool:
    """Return whether logits differ by no more than the order in which numbers were added up."""
    scale = float(other.abs().max())
    return bool(torch.allclose(one, other, rtol=1e-3, atol=1e-4 * max(scale, 1e-3)))
