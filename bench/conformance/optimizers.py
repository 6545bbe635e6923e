"""What every optimizer does: it lowers losses, heeds its learning rate and can go on later."""

from __future__ import annotations

import copy
import io
import math
import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.conformance.evidence import raised, unless_broken
from bench.conformance.rules import Broken, Skipped, rule
from bench.conformance.small_trainings import Bowl, Net, Training, net, net_loss, weights_of
from bench.conformance.suggestions import rule_on_suggestions
from bench.engine.device import seed_everything
from bench.engine.freezing import set_rates
from bench.engine.generators import random_state, restore_random_state
from bench.engine.training import lay_out_as_weights
from bench.registry import Offer
from bench.text import listing, one_line

CONVEX_STEPS = 50
NET_STEPS = 40
FALLEN = 1e-4
"""Part of a loss that is taken for progress: what takes the smallest steps takes 50 of them."""
STILL = 0.05
"""Part of its usual way that an optimizer may go at a rate of 0: one that divides by small
numbers need not stand quite still."""
TINY = 1e-12
SLOW = 1e-3
"""Part of the rate at which the layers below the last are trained, to see whether they are."""


def built(offer: Offer, model: nn.Module, **params: Any) -> Optimizer:
    """Return the optimizer of a model, once it is known to be one."""
    optimizer = offer.component.factory(model, **params)
    if not isinstance(optimizer, Optimizer):
        raise Broken(
            f"`build` returned {type(optimizer).__name__}",
            "return a `torch.optim.Optimizer` made of the parameters of the model that it is given",
        )
    return optimizer


@rule("optimizer")
def builds_an_optimizer(offer: Offer) -> None:
    """It is a torch optimizer with learning rates, whose `step()` needs no closure."""
    model = net()
    optimizer = built(offer, model)
    for place, group in enumerate(optimizer.param_groups):
        rate = group.get("lr")
        if not isinstance(rate, int | float | Tensor) or not 0 < float(rate) < math.inf:
            raise Broken(
                f"param group {place} has `lr` {rate!r}",
                "give each group a learning rate above 0 as `lr`: schedules multiply it",
            )
    net_loss(model).backward()
    try:
        optimizer.step()
    except TypeError as error:
        if "closure" not in str(error):
            raise
        raise Broken(
            f"`step()` raised {one_line(str(error))}",
            "take steps without a closure: runs call `step()` alone, once the gradients are there",
        ) from error


rule_on_suggestions("optimizer", lambda offer, **params: built(offer, Net(), **params))


@rule("optimizer")
def trains_every_parameter(offer: Offer) -> None:
    """Each parameter that the network trains is in a group, and its steps move it."""
    model = net()
    optimizer = built(offer, model)
    held = {id(each) for group in optimizer.param_groups for each in group["params"]}
    known = dict(model.named_parameters())
    forgotten = [name for name, weight in known.items() if id(weight) not in held]
    if forgotten:
        raise Broken(
            f"{listing(forgotten)} of {len(known)} parameters: in no group, so never trained",
            "pass all of `model.parameters()` on, those that are treated otherwise in a group "
            "of their own",
        )
    # Every weight has a gradient of its own; a first step may only measure.
    ways = Training(model, optimizer, _sum_of_squares).way(5)
    still = [name for name, way in ways.items() if way == 0]
    if still:
        raise Broken(
            f"{listing(still)} of {len(known)} parameters: not moved by 5 steps with gradients",
            "update every parameter that has a gradient",
        )


def _sum_of_squares(model: nn.Module) -> Tensor:
    return torch.stack([(weight - 3).square().sum() for weight in model.parameters()]).sum() / 100


@rule("optimizer")
def lowers_a_convex_loss(offer: Offer) -> None:
    """Fifty of its steps with the default params lower a quadratic."""
    model = Bowl()
    optimizer = built(offer, model)
    first, *_ = Training(model, optimizer, lambda bowl: bowl()).take(CONVEX_STEPS)
    last = float(model().detach())
    if last >= first * (1 - FALLEN):
        unless_broken(trains_every_parameter, offer)
    _check_fallen(first, last, CONVEX_STEPS, "a quadratic")


@rule("optimizer")
def lowers_the_loss_of_a_tiny_net(offer: Offer) -> None:
    """Forty of them lower the loss of a small network on one batch."""
    unless_broken(lowers_a_convex_loss, offer)
    model = net()
    _check_fallen(*_ends(model, built(offer, model)), NET_STEPS, "a small network on one batch")


def _ends(model: nn.Module, optimizer: Optimizer) -> tuple[float, float]:
    """Train a network; return its loss at first, and the mean over the last quarter of steps."""
    losses = Training(model, optimizer).take(NET_STEPS)
    # A single step of what leaps about may happen to be a good one.
    last = losses[-NET_STEPS // 4 :]
    return losses[0], sum(last) / len(last)


def _check_fallen(first: float, last: float, steps: int, what: str) -> None:
    if last < first * (1 - FALLEN):
        return
    if not math.isfinite(last):
        evidence, fix = f"went from {first:.4g} to {last}", "a lower default `lr`"
    elif last > first:
        evidence = f"rose from {first:.4g} to {last:.4g}"
        fix = "steps against the gradient, and a default `lr` that is low enough"
    else:
        evidence = f"stayed at {first:.6g}"
        fix = "steps that `lr` makes long enough to be seen"
    raise Broken(f"the loss of {what} {evidence} in {steps} steps with the default params", fix)


@rule("optimizer")
def follows_the_learning_rate(offer: Offer) -> None:
    """Its steps have the rate that the group has now: at 0 nothing moves, later it does."""
    model = net()
    usual = sum(Training(model, built(offer, model)).way(4).values())
    model = net()
    training = Training(model, built(offer, model))
    at_zero = sum(training.way(4, 0.0).values())
    if at_zero > STILL * usual:
        raise Broken(
            f"with `lr` at 0 four steps moved the weights by {at_zero:.3g}, with the default by "
            f"{usual:.3g}",
            'read `group["lr"]` in every step: the schedule sets it there',
        )
    later = sum(training.way(4).values())
    if later < STILL * usual:
        raise Broken(
            f"after four steps at a rate of 0, four at the default moved the weights by "
            f"{later:.3g}, not about {usual:.3g}",
            'read `group["lr"]` in every step, and keep no rate of an earlier one',
        )


@rule("optimizer")
def trains_layers_at_rates_of_their_own(offer: Offer) -> None:
    """Its groups may be divided, each with a rate of its own, as `layer_decay` divides them."""
    model = net()
    usual = Training(model, built(offer, model)).way(6)
    model = net()
    optimizer = built(offer, model)
    head = [name for name in usual if name.startswith("head")]
    body = [name for name in usual if name not in head]
    set_rates(optimizer, model, [body, head], backbone_rate=SLOW, layer_decay=1.0)
    ways = Training(model, optimizer).way(6)
    slow, fast = (
        sum(ways[name] for name in part) / max(sum(usual[name] for name in part), TINY)
        for part in (body, head)
    )
    if slow > STILL or fast < 0.5:
        unless_broken(trains_every_parameter, offer)
        unless_broken(lowers_a_convex_loss, offer)
        unless_broken(follows_the_learning_rate, offer)
        raise Broken(
            f"with all layers but the last at {SLOW:g} of the rate these went {slow:.3g} of their "
            f"usual way, the last one {fast:.3g} of it",
            "go through `self.param_groups` in every step, and take `lr` from the group at hand",
        )


@rule("optimizer")
def passes_over_what_has_no_gradient(offer: Offer) -> None:
    """Parameters without a gradient, of frozen layers, stay as they are until they have one."""
    model = net()
    optimizer = built(offer, model)
    model.stem.requires_grad_(False)
    training = Training(model, optimizer)
    fix = "skip parameters whose `grad` is None, decay included"
    try:
        ways = training.way(3)
    except Exception as error:
        raise Broken(f"where layers are frozen {raised(error, offer)}", fix) from error
    changed = [name for name, way in ways.items() if name.startswith("stem") and way > 0]
    if changed:
        raise Broken(f"{listing(changed)}: moved without a gradient", fix)
    model.stem.requires_grad_(True)
    ways = training.way(3)
    still = [name for name, way in ways.items() if name.startswith("stem") and way == 0]
    # Before normalisation a bias has no gradient but what rounding leaves of one.
    still = [name for name in still if name != "stem.0.bias"]
    if still:
        unless_broken(trains_every_parameter, offer)
        raise Broken(
            f"{listing(still)}: not moved by 3 steps once there were gradients",
            "make the state of a parameter when its first gradient comes",
        )


@rule("optimizer")
def takes_the_same_steps_again(offer: Offer) -> None:
    """The same seed, weights and gradients make the same weights again, bit for bit."""
    found = []
    for _ in range(2):
        model = net()
        Training(model, built(offer, model)).take(6)
        found.append(weights_of(model))
    one, other = found
    _check_equal(
        one,
        other,
        "in two runs with one seed",
        "draw from torch's, NumPy's or Python's own generator, which runs seed, or not at all",
    )


@rule("optimizer")
def goes_on_from_its_saved_state(offer: Offer) -> None:
    """Saved in the middle, and loaded into a new one, it makes the same weights."""
    unless_broken(takes_the_same_steps_again, offer)
    model = net()
    optimizer = built(offer, model)
    training = Training(model, optimizer)
    training.take(4)
    file, generators = io.BytesIO(), random_state("cpu")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    training.take(4, 0.5)

    file.seek(0)
    fix = 'keep all that later steps need in `self.state[parameter]` or in `group["..."]`'
    try:
        state = torch.load(file, weights_only=True)
    except Exception as error:
        # torch's own words are a page on how to run the code nevertheless.
        strange = re.search(r"GLOBAL (\S+)", str(error))
        what = f"`{strange[1]}`" if strange else one_line(str(error), 200)
        raise Broken(
            f"its state holds what cannot be read back without running code: {what}",
            "keep tensors, numbers, texts, lists and dicts in the state",
        ) from error
    again = net()
    resumed = built(offer, again)
    training = Training(again, resumed)
    again.load_state_dict(state["model"])
    resumed.load_state_dict(state["optimizer"])
    lay_out_as_weights(resumed)
    restore_random_state(generators)
    training.take(4, 0.5)
    _check_equal(
        weights_of(model), weights_of(again), "after 4 steps from a state that was saved", fix
    )


def _check_equal(one: dict[str, Tensor], other: dict[str, Tensor], when: str, fix: str) -> None:
    differing = [name for name, weight in one.items() if not torch.equal(weight, other[name])]
    if differing:
        most = max(float((one[name] - other[name]).abs().max()) for name in differing)
        raise Broken(f"{listing(differing)}: differ by up to {most:.3g} {when}", fix)


@rule("optimizer")
def stands_any_layout_in_memory(offer: Offer) -> None:
    """Weights that lie `channels_last`, as runs may have them, are trained as others are."""
    plain = net()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    seed_everything(0)
    fix = "compute with tensors as they are shaped, or use `reshape` in place of `view`"
    ways = Training(plain, built(offer, plain), _sum_of_squares).way(3)
    seed_everything(0)
    try:
        Training(last, built(offer, last), _sum_of_squares).take(3)
    except RuntimeError as error:
        raise Broken(f"of weights that lie `channels_last` {raised(error, offer)}", fix) from error
    after = weights_of(plain)
    for name, weight in weights_of(last).items():
        apart = float((weight - after[name]).norm())
        # What inverts matrices may round otherwise, far less than it goes.
        if not apart <= STILL * max(ways[name], TINY):
            unless_broken(takes_the_same_steps_again, offer)
            raise Broken(
                f"after 3 steps `{name}` is {apart:.3g} from where it comes to if it lies "
                f"`channels_last`, having moved by {ways[name]:.3g}",
                fix,
            )


@rule("optimizer")
def works_on_a_gpu(offer: Offer) -> None:
    """On a GPU it lowers the loss of a small network, with learning rates that may lie there."""
    if not torch.cuda.is_available():
        raise Skipped("there is no CUDA device")
    unless_broken(lowers_the_loss_of_a_tiny_net, offer)
    model = net().cuda()
    try:
        first, last = _ends(model, built(offer, model))
    except RuntimeError as error:
        raise Broken(
            f"on a GPU {raised(error, offer)}",
            "make its state with `torch.zeros_like(parameter)`, where the parameter is",
        ) from error
    _check_fallen(first, last, NET_STEPS, "a small network on a GPU")
