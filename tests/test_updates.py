"""Penalties, clipping and micro-batches, beside a loop that writes them out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from trainers import BATCH, EPOCHS, SEED, adamw, batches, job, momentum, network, run, sgd

from bench.engine.pipeline import epoch_order
from bench.engine.updates import Gradients, micro_batches
from bench.protocol import Protocol

FACTORS = {"constant": [1.0] * 9, "falling": [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]}


def written_out(
    build: Any, protocol: dict[str, Any], data: Any, schedule: str = "constant"
) -> tuple[nn.Module, list[float]]:
    """Train with the penalties in the loss, as a textbook has them; return mean losses too."""
    told = Protocol(**protocol)
    model = network()
    optimizer = build(model)
    images = data.gather(torch.arange(len(data)))
    factors = iter(FACTORS[schedule])
    rate = optimizer.param_groups[0]["lr"]
    means = []
    for epoch in range(1, EPOCHS + 1):
        losses = []
        for indices in epoch_order(len(data), BATCH, SEED, epoch):
            loss = functional.cross_entropy(model(images[indices]), data.labels[indices])
            losses.append(loss.item())
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    loss = loss + told.l1 * parameter.abs().sum()
                    loss = loss + told.l2 / 2 * parameter.square().sum()
            optimizer.zero_grad()
            loss.backward()
            gradients = [parameter.grad for parameter in model.parameters()]
            if told.clip_value is not None:
                gradients = [g.clamp(-told.clip_value, told.clip_value) for g in gradients]
            if told.clip_norm is not None:
                norm = torch.cat([g.flatten() for g in gradients]).norm().item()
                gradients = [g * min(1.0, told.clip_norm / norm) for g in gradients]
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient.contiguous()
            optimizer.param_groups[0]["lr"] = rate * next(factors)
            optimizer.step()
        means.append(sum(losses) / len(losses))
    return model, means


@pytest.mark.parametrize("schedule", FACTORS)
@pytest.mark.parametrize("build", [sgd, momentum, adamw])
@pytest.mark.parametrize(
    "protocol",
    [
        {},
        {"l1": 3e-3},
        {"l2": 0.05},
        {"clip_norm": 0.3},
        {"clip_value": 0.02},
        {"l1": 1e-3, "l2": 0.02, "clip_norm": 0.3, "clip_value": 0.05},
    ],
    ids=str,
)
def test_penalties_and_clipping_equal_those_written_out(
    build: Any, protocol: dict[str, Any], schedule: str
) -> None:
    data, val = batches(40), batches(12, 1)
    expected, means = written_out(build, protocol, data, schedule)
    model = network()
    result = run(job(model, build(model), FACTORS[schedule], protocol=protocol), data, val)
    assert [metrics.train_loss for metrics in result.epochs] == pytest.approx(means, abs=1e-5)
    for name, tensor in model.state_dict().items():
        # A bias in front of a normalisation has no gradient but rounding errors, which AdamW
        # brings to the size of all others.
        if name not in ("0.bias", "1.running_mean"):
            assert torch.allclose(tensor, expected.state_dict()[name], atol=1e-4), name
    if protocol:
        plain, _ = written_out(build, {}, data, schedule)
        assert not torch.allclose(plain[4].weight, expected[4].weight, atol=1e-3)


def test_biases_and_norms_are_not_penalised() -> None:
    model = network()
    gradients = Gradients.of(model, Protocol(l1=1.0, l2=1.0).model_dump())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gradients.adjust()
    touched = {name for name, p in model.named_parameters() if bool(p.grad.any())}
    assert touched == {"0.weight", "4.weight"}


def test_weights_that_the_loss_does_not_reach_are_penalised_and_frozen_ones_not() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    gradients = Gradients.of(model, Protocol(l2=0.5).model_dump())
    gradients.adjust()
    assert model[0].weight.grad is None
    assert torch.allclose(model[4].weight.grad, 0.5 * model[4].weight)


@pytest.mark.parametrize("size", [1, 5, 7, 15])
def test_micro_batches_give_the_gradients_of_the_whole_batch(size: int) -> None:
    data, val = batches(40), batches(12, 1)

    def norm_free() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

    whole, parts = norm_free(), norm_free()
    expected = run(job(whole, momentum(whole)), data, val)
    seen: list[int] = []
    parts.register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if module.training else None
    )
    found = run(job(parts, momentum(parts), protocol={"micro_batch": size}), data, val)
    assert max(seen) == -(-16 // -(-16 // size)) <= size
    assert sum(seen) == 48 * EPOCHS
    for name, tensor in parts.state_dict().items():
        assert torch.allclose(tensor, whole.state_dict()[name], atol=1e-5), name
    for one, other in zip(found.epochs, expected.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-5)
        assert one.train_accuracy == pytest.approx(other.train_accuracy, abs=0.03)
        assert (one.steps, one.lr) == (other.steps, other.lr)


@pytest.mark.parametrize("size", [None, 16, 99])
def test_a_batch_that_fits_is_left_whole(size: int | None) -> None:
    images = torch.zeros(16, 1, 2, 2)
    [(share, part, targets, labels)] = micro_batches(size, images, images, images)
    assert share == 1
    assert part is images is targets is labels


def test_shares_add_up_to_the_batch() -> None:
    images = torch.arange(10.0)[:, None]
    parts = [*micro_batches(4, images, images * 2, images * 3)]
    assert [len(part) for _, part, _, _ in parts] == [4, 3, 3]
    assert sum(share for share, *_ in parts) == pytest.approx(1)
    joined: list[Tensor] = [torch.cat([part[i] for part in parts]) for i in (1, 2, 3)]
    assert all(torch.equal(found, images * n) for n, found in enumerate(joined, 1))
