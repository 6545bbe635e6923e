from __future__ import annotations

import inspect
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import bench
import bench_optim
from bench.protocol import Protocol
from bench.specs import Task

OPTIMIZERS = {offer.name: offer for offer in bench_optim.register_optimizers()}
SCHEDULES = {offer.name: offer for offer in bench_optim.register_schedules()}
LOSSES = {offer.name: offer for offer in bench_optim.register_losses()}


# What is offered


def test_the_offer_is_complete_and_each_kind_has_one_default() -> None:
    assert sorted(OPTIMIZERS) == [
        "adam",
        "adamw",
        "momentum",
        "nesterov",
        "rmsprop",
        "sgd",
        "sgd-vanilla",
    ]
    defaults = [
        [name for name, offer in offers.items() if offer.default]
        for offers in (OPTIMIZERS, SCHEDULES, LOSSES)
    ]
    assert defaults == [["adamw"], ["one-cycle"], ["cross-entropy", "binary-cross-entropy"]]
    for task in Task:
        assert sum(offer.is_default(task) for offer in LOSSES.values()) == 1
        assert all(task in offer.tasks for offer in LOSSES.values() if offer.is_default(task))


def test_pins_are_protocol_fields() -> None:
    assert OPTIMIZERS["sgd-vanilla"].pins == {"batch_size": 1}
    for offer in OPTIMIZERS.values():
        Protocol(**offer.pins)


@pytest.mark.parametrize("offer", [*OPTIMIZERS.values(), *SCHEDULES.values(), *LOSSES.values()])
def test_every_param_is_documented(offer: bench.Component) -> None:
    documented = inspect.getdoc(offer.factory) or ""
    assert offer.summary
    assert all(f"{name}: " in documented for name in offer.defaults)


# Optimizers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_convex_loss_falls(name: str) -> None:
    torch.manual_seed(0)
    inputs, model = torch.randn(64, 4), nn.Linear(4, 1)
    targets = inputs @ torch.tensor([[0.2], [-0.1], [0.3], [0.1]]) + 0.2
    optimizer = OPTIMIZERS[name].build(model)
    assert isinstance(optimizer, torch.optim.Optimizer)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = functional.mse_loss(model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_params_reach_the_optimizer(name: str) -> None:
    offer = OPTIMIZERS[name]
    values = dict.fromkeys(offer.defaults, 0.5)
    group = offer.build(nn.Linear(2, 2), **values).param_groups[0]
    betas = group.get("betas", (None, None))
    for param, value in values.items():
        found = {"beta1": betas[0], "beta2": betas[1]}.get(param, group.get(param))
        assert found == value, param
    assert group.get("nesterov", False) is (name == "nesterov")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_suggestions_are_known_params_and_can_be_built(name: str) -> None:
    offer = OPTIMIZERS[name]
    assert offer.suggest is not None
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(3):
        trial = study.ask()
        params = offer.suggest(trial)
        assert params == trial.params
        assert set(params) <= set(offer.defaults)
        offer.build(nn.Linear(2, 2), **params)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_lie_within_the_search_space(name: str) -> None:
    offer = OPTIMIZERS[name]
    assert offer.suggest is not None
    trial = optuna.create_study().ask()
    offer.suggest(trial)
    for param, space in trial.distributions.items():
        # A log space holds no zero, where some penalties start.
        if offer.defaults[param] != 0:
            assert space._contains(offer.defaults[param]), param


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(bench.ConfigError, match="use `sgd`"):
        OPTIMIZERS["nesterov"].build(nn.Linear(2, 2), momentum=0.0)


# Fused kernels

FUSED = [name for name in OPTIMIZERS if name != "rmsprop"]


class Weight(nn.Module):
    """A network of one weight."""

    def __init__(self, values: Tensor, trained: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(values, requires_grad=trained)


def frozen() -> nn.Module:
    model = nn.Linear(40, 5)
    model.weight.requires_grad_(False)
    return model


USUAL = {
    "linear": lambda: nn.Linear(40, 5),
    "channels last": lambda: nn.Conv2d(3, 40, 3).to(memory_format=torch.channels_last),
    "transposed": lambda: Weight(torch.randn(5, 40).t()),
    "depthwise": lambda: nn.Conv2d(8, 8, 3, groups=8).to(memory_format=torch.channels_last),
    "float64": lambda: nn.Linear(40, 5, dtype=torch.float64),
    "two types": lambda: nn.Sequential(nn.Linear(40, 5), nn.Linear(5, 40, dtype=torch.float64)),
    "frozen": frozen,
    "all frozen": lambda: Weight(torch.randn(40), trained=False),
    "empty": lambda: Weight(torch.randn(0, 40)),
    "scalar": lambda: Weight(torch.randn(())),
}
UNUSUAL = {
    "bfloat16": lambda: nn.Linear(40, 5, dtype=torch.bfloat16),
    "complex": lambda: nn.Linear(40, 5, dtype=torch.complex64),
    "every other row": lambda: Weight(torch.randn(10, 40)[::2]),
    "every other column": lambda: Weight(torch.randn(5, 40)[:, ::2]),
}


def step_on_squares(name: str, make: Any, fused: bool | None) -> tuple[list[Tensor], set[Any]]:
    """Return the weights after five steps down the sum of their squares, and the kernels' kind."""
    torch.manual_seed(0)
    model = make()
    optimizer = OPTIMIZERS[name].build(model)
    kinds = {group["fused"] for group in optimizer.param_groups}
    for group in optimizer.param_groups:
        group["fused"] = group["fused"] if fused is None else fused
    for _ in range(5):
        optimizer.zero_grad()
        for weight in model.parameters():
            if weight.requires_grad:
                weight.abs().float().square().sum().backward()
        optimizer.step()
    return [weight.detach() for weight in model.parameters()], kinds


@pytest.mark.parametrize("make", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("name", FUSED)
def test_fused_kernels_do_what_the_plain_ones_do(name: str, make: Any) -> None:
    ours, kinds = step_on_squares(name, make, fused=None)
    assert kinds == {True}
    torch.testing.assert_close(ours, step_on_squares(name, make, fused=False)[0])


@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("name", FUSED)
def test_weights_that_fused_kernels_would_spoil_get_the_plain_ones(name: str, make: Any) -> None:
    ours, kinds = step_on_squares(name, make, fused=None)
    assert kinds == {None}
    torch.testing.assert_close(ours, step_on_squares(name, make, fused=False)[0])


@pytest.mark.parametrize("name", ["sgd", "sgd-vanilla", "momentum"])
def test_sparse_gradients_are_applied(name: str) -> None:
    model = nn.Embedding(6, 3, sparse=True)
    before = model.weight.detach().clone()
    optimizer = OPTIMIZERS[name].build(model)
    model(torch.tensor([1, 4])).sum().backward()
    optimizer.step()
    moved = (model.weight.detach() != before).any(1)
    assert moved.tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("name", FUSED)
def test_learning_rates_stay_plain_numbers(name: str) -> None:
    group = OPTIMIZERS[name].build(nn.Linear(2, 2)).param_groups[0]
    assert type(group["lr"]) is float


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_state_goes_on_where_it_was(name: str) -> None:
    def trained(resumed: bool) -> Tensor:
        torch.manual_seed(0)
        model = nn.Linear(40, 5)
        optimizer = OPTIMIZERS[name].build(model)
        for step in range(6):
            if step == 3 and resumed:
                state = optimizer.state_dict()
                optimizer = OPTIMIZERS[name].build(model)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            model.weight.square().sum().backward()
            optimizer.step()
        return model.weight.detach()

    assert torch.equal(trained(resumed=True), trained(resumed=False))


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop"])
def test_a_layer_may_be_left_out_of_some_steps(name: str) -> None:
    torch.manual_seed(0)
    early, late = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    model = torch.nn.ModuleList([early, late])
    [offer] = [each for each in bench_optim.register_optimizers() if each.name == name]
    optimizer = offer.build(model, **offer.defaults)
    before = late.weight.detach().clone()
    for step in range(3):
        optimizer.zero_grad()
        x = early(torch.ones(2, 4))
        (late(x) if step else x).square().mean().backward()
        optimizer.step()
    assert not torch.equal(late.weight, before)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_velocities_from_zero_are_those_of_torch(name: str) -> None:
    [offer] = [each for each in bench_optim.register_optimizers() if each.name == name]
    weights = []
    for plain in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 4)
        optimizer = offer.build(model, lr=0.1, momentum=0.9)
        if plain:
            nesterov = name == "nesterov"
            optimizer = torch.optim.SGD(
                model.parameters(), lr=0.1, momentum=0.9, nesterov=nesterov, foreach=False
            )
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.ones(2, 4)).square().mean().backward()
            optimizer.step()
        weights.append(model.weight.detach())
    assert torch.allclose(*weights, atol=1e-7)
