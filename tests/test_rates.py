from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from trainers import batches, job, network, run

from bench.engine.rates import LearningRates, RatePlan, checked_schedule
from bench.errors import PluginError
from bench.records import EpochMetrics


def epoch(number: int, val_loss: float = 1.0) -> EpochMetrics:
    return EpochMetrics(number, 9, 1.0, 0.5, val_loss, 0.5, 0.1, 1.0, 100.0)


def rates_of(plan: RatePlan, epochs: int, **given: Any) -> list[float]:
    """Return the learning rate of each step of an optimizer whose own is 0.5."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    rates = LearningRates(optimizer, plan, **given)
    found = []
    for number in range(epochs):
        rates.begin([epoch(n + 1) for n in range(number)])
        for step in range(plan.steps_per_epoch):
            rates.set(step)
            assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(rates.at(step))
            found.append(float(optimizer.param_groups[0]["lr"]))
    return found


@pytest.mark.parametrize("warmup", [0, 1, 2, 5, 7, 8, 30])
def test_warm_up_is_a_linear_rise_to_the_schedule(warmup: int) -> None:
    schedule = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    parameter = nn.Parameter(torch.zeros(1))
    reference = torch.optim.SGD([parameter], lr=0.5)
    scheduler = LambdaLR(
        reference, lambda step: schedule[min(step, 7)] * min(1.0, (step + 1) / (warmup or 1))
    )
    expected = []
    for _ in schedule:
        expected.append(scheduler.get_last_lr()[0])
        reference.step()
        scheduler.step()
    assert rates_of(RatePlan(schedule, 4, warmup), 2) == pytest.approx(expected)


def test_a_function_is_asked_before_each_epoch() -> None:
    asked: list[list[int]] = []

    def schedule(epochs: Sequence[EpochMetrics]) -> float:
        asked.append([each.epoch for each in epochs])
        return 0.5 ** len(epochs)

    assert rates_of(RatePlan(schedule, 2, 3), 3) == pytest.approx(
        [0.5 / 3, 1 / 3, 0.25, 0.25, 0.125, 0.125]
    )
    assert asked == [[], [1], [1, 2]]


def test_rates_on_the_device_are_the_same() -> None:
    plan = RatePlan([1.0, 0.3, 0.7, 0.1], 2, 1)
    assert rates_of(plan, 2, on_device=True) == pytest.approx(rates_of(plan, 2), rel=1e-6)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_fused_optimizer_learns_the_same_from_rates_on_the_device(kind: Any) -> None:
    data, val = batches(40), batches(12, 1)
    factors = [1.0, 0.5, 0.2, 1.0, 0.1, 0.7, 0.3, 0.9, 0.4]
    weights = []
    for on_device in (False, True):
        model = network()
        optimizer = kind(model.parameters(), lr=0.05, fused=True)
        rates = LearningRates(optimizer, RatePlan(factors, 3), on_device)
        run(job(model, optimizer, rates=rates), data, val)
        weights.append(model[4].weight.detach())
    assert torch.allclose(*weights, atol=1e-6)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([1.0, 1.0], "2 factors for 4 steps"),
        ([1.0, 1.0, float("nan"), 1.0], "NaN or infinite factor"),
        ([1.0, "x", 1.0, 1.0], "no sequence of numbers"),
        (None, "no sequence of numbers"),
    ],
)
def test_what_is_no_schedule_names_its_plugin(made: Any, message: str) -> None:
    with pytest.raises(PluginError, match=f"schedule `odd` .*{message}"):
        checked_schedule(made, 4, "schedule `odd`")


@pytest.mark.parametrize(
    ("factor", "message"), [(float("inf"), "NaN or infinite"), ("x", "failed after epoch 0")]
)
def test_a_function_that_gives_no_factor_names_its_plugin(factor: Any, message: str) -> None:
    with pytest.raises(PluginError, match=f"schedule `odd`.*{message}"):
        RatePlan(lambda epochs: factor, 2, where="schedule `odd`").factors([])
