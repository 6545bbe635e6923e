"""Freezing, unfreezing and slower layers, where training starts from weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import trainers
from torch import nn
from trainers import batches, job, network, run

import bench
from bench.engine.freezing import Freezing, freezing_of, layers_of, set_rates
from bench.engine.interruption import Interrupted
from bench.engine.rates import LearningRates, RatePlan
from bench.protocol import Protocol

HEAD = frozenset({"4.weight", "4.bias"})
GROUPS = [["0.weight", "0.bias"], ["1.weight", "1.bias"], ["4.weight", "4.bias"]]


def freezing(model: nn.Module, started: bool = True, **fields: Any) -> Freezing:
    protocol = Protocol(**fields).model_dump()
    return freezing_of(model, GROUPS, protocol, started=started)


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


class Net(nn.Module):
    """A network with a parameter of its own, blocks in a row, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1))
        self.stem = nn.Conv2d(1, 2, 1)
        self.blocks = nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)), nn.Conv2d(2, 2, 1)
        )
        self.head = nn.Linear(2, 3)


def test_layers_are_a_networks_children_in_order() -> None:
    groups = layers_of(Net(), None, frozenset({"head.weight", "head.bias"}), "model `net`")
    block = [f"blocks.0.{place}.{name}" for place in (0, 1) for name in ("weight", "bias")]
    assert groups == [
        ["token"],
        ["stem.weight", "stem.bias"],
        block,
        ["blocks.1.weight", "blocks.1.bias"],
        ["head.weight", "head.bias"],
    ]


def test_a_network_in_a_row_has_its_members_for_layers() -> None:
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), nn.Linear(2, 2))
    groups = layers_of(net, None, frozenset({"1.weight", "1.bias"}), "model `net`")
    assert [len(group) for group in groups] == [4, 2]


def test_a_wrapper_around_the_network_is_no_layer() -> None:
    wrapper = nn.Module()
    wrapper.network = Net()
    groups = layers_of(wrapper, None, frozenset({"network.head.weight"}), "model `net`")
    assert groups[0] == ["network.token"]
    assert groups[-2:] == [["network.head.bias"], ["network.head.weight"]]


def test_a_model_may_tell_its_layers_and_must_tell_all() -> None:
    net = Net()
    names = [name for name, _ in net.named_parameters()]
    told = layers_of(net, lambda model: [names[:5], names[5:]], frozenset(names[-2:]), "net")
    assert told == [names[:5], names[5:-2], names[-2:]]
    with pytest.raises(bench.PluginError, match="must name every parameter"):
        layers_of(net, lambda model: [names[1:]], frozenset(), "model `net`")


def test_the_head_alone_is_trained_until_the_rest_joins_from_the_top() -> None:
    model = network()
    plan = freezing(model, freeze="backbone", unfreeze="3,5")
    seen = {}
    for epoch in range(1, 7):
        plan.begin(epoch)
        seen[epoch] = trained(model)
    head, norm, first = (set(group) for group in reversed(GROUPS))
    assert seen[1] == seen[2] == head
    assert seen[3] == seen[4] == head | norm
    assert seen[5] == seen[6] == head | norm | first
    plan.begin(2)  # whatever came before: a run may go on in any epoch
    assert trained(model) == head
    assert plan.trained_parameters == sum(p.numel() for p in model[4].parameters())


def test_without_epochs_to_unfreeze_the_backbone_stays_frozen() -> None:
    model = network()
    freezing(model, freeze="backbone").begin(99)
    assert trained(model) == set(GROUPS[2])


@pytest.mark.parametrize(
    ("fields", "epoch", "moves"),
    [
        ({}, 1, True),
        ({"batch_norm": "frozen"}, 1, False),
        ({"freeze": "backbone", "unfreeze": "2"}, 1, False),
        ({"freeze": "backbone", "unfreeze": "2"}, 2, True),
    ],
)
def test_statistics_move_where_the_layer_is_trained(
    fields: dict[str, Any], epoch: int, moves: bool
) -> None:
    model = network()
    plan = freezing(model, **fields)
    plan.begin(epoch)
    plan.train_mode()
    before = model[1].running_mean.clone()
    model(torch.randn(8, 1, 6, 6)).sum().backward()
    assert model[1].running_mean.equal(before) is not moves
    assert (model[1].weight.grad is not None) is moves
    assert model.training


def test_what_starts_at_random_is_never_frozen() -> None:
    model = network()
    groups = [["1.weight", "1.bias"], ["4.weight", "4.bias", "0.weight", "0.bias"]]
    told = Protocol(freeze="backbone", batch_norm="frozen").model_dump()
    freezing_of(model, groups, told, started=True).begin(1)
    assert trained(model) == {*groups[1]}
    model = network()
    groups = [["0.weight", "0.bias"], ["4.weight", "4.bias", "1.weight", "1.bias"]]
    freezing_of(model, groups, told, started=True).begin(1)
    assert trained(model) == {*groups[1]}


def test_what_the_network_itself_holds_still_stays_still() -> None:
    model = network()
    model[0].bias.requires_grad_(False)
    plan = freezing(model, freeze="backbone", unfreeze="2")
    for epoch in (1, 2):
        plan.begin(epoch)
        assert not model[0].bias.requires_grad


def test_a_norm_without_parameters_rests_with_the_layer_before_it() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, affine=False), nn.Flatten(), nn.Linear(72, 3)
    )
    groups = [["0.weight", "0.bias"], ["3.weight", "3.bias"]]
    told = Protocol(freeze="backbone").model_dump()
    plan = freezing_of(model, groups, told, started=True)
    plan.begin(1)
    plan.train_mode()
    model(torch.randn(8, 1, 6, 6))
    assert model[1].running_mean.equal(torch.zeros(2))


@pytest.mark.parametrize("averaging", ["ema", "swa"])
@pytest.mark.parametrize(
    "fields", [{"batch_norm": "frozen", "freeze": None}, {"unfreeze": ()}, {"unfreeze": (3,)}]
)
def test_an_average_keeps_the_statistics_of_what_rests(
    averaging: str, fields: dict[str, Any]
) -> None:
    told = {"unfreeze": (), "swa_start": 0.25, "ema_decay": 0.5, **fields}
    what = frozen_job(averaging=averaging, **told)
    before = what.model[1].running_mean.clone()
    run(what, batches(40), batches(12, seed=1))
    rests = fields.get("unfreeze") != (3,)
    assert what.averaging.evaluated[1].running_mean.equal(before) is rests


def test_random_weights_are_all_trained() -> None:
    model = network()
    plan = freezing(model, started=False, freeze="backbone", batch_norm="frozen")
    plan.begin(1)
    plan.train_mode()
    assert len(trained(model)) == 6
    assert model[1].training


def test_rates_fall_from_the_head_down() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    set_rates(optimizer, model, GROUPS, backbone_rate=0.5, layer_decay=0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(p)]: g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert rates["4.weight"] == 1.0
    assert rates["1.bias"] == pytest.approx(0.5 * 0.1)
    assert rates["0.weight"] == pytest.approx(0.5 * 0.1**2)
    assert all(group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_equal_rates_leave_an_optimizers_groups_alone() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    [before] = optimizer.param_groups
    set_rates(optimizer, model, GROUPS, backbone_rate=1.0, layer_decay=1.0)
    assert optimizer.param_groups == [before]


def test_a_step_is_as_long_as_its_layers_rate_says() -> None:
    """Plain gradient descent, so that a step is the rate times the gradient."""
    model = network()
    before = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    set_rates(optimizer, model, GROUPS, backbone_rate=0.5, layer_decay=1.0)
    rates = LearningRates(optimizer, RatePlan([0.5], 1))
    rates.begin([])
    rates.set(0)
    model(torch.randn(4, 1, 6, 6)).square().sum().backward()
    optimizer.step()
    for place, rate in ((4, 0.1 * 0.5), (0, 0.1 * 0.5 * 0.5)):
        moved = before[place].weight - model[place].weight
        torch.testing.assert_close(moved, rate * model[place].weight.grad)


def frozen_job(**fields: Any) -> trainers.Training:
    model = network()
    protocol = {"epochs": 4, "freeze": "backbone", "unfreeze": (2, 3), "l2": 0.1, **fields}
    made = job(model, trainers.adamw(model), protocol=protocol)
    made.freezing = freezing(model, **protocol)
    return made


def test_what_is_frozen_does_not_move_and_then_does() -> None:
    what = frozen_job()
    begun = copy.deepcopy(what.model.state_dict())
    after: list[dict[str, torch.Tensor]] = []
    data, val = batches(40), batches(12, seed=1)
    trained = run(what, data, val, lambda _: after.append(copy.deepcopy(what.model.state_dict())))
    moved = [{n for n in begun if not begun[n].equal(state[n])} for state in after]
    norm = {"1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert moved[0] == {"4.weight", "4.bias"}
    assert moved[1] == {"4.weight", "4.bias"} | norm
    assert moved[2] == set(begun)
    counts = [epoch.trained_parameters for epoch in trained.epochs]
    assert counts == [195, 203, 243, 243]


def test_a_run_stopped_while_frozen_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.engine import interruption

    data, val = batches(40), batches(12, seed=1)
    whole = run(frozen_job(), data, val).job.model.state_dict()

    def stop(metrics: Any) -> None:
        if metrics.epoch == stop_after:
            interruption.request()

    for stop_after in (1, 2):
        path = tmp_path / f"{stop_after}.pt"
        with pytest.raises(Interrupted):
            run(frozen_job(), data, val, stop, path)
        interruption.clear()
        again = run(frozen_job(), data, val, path=path).job.model.state_dict()
        for name, tensor in whole.items():
            assert tensor.equal(again[name]), (stop_after, name)
