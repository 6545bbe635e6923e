"""What every model does: it gives logits, learns with all it has, and can be saved and moved.

Further rules on models are in `model_modes.py` and `model_facts.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import nn
from torch.nn import functional

from bench.conformance.networks import (
    BATCH,
    CHANNELS,
    CLASSES,
    CONTRACT,
    RATE,
    WANTED,
    asked,
    built,
    checked,
    component,
    images,
    size_of,
    take_a_step,
    trained,
)
from bench.conformance.rules import Broken, Skipped, after_name, name_of, rule
from bench.engine import artifacts, device, sizing
from bench.errors import BenchError
from bench.registry import Offer
from bench.specs import ModelHints
from bench.text import listing

SHAPES = ((2, 1, 28), (3, 3, 32), (11, 3, 64))
"""Classes, channels and wanted size of the networks that are built."""
STEPS = 6
"""Steps within which each weight must have had a gradient: what starts at zero keeps it from what
lies behind at first."""


@rule("model")
def gives_logits(offer: Offer) -> None:
    """It builds a network that maps a batch of images to logits, in training and evaluation."""
    _check_type(offer)
    try:
        size_of(offer)
    except BenchError as error:
        raise Broken(after_name(error, offer), CONTRACT) from error
    network = built(offer)
    for mode in (True, False):
        network.train(mode)
        logits = network(images(offer))
        sizing.check_logits(logits, BATCH, CLASSES, name_of(offer))
        if not logits.is_floating_point():
            raise Broken(f"its logits are {logits.dtype}", "return floating-point logits")
        if not bool(torch.isfinite(logits).all()):
            named = "training" if mode else "evaluation"
            raise Broken(
                f"in {named} its logits of noise hold NaN or infinity",
                "look for a division by zero, or for weights that start too large",
            )
    if not any(p.requires_grad for p in network.parameters()):
        raise Broken(
            "it has no trainable parameters",
            "keep layers as attributes or in `nn.ModuleList`, and weights as `nn.Parameter`",
        )


@rule("model")
def takes_other_shapes(offer: Offer) -> None:
    """It takes gray and colour images of several sizes, and any number of classes."""
    for classes, channels, wanted in SHAPES:
        try:
            size_of(offer, classes, channels, wanted)
        except BenchError as error:
            raise Broken(
                f"asked for {classes} classes and {channels} channel(s), it "
                f"{after_name(error, offer)}",
                "make the first layer for `input_shape[0]` channels and the last for "
                "`num_classes` logits; pool, or reckon with `input_shape[1:]`, in between",
            ) from error


@rule("model")
def gives_no_probabilities(offer: Offer) -> None:
    """What it returns is neither softmax nor sigmoid of the logits: the loss takes these itself."""
    network = trained(offer)
    said = asked(network, 3 * images(offer)).float()
    ones = torch.ones(len(said))
    within = bool((said >= 0).all() and (said <= 1).all())
    if within and torch.allclose(said.sum(1), ones, atol=1e-4):
        raise Broken("each row adds up to 1", "drop the softmax: losses want logits")
    if bool((said <= 0).all()) and torch.allclose(said.exp().sum(1), ones, atol=1e-4):
        raise Broken("the exponentials of a row add up to 1", "drop the log_softmax")
    if within and float(said.min()) > 0:
        low, high = float(said.min()), float(said.max())
        raise Broken(
            f"all it says of noise lies from {low:.3f} to {high:.3f}",
            "drop the sigmoid: losses want logits",
        )


@rule("model")
def gradients_reach_all_parameters(offer: Offer) -> None:
    """Within a few steps every parameter that is to be trained has had a gradient."""
    network = built(offer).train()
    parameters = {n: p for n, p in network.named_parameters() if p.requires_grad}
    without, zero = set(parameters), set(parameters)
    optimizer = torch.optim.SGD(parameters.values(), lr=RATE)
    for step in range(STEPS):
        take_a_step(network, optimizer, images(offer, seed=step))
        for name in list(zero):
            gradient = parameters[name].grad
            if gradient is None:
                continue
            without.discard(name)
            if not bool(torch.isfinite(gradient).all()):
                raise Broken(
                    f"in step {step + 1} the gradient of `{name}` holds NaN or infinity",
                    "look for the square root or the logarithm of zero",
                )
            if bool(gradient.any()):
                zero.discard(name)
        if not zero:
            return
    found, what = (without, "get no gradient") if without else (zero, f"is zero in {STEPS} steps")
    raise Broken(
        f"{_some(found, parameters)} {what}"
        if without
        else f"the gradient of {_some(found, parameters)} {what}",
        "use them in `forward`, without `detach` and `no_grad`; drop those of no use, and give "
        "`requires_grad_(False)` to those that are not to learn",
    )


@rule("model")
def saves_and_loads(offer: Offer) -> None:
    """Saved as runs are, and loaded into a network of another seed, it gives the same logits."""
    network, batch = trained(offer), images(offer)
    wanted = asked(network, batch)
    # What is not in the file differs in a network that was built under another seed.
    other = built(offer, seed=1).eval()
    with tempfile.TemporaryDirectory(prefix="bench-model-") as folder:
        path = Path(folder) / "model.safetensors"
        artifacts.save_weights(network, path)
        load_model(other, path)
    found = asked(other, batch)
    if not torch.allclose(found, wanted, rtol=1e-5, atol=1e-6):
        far = float((found - wanted).abs().max())
        raise Broken(
            f"saved and loaded again, its logits differ by {far:.3g}",
            "keep what it has learned or drawn in parameters and buffers (`register_buffer`)",
        )


@rule("model")
def draws_its_weights_from_the_seed(offer: Offer) -> None:
    """The same seed gives the same weights, another seed others."""
    first, same, other = (dict(built(offer, seed).named_parameters()) for seed in (3, 3, 4))
    unlike = {name for name, value in first.items() if not torch.equal(value, same[name])}
    if unlike:
        raise Broken(
            f"built twice under one seed, {_some(unlike, first)} differ",
            "draw weights from torch's own generator, which `bench` seeds",
        )
    if all(torch.equal(value, other[name]) for name, value in first.items()):
        raise Broken(
            "built under another seed, it has the same weights",
            "set no seed in `build`, and load no weights there: `pretrained` is for that",
        )


@rule("model")
def works_on_a_gpu(offer: Offer) -> None:
    """On a GPU it takes a step, in bfloat16 too, and gives the logits that it gives here."""
    if not torch.cuda.is_available():
        raise Skipped("torch finds no CUDA device here")
    network, batch = trained(offer), images(offer)
    wanted = asked(network, batch)
    network, batch = network.to("cuda"), batch.to("cuda")
    try:
        found = asked(network, batch).cpu()
        network.train()
        for precision in dict.fromkeys(("float32", device.precision_of("auto", "cuda"))):
            with device.autocast("cuda", precision):
                logits = network(batch)
            labels = torch.arange(BATCH, device="cuda")
            functional.cross_entropy(logits.float(), labels).backward()
    except RuntimeError as error:
        raise Broken(
            f"on a GPU it raised {type(error).__name__}: {error}",
            "make new tensors where the images are, by `device=images.device`, and keep constants "
            "in buffers",
        ) from error
    far = float((found - wanted).abs().max())
    if far > 0.05 * max(float(wanted.abs().max()), 1.0):
        raise Broken(
            f"on a GPU its logits differ by {far:.3g} from those on a CPU",
            "compute the same on both: look for what depends on the device",
        )


def _some(names: Collection[str], parameters: dict[str, nn.Parameter]) -> str:
    """Return some names of parameters in the order of the network, and how many there are."""
    ordered = [name for name in parameters if name in names]
    return f"{len(ordered)} of {len(parameters)} parameters ({listing(ordered, 3)})"


def _check_type(offer: Offer) -> None:
    """Have `build` return a module: the search for a size would only say that none works."""
    hints = component(offer).hints
    size = (hints.input_size if isinstance(hints, ModelHints) else None) or WANTED
    try:
        network = component(offer).build(CLASSES, (CHANNELS, size, size))
    except Exception:  # perhaps it takes no images of this size
        return
    checked(network)
