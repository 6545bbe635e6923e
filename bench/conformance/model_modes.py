"""What a network does in training and in evaluation, and what it leaves alone."""

from __future__ import annotations

import copy
from typing import Any

import torch

from bench.conformance.networks import (
    BATCH,
    CLASSES,
    are_close,
    asked,
    built,
    images,
    trained,
)
from bench.conformance.rules import Broken, name_of, rule
from bench.engine import sizing
from bench.registry import Offer
from bench.text import listing


@rule("model")
def evaluates_without_chance(offer: Offer) -> None:
    """In evaluation it gives the same logits each time, and its state stays as it is."""
    network, batch = trained(offer), images(offer)
    before = copy.deepcopy(network.state_dict())
    first, second = asked(network, batch, seed=1), asked(network, batch, seed=2)
    if not torch.equal(first, second):
        far = float((first - second).abs().max())
        raise Broken(
            f"in evaluation its logits differ by {far:.3g} from one time to the next",
            "draw nothing there: pass `training=self.training` to functional dropout",
        )
    changed = [n for n, value in network.state_dict().items() if not torch.equal(value, before[n])]
    if changed:
        raise Broken(
            f"in evaluation it changes {listing(changed, 3)}",
            "update statistics only where `self.training`",
        )


@rule("model")
def answers_each_image_alone(offer: Offer) -> None:
    """In evaluation it takes batches of any size, and what it says of an image is of that alone."""
    network, batch = trained(offer), images(offer)
    together = asked(network, batch)
    if not torch.equal(together, asked(network, batch, seed=1)):
        return  # chance alone makes its answers differ, as another rule says
    for count in (1, 2, BATCH - 1):
        alone = asked(network, batch[:count])
        sizing.check_logits(alone, count, CLASSES, name_of(offer))
        if not are_close(alone, together[:count]):
            far = float((alone - together[:count]).abs().max())
            raise Broken(
                f"in evaluation the logits of an image differ by {far:.3g} between batches of "
                f"{count} and {BATCH}",
                "normalise by running statistics in evaluation, not by those of the batch",
            )


@rule("model")
def looks_at_its_images(offer: Offer) -> None:
    """Other images get other logits, and the images stay as they were."""
    network = trained(offer)
    for mode in (True, False):
        given = images(offer)
        before = given.clone()
        with torch.no_grad():
            network.train(mode)(given)
        if not torch.equal(given, before):
            raise Broken(
                "it changes the images that it is given",
                "work on a copy: `images - mean` in place of `images.sub_(mean)`",
            )
    # At first a last layer of zeros may hide the images, later a last ReLU that has died.
    for each in (network, built(offer).eval()):
        if not torch.equal(asked(each, images(offer)), asked(each, images(offer, seed=1))):
            return
    raise Broken("it gives the same logits whatever it is shown", "use the images in `forward`")


@rule("model")
def has_two_modes(offer: Offer) -> None:
    """`train` and `eval` reach all modules; only chance and statistics make logits differ."""
    network = built(offer)
    fix = "let `train(mode)` call `super().train(mode)`"
    network.eval()
    stuck = [name or "itself" for name, each in network.named_modules() if each.training]
    if stuck:
        raise Broken(
            f"after `eval()`, {len(stuck)} of its modules are in the other mode: "
            f"{listing(stuck, 3)}",
            fix,
        )
    # Some may stay: frozen parts and their statistics are kept in evaluation on purpose.
    if not any(each.training for each in network.train().modules()):
        raise Broken("after `train()`, all of its modules are in the other mode", fix)
    batch = images(offer)
    before = copy.deepcopy(network.state_dict())
    first, second = asked(network, batch, seed=1), asked(network, batch, seed=2)
    same = all(torch.equal(v, before[n]) for n, v in network.state_dict().items())
    if not torch.equal(first, second) or not same:
        return  # dropout, or running statistics: the modes are meant to differ
    answered = asked(network.eval(), batch)
    if not are_close(first, answered):
        far = float((first - answered).abs().max())
        raise Broken(
            f"its logits in training and in evaluation differ by {far:.3g}, and neither chance nor "
            "statistics of the batch are in play",
            "compute the same in both modes, but for dropout and normalisation",
        )


@rule("model")
def leaves_torch_as_it_was(offer: Offer) -> None:
    """Building and asking it changes no setting that the whole process shares."""
    before = _settings()
    network = built(offer)
    with torch.no_grad():
        network(images(offer))
    after = _settings()
    changed = [name for name, value in before.items() if after[name] != value]
    if changed:
        said = ", ".join(f"the {name} is {after[name]}, not {before[name]}" for name in changed)
        raise Broken(
            f"afterwards {said}",
            "leave the process as it is: other runs share it; name dtypes where tensors are made",
        )


def _settings() -> dict[str, Any]:
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "precision of products": torch.get_float32_matmul_precision(),
        "number of threads": torch.get_num_threads(),
        "use of deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "recording of gradients": torch.is_grad_enabled(),
        "benchmarking of cuDNN": torch.backends.cudnn.benchmark,
    }
