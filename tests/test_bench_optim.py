from __future__ import annotations

import copy
import inspect
import io
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import bench
import bench_optim
from bench.engine.rates import LearningRates, RatePlan
from bench.protocol import Protocol
from bench.specs import Task

OPTIMIZERS = {offer.name: offer for offer in bench_optim.register_optimizers()}
SCHEDULES = {offer.name: offer for offer in bench_optim.register_schedules()}
LOSSES = {offer.name: offer for offer in bench_optim.register_losses()}


def small() -> nn.Module:
    """A network with all that networks for images train: convolution, normalisation, layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, factor: float = 1.0
) -> list[float]:
    """Train on one small batch as the engine does, which sets learning rates; return losses."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(16, 1, 6, 6, generator=generator)
    labels = torch.arange(16) % 5
    rates = LearningRates(optimizer, RatePlan(schedule=[factor] * steps, steps_per_epoch=steps))
    rates.begin([])
    losses = []
    for step in range(steps):
        rates.set(step)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def weights_of(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def moved(model: nn.Module, before: list[Tensor]) -> list[float]:
    """Return how far each parameter is from where it was."""
    pairs = zip(model.parameters(), before, strict=True)
    return [float((now.detach() - then).norm()) for now, then in pairs]


# What is offered


def test_the_offer_is_complete_and_each_kind_has_one_default() -> None:
    assert sorted(OPTIMIZERS) == [
        "adabelief",
        "adadelta",
        "adafactor",
        "adagrad",
        "adam",
        "adamax",
        "adamp",
        "adamw",
        "adan",
        "adopt",
        "asgd",
        "cadamw",
        "clion",
        "lamb",
        "laprop",
        "lars",
        "lion",
        "madgrad",
        "mars",
        "momentum",
        "muon",
        "nadam",
        "nadamw",
        "nesterov",
        "novograd",
        "radam",
        "rmsprop",
        "rmsproptf",
        "sgd",
        "sgd-vanilla",
        "sgdp",
        "sgdw",
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
def test_the_loss_of_a_small_batch_falls(name: str) -> None:
    torch.manual_seed(0)
    model = small()
    optimizer = OPTIMIZERS[name].build(model)
    assert isinstance(optimizer, torch.optim.Optimizer)
    losses = train(model, optimizer, 40)
    assert losses[-1] < 0.995 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_params_reach_the_optimizer(name: str) -> None:
    offer = OPTIMIZERS[name]
    values: dict[str, Any] = {}
    for param, default in offer.defaults.items():
        other = {bool: not default, int: default + 1, float: 0.5 + 0.01 * len(values)}
        values[param] = other[type(default)]
    for group in offer.build(small(), **values).param_groups:
        betas = group.get("betas", ())
        held = {**{f"beta{place}": beta for place, beta in enumerate(betas, 1)}, **group}

        for param, value in values.items():
            assert held[param] == value, param


def test_what_timm_leaves_open_is_settled() -> None:
    def group(name: str) -> dict[str, Any]:
        return dict(OPTIMIZERS[name].build(small()).param_groups[0])

    for name in ("nesterov", "sgdw", "sgdp", "adamp", "muon"):
        assert group(name)["nesterov"] is True, name
    for name in ("sgd", "momentum"):
        assert group(name)["nesterov"] is False, name
    for name in ("cadamw", "clion"):
        assert group(name)["caution"] is True, name
    assert group("lion")["caution"] is False
    for name in ("lamb", "lars"):
        assert group(name)["always_adapt"] is True, name
    assert group("adabelief")["rectify"] is False
    assert group("adafactor")["beta1"] is None
    assert group("adafactor")["relative_step"] is False


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
        offer.build(small(), **params)


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


def test_muon_has_matrices_and_adamw_the_rest() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),  # a matrix of 8x27
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8),  # depthwise: each filter has a matrix of one row
        nn.Conv2d(8, 2, 1),  # two rows
        nn.Linear(8, 6),
    )
    matrices, rest = OPTIMIZERS["muon"].build(model).param_groups
    assert [tuple(each.shape) for each in matrices["params"]] == [(8, 3, 3, 3), (6, 8)]
    assert matrices["use_muon"]
    assert not rest["use_muon"]
    assert len(matrices["params"]) + len(rest["params"]) == len(list(model.parameters()))


def test_a_step_of_muon_is_orthogonal() -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 4, bias=False)
    before = weights_of(model)[0]
    optimizer = OPTIMIZERS["muon"].build(model, lr=1.0)
    (model.weight * torch.randn(4, 6)).sum().backward()
    optimizer.step()
    step = (model.weight.detach() - before) / (0.2 * 6**0.5)
    assert (torch.linalg.svdvals(step) - 1).abs().max() < 0.35


def test_muon_without_matrices_is_refused() -> None:
    frozen_matrix = small()
    for parameter in frozen_matrix.parameters():
        parameter.requires_grad_(parameter.ndim == 1)
    for model in (nn.BatchNorm2d(8), nn.Linear(8, 2), frozen_matrix):
        with pytest.raises(bench.ConfigError, match=r"optimizer `muon`: .* use `adamw`$"):
            OPTIMIZERS["muon"].build(model)


# What the engine asks of every optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_saved_as_plain_data_goes_on_to_the_same_bits(name: str) -> None:
    torch.manual_seed(0)
    model = small()
    optimizer = OPTIMIZERS[name].build(model)
    train(model, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(model, optimizer, 4, factor=0.5)

    state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    again = small()
    resumed = OPTIMIZERS[name].build(again)
    again.load_state_dict(state["model"])
    # The engine makes its learning rates before it loads a state, which holds those of a step.
    base = [group["lr"] for group in resumed.param_groups]
    resumed.load_state_dict(state["optimizer"])
    for group, lr in zip(resumed.param_groups, base, strict=True):
        group["lr"] = lr
    train(again, resumed, 4, factor=0.5)
    assert all(map(torch.equal, weights_of(again), weights_of(model)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_learning_rates_are_numbers_that_scale_the_steps(name: str) -> None:
    lengths = []
    for factor in (1.0, 0.01):
        torch.manual_seed(0)
        model = small()
        optimizer = OPTIMIZERS[name].build(model)
        assert all(type(group["lr"]) is float for group in optimizer.param_groups)
        before = weights_of(model)
        train(model, optimizer, 3, factor)
        lengths.append(sum(moved(model, before)))
    # In MADGRAD a step is as long as the rate to the power of 2/3.
    assert lengths[1] < (0.1 if name == "madgrad" else 0.03) * lengths[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_may_be_split_and_given_rates_of_their_own(name: str) -> None:
    torch.manual_seed(0)
    model = small()
    first = list(model[0].parameters())  # type: ignore[index]
    optimizer = OPTIMIZERS[name].build(model)
    split = []
    for group in optimizer.param_groups:
        for is_first, factor in ((True, 1e-3), (False, 1.0)):
            chosen = [each for each in group["params"] if (each in set(first)) is is_first]
            split.append({**group, "params": chosen, "lr": group["lr"] * factor})
    optimizer.param_groups[:] = [group for group in split if group["params"]]
    before = weights_of(model)
    losses = train(model, optimizer, 20)
    slow, fast = moved(model, before)[:2], moved(model, before)[2:]
    assert losses[-1] < losses[0]
    assert max(slow) < 0.1 * max(fast)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_is_drawn_at_random(name: str) -> None:
    torch.manual_seed(0)
    models = [small()]
    models.append(copy.deepcopy(models[0]))
    for seed, model in enumerate(models):
        optimizer = OPTIMIZERS[name].build(model)
        torch.manual_seed(seed)
        train(model, optimizer, 6)
    assert all(map(torch.equal, *map(weights_of, models)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_layout_in_memory_does_not_matter(name: str) -> None:
    torch.manual_seed(0)
    plain = small()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    for model in (plain, last):
        optimizer = OPTIMIZERS[name].build(model)
        for _ in range(3):
            optimizer.zero_grad()
            for number, parameter in enumerate(model.parameters()):
                (parameter.square() * (number + 1)).sum().backward()
            optimizer.step()
    torch.testing.assert_close(weights_of(plain), weights_of(last), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_layer_may_be_left_out_of_some_steps(name: str) -> None:
    torch.manual_seed(0)
    early, late = nn.Linear(4, 4), nn.Linear(4, 4)
    model = nn.ModuleList([early, late])
    optimizer = OPTIMIZERS[name].build(model)
    for takes_part in (False, False, True, True, False, True):
        before = weights_of(late)
        optimizer.zero_grad()
        x = early(torch.ones(2, 4))
        (late(x) if takes_part else x).square().mean().backward()
        optimizer.step()
        assert (sum(moved(late, before)) == 0) or takes_part
    assert all(weight.isfinite().all() for weight in weights_of(model))
    assert sum(moved(late, before)) > 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_weights_stay_as_they_are(name: str) -> None:
    torch.manual_seed(0)
    model = small()
    frozen_ones = [model[0].weight, model[1].bias]  # type: ignore[index]
    for parameter in frozen_ones:
        parameter.requires_grad_(False)
    before = [parameter.clone() for parameter in frozen_ones]
    train(model, OPTIMIZERS[name].build(model), 4)
    assert all(map(torch.equal, frozen_ones, before))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_defaults_learn(name: str, tmp_path: Path) -> None:
    [record] = bench.run(
        datasets="fashion-mnist-mini",
        models="cnn",
        optimizers=name,
        epochs=3,
        threads=1,
        device="cpu",
        results=tmp_path,
    ).records
    assert record.status == "ok"
    assert record.metrics["val"]["accuracy"] > 0.5


# Fused kernels

FUSED = ["sgd", "sgd-vanilla", "momentum", "nesterov", "adam", "adamw"]


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
