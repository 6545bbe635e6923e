from __future__ import annotations

import inspect
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler

import bench
import bench_optim
from bench.config import Protocol
from bench.specs import Task

OPTIMIZERS = {offer.name: offer for offer in bench_optim.register_optimizers()}
SCHEDULES = {offer.name: offer for offer in bench_optim.register_schedules()}
LOSSES = {offer.name: offer for offer in bench_optim.register_losses()}


def torch_factors(make: Any, steps: int) -> list[float]:
    """Return the factors that one of torch's schedulers gives, for a base rate of 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(steps):
        factors.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if len(factors) < steps:
            scheduler.step()
    return factors


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
    tasks = [task for offer in LOSSES.values() if offer.default for task in offer.tasks]
    assert sorted(tasks) == sorted(Task)


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


# Schedules


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 10, 63, 315])
def test_one_cycle_is_that_of_torch(steps: int) -> None:
    ours = SCHEDULES["one-cycle"].build(steps, 1)
    theirs = torch_factors(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=steps, cycle_momentum=False
        ),
        steps,
    )
    assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("warmup", [0.1, 0.5, 0.85])
def test_one_cycle_takes_the_params_of_torch(warmup: float) -> None:
    ours = SCHEDULES["one-cycle"].build(50, 10, warmup=warmup, start_factor=0.2, end_factor=0.002)
    theirs = torch_factors(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=50,
            pct_start=warmup,
            div_factor=5,
            final_div_factor=100,
            cycle_momentum=False,
        ),
        50,
    )
    assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_one_cycle_stands_its_edges(warmup: float, steps: int) -> None:
    factors = SCHEDULES["one-cycle"].build(steps, 1, warmup=warmup)
    assert len(factors) == steps
    assert all(0 < factor <= 1 for factor in factors)


def test_one_cycle_refuses_a_warmup_longer_than_the_run() -> None:
    with pytest.raises(bench.ConfigError, match=r"`warmup` is 1\.5"):
        SCHEDULES["one-cycle"].build(10, 1, warmup=1.5)


def test_constant_stays() -> None:
    assert SCHEDULES["constant"].build(4, 2) == [1.0] * 4


@pytest.mark.parametrize("end_factor", [0.0, 0.1])
@pytest.mark.parametrize("steps", [1, 2, 63, 315])
def test_cosine_is_that_of_torch(steps: int, end_factor: float) -> None:
    ours = SCHEDULES["cosine"].build(steps, 1, end_factor=end_factor)
    theirs = torch_factors(
        lambda optimizer: lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=steps, eta_min=end_factor
        ),
        steps,
    )
    assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("steps", "size"), [(9, 3), (90, 30), (315, 105)])
def test_step_is_that_of_torch(steps: int, size: int) -> None:
    ours = SCHEDULES["step"].build(steps, 1)
    theirs = torch_factors(
        lambda optimizer: lr_scheduler.StepLR(optimizer, step_size=size, gamma=0.1), steps
    )
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_step_cuts_the_run_into_equal_parts() -> None:
    build = SCHEDULES["step"].build
    assert build(8, 1, drops=3, factor=0.5) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert build(3, 1, drops=0) == [1, 1, 1]
    with pytest.raises(bench.ConfigError, match="`drops` is -1"):
        build(3, 1, drops=-1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_step_has_a_factor(name: str) -> None:
    for steps in (1, 2, 5, 50):
        factors = SCHEDULES[name].build(steps, 5)
        assert len(factors) == steps
        assert all(isinstance(factor, float) for factor in factors)


# Losses


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(8, 5, requires_grad=True), torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(batch: tuple[Tensor, Tensor], smoothing: float) -> None:
    logits, labels = batch
    loss = LOSSES["cross-entropy"].build(5, label_smoothing=smoothing)
    expected = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_cross_entropy_refuses_impossible_smoothing() -> None:
    with pytest.raises(bench.ConfigError, match="`label_smoothing` is 2"):
        LOSSES["cross-entropy"].build(5, label_smoothing=2)


def test_mse_compares_probabilities_with_one_hot_labels(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    loss = LOSSES["mse"].build(5)(logits, labels)
    expected = functional.mse_loss(logits.softmax(1), torch.eye(5)[labels])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


def test_losses_take_shares_of_classes_where_images_were_mixed(
    batch: tuple[Tensor, Tensor],
) -> None:
    logits, labels = batch
    one_hot = torch.eye(5)[labels]
    mixed = 0.3 * one_hot + 0.7 * one_hot.flip(0)
    found = LOSSES["mse"].build(5)(logits, mixed)
    torch.testing.assert_close(found, functional.mse_loss(logits.softmax(1), mixed))
    build = LOSSES["cross-entropy"].build
    both = build(5)(logits, labels), build(5)(logits, labels.flip(0))
    torch.testing.assert_close(build(5)(logits, mixed), 0.3 * both[0] + 0.7 * both[1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_that_of_torch(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 5), torch.randint(0, 2, (8, 5)).float()
    loss = LOSSES["binary-cross-entropy"].build(5, label_smoothing=smoothing)
    targets = torch.where(labels == 1, 1 - smoothing / 2, smoothing / 2)
    expected = functional.binary_cross_entropy(logits.sigmoid(), targets)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_binary_cross_entropy_refuses_impossible_smoothing() -> None:
    with pytest.raises(bench.ConfigError, match="`label_smoothing` is -1"):
        LOSSES["binary-cross-entropy"].build(5, label_smoothing=-1)


def test_mse_is_computed_in_float32(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    loss = LOSSES["mse"].build(5)(logits.bfloat16(), labels)
    assert loss.dtype == torch.float32
