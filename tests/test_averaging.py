from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from trainers import QUESTION, batches, job, momentum, network, run

from bench.engine import evaluation
from bench.engine.averaging import LastEpochs, LastWeights, MovingAverage, averaging_of
from bench.protocol import Protocol


def weights_by_step(protocol: dict[str, Any]) -> tuple[Any, list[dict[str, Tensor]]]:
    """Train, and return the result with the weights after each step."""
    data, val = batches(40), batches(12, 1)
    model = network()
    optimizer = momentum(model)
    after: list[dict[str, Tensor]] = []
    optimizer.register_step_post_hook(
        lambda *arguments: after.append(copy.deepcopy(model.state_dict()))
    )
    return run(job(model, optimizer, protocol=protocol), data, val), after


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_moving_average_is_the_one_of_its_formula(decay: float) -> None:
    result, after = weights_by_step({"averaging": "ema", "ema_decay": decay, "select": "last"})
    average = {name: tensor.clone() for name, tensor in after[0].items()}
    for step, weights in enumerate(after[1:], 1):
        stays = min(decay, (1 + step) / (10 + step))
        for name, tensor in weights.items():
            if tensor.is_floating_point():
                average[name] = stays * average[name] + (1 - stays) * tensor
            else:
                average[name] = tensor
    found = result.job.model.state_dict()
    for name, tensor in average.items():
        assert torch.allclose(found[name].double(), tensor.double(), atol=1e-5), name
    assert not torch.allclose(found["4.weight"], after[-1]["4.weight"], atol=1e-4)


def test_swa_is_the_mean_over_the_last_epochs_with_statistics_of_its_own() -> None:
    result, after = weights_by_step({"averaging": "swa", "swa_start": 0.5, "select": "last"})
    ends = [after[5], after[8]]  # of epochs 2 and 3, of three steps each
    found = result.job.model.state_dict()
    for name in ("0.weight", "1.bias", "4.weight"):
        assert torch.allclose(found[name], (ends[0][name] + ends[1][name]) / 2, atol=1e-6), name
    # The running statistics are those of the averaged network over all training images.
    data = batches(40)
    first = result.job.model[0](data.gather(torch.arange(40)))
    assert found["1.running_mean"] == pytest.approx(first.mean((0, 2, 3)).detach(), abs=0.05)
    assert not torch.allclose(found["1.running_mean"], ends[1]["1.running_mean"], atol=1e-3)


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_what_is_reported_and_selected_are_the_averaged_weights(averaging: str) -> None:
    protocol = {"averaging": averaging, "select": "best", "epochs": 4, "swa_start": 0.0}
    result, _ = weights_by_step(protocol)
    val = batches(12, 1)
    again = evaluation.predict(result.job.model, val, QUESTION, "cpu", "float32")
    assert again.probabilities == pytest.approx(result.val.probabilities, abs=1e-6)
    chosen = result.epochs[result.best_epoch - 1]
    assert chosen.val_accuracy == again.metrics()["accuracy"]


def test_training_itself_does_not_depend_on_averaging() -> None:
    plain, after = weights_by_step({})
    averaged, also = weights_by_step({"averaging": "ema"})
    assert all(torch.equal(a["4.weight"], b["4.weight"]) for a, b in zip(after, also, strict=True))
    losses = [[m.train_loss for m in each.epochs] for each in (plain, averaged)]
    assert losses[0] == losses[1]


def test_swa_waits_for_its_epoch_and_always_averages_the_last() -> None:
    model = nn.Linear(2, 2)
    told = Protocol(averaging="swa", swa_start=0.99, epochs=1).model_dump()
    swa = averaging_of(model, told)
    assert isinstance(swa, LastEpochs)
    assert swa.evaluated is model
    swa.after_epoch(1, [])
    assert swa.evaluated is not model
    later = averaging_of(model, {**told, "epochs": 4, "swa_start": 0.5})
    for epoch, started in ((1, False), (2, False), (3, True), (4, True)):
        later.after_epoch(epoch, [])
        assert (later.evaluated is not model) == started


def test_what_is_not_asked_for_costs_nothing() -> None:
    model = nn.Linear(2, 2)
    none = averaging_of(model, Protocol().model_dump())
    assert isinstance(none, LastWeights)
    assert none.evaluated is model
    assert isinstance(averaging_of(model, Protocol(averaging="ema").model_dump()), MovingAverage)
