from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

import bench
import bench_optim

SCHEDULES = {offer.name: offer for offer in bench_optim.register_schedules()}


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


@pytest.mark.parametrize(("every", "size"), [(1, 7), (3, 21), (0.5, 4), (0.01, 1)])
def test_step_can_drop_every_so_many_epochs_as_that_of_torch(every: float, size: int) -> None:
    ours = SCHEDULES["step"].build(63, 7, every=every, factor=0.9)
    theirs = torch_factors(
        lambda optimizer: lr_scheduler.StepLR(optimizer, step_size=size, gamma=0.9), 63
    )
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_step_refuses_drops_without_a_distance() -> None:
    with pytest.raises(bench.ConfigError, match="`every` is 0"):
        SCHEDULES["step"].build(3, 1, every=0)


def epochs_of(val_losses: Sequence[float]) -> list[bench.EpochMetrics]:
    """Return finished epochs of which only the val losses matter."""
    rest = dict.fromkeys(("train_loss", "train_accuracy", "val_accuracy", "lr", "seconds"), 0.0)
    return [
        bench.EpochMetrics(
            epoch=epoch, epochs=len(val_losses), val_loss=loss, images_per_second=1.0, **rest
        )
        for epoch, loss in enumerate(val_losses, start=1)
    ]


def plateau_factors(val_losses: Sequence[float], **params: Any) -> list[float]:
    """Return the factor of each epoch, and of the one after the last."""
    schedule = SCHEDULES["reduce-on-plateau"].build(10, 1, **params)
    epochs = epochs_of(val_losses)
    return [schedule(epochs[:count]) for count in range(len(epochs) + 1)]


@given(
    # Few different values, so that many are equal or nearly so.
    val_losses=st.lists(st.sampled_from([0.0, 0.5, 0.9, 0.9999, 1.0, 2.0, 1e30]), max_size=30),
    factor=st.sampled_from([0.1, 0.5, 0.999]),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.2]),
    cooldown=st.integers(0, 4),
    min_factor=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
)
def test_reduce_on_plateau_is_that_of_torch(
    val_losses: list[float],
    factor: float,
    patience: int,
    threshold: float,
    cooldown: int,
    min_factor: float,
) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        min_lr=min_factor,
        eps=0,
    )
    theirs = [1.0]
    for loss in val_losses:
        scheduler.step(loss)
        theirs.append(optimizer.param_groups[0]["lr"])
    ours = plateau_factors(
        val_losses,
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        min_factor=min_factor,
    )
    assert ours == theirs


def test_reduce_on_plateau_waits_for_its_patience_to_end() -> None:
    assert plateau_factors([1.0, 0.5, 0.5, 0.6, 0.5]) == [1, 1, 1, 1, 1, 0.1]
    assert plateau_factors([1.0, 0.9, 0.8, 0.7, 0.6]) == [1, 1, 1, 1, 1, 1]
    assert plateau_factors([1.0] * 4, patience=0, min_factor=0.05) == [1, 1, 0.1, 0.05, 0.05]


def test_reduce_on_plateau_remembers_nothing_but_the_epochs() -> None:
    schedule = SCHEDULES["reduce-on-plateau"].build(10, 1, patience=1)
    epochs = epochs_of([1.0, 1.0, 1.0, 1.0, 0.5])
    forwards = [schedule(epochs[:count]) for count in range(6)]
    backwards = [schedule(epochs[:count]) for count in reversed(range(6))]
    assert forwards == backwards[::-1] == [1.0, 1.0, 1.0, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("factor", 0.0),
        ("factor", 1.0),
        ("patience", -1),
        ("threshold", 1.0),
        ("cooldown", -1),
        ("min_factor", 1.1),
    ],
)
def test_reduce_on_plateau_refuses_params_outside_their_range(param: str, value: float) -> None:
    with pytest.raises(bench.ConfigError, match=f"`{param}` is {value}; give "):
        SCHEDULES["reduce-on-plateau"].build(10, 1, **{param: value})


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_step_has_a_factor(name: str) -> None:
    for steps in (1, 2, 5, 50):
        factors = SCHEDULES[name].build(steps, 5)
        if callable(factors):
            factors = [factors([])] * steps
        assert len(factors) == steps
        assert all(isinstance(factor, float) for factor in factors)
