from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from samples import make_batches
from torch import Tensor, nn
from torch.nn import functional

import bench_optim
from bench.engine import evaluation, training
from bench.engine.pipeline import Batches, epoch_order
from bench.engine.training import Diverged, Training, train
from bench.records import EpochMetrics
from bench.specs import Task

EPOCHS, BATCH, SEED = 3, 16, 5
QUESTION = evaluation.Question(Task.MULTI_CLASS, ("top", "middle", "bottom"))
ONE_CYCLE = {offer.name: offer for offer in bench_optim.register_schedules()}["one-cycle"]


def batches(count: int, seed: int = 0, labels: Any = None) -> Batches:
    """Return gray images of three classes, each with its bright row, under noise."""
    generator = np.random.default_rng(seed)
    chosen = np.arange(count) % 3 if labels is None else np.asarray(labels)
    images = generator.integers(0, 120, (count, 6, 6, 1), np.uint8)
    images[np.arange(count), chosen] += 100
    return make_batches(images, chosen.astype(np.int64), 6)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=1e-2)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def two_groups(model: nn.Module) -> torch.optim.Optimizer:
    *body, head = model
    groups = [
        {"params": [p for layer in body for p in layer.parameters()], "lr": 0.01},
        {"params": head.parameters(), "lr": 0.2, "weight_decay": 0.1},
    ]
    return torch.optim.SGD(groups, momentum=0.5)


def steps_of(data: Batches) -> int:
    return EPOCHS * math.ceil(len(data) / BATCH)


def job(
    model: nn.Module, optimizer: torch.optim.Optimizer, factors: Sequence[float], **fields: Any
) -> Training:
    plain = {
        "loss": functional.cross_entropy,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "seed": SEED,
        "device": "cpu",
        "precision": "float32",
        "select": "last",
        "question": QUESTION,
    }
    return Training(model=model, optimizer=optimizer, factors=factors, **{**plain, **fields})


def ignore(metrics: EpochMetrics) -> None:
    """Report nothing."""


# The trajectory


def plain_loop(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    factors: Sequence[float],
    data: Batches,
) -> list[list[float]]:
    """Train as a torch tutorial would, and return each step's loss by epoch."""
    images = data.images.take(torch.arange(len(data))).float() / 255
    images = (images - data.mean) / data.std
    rates = [group["lr"] for group in optimizer.param_groups]
    step = 0
    losses: list[list[float]] = []
    for epoch in range(1, EPOCHS + 1):
        losses.append([])
        for indices in epoch_order(len(data), BATCH, SEED, epoch):
            model.train()
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factors[step]
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images[indices]), data.labels[indices])
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
            step += 1
    return losses


@pytest.mark.parametrize("build", [sgd, momentum, adamw, two_groups])
@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_training_equals_a_plain_loop(
    build: Callable[[nn.Module], torch.optim.Optimizer], schedule: str
) -> None:
    data, val = batches(40), batches(12, 1)
    steps = steps_of(data)
    factors = [1.0] * steps if schedule == "constant" else ONE_CYCLE.build(steps, steps // EPOCHS)
    expected_model = network()
    expected = plain_loop(expected_model, build(expected_model), factors, data)

    model = network()
    found: list[float] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        value = functional.cross_entropy(logits, labels)
        found.append(value.item())
        return value

    result = train(job(model, build(model), factors, loss=loss), data, val, ignore)
    assert found == pytest.approx([loss for epoch in expected for loss in epoch], abs=1e-5)
    means = [sum(epoch) / len(epoch) for epoch in expected]
    assert [metrics.train_loss for metrics in result.epochs] == pytest.approx(means, abs=1e-5)
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, expected_model.state_dict()[name], atol=1e-5), name
    assert expected[0][0] != pytest.approx(expected[-1][-1], abs=1e-2)


def test_a_seed_repeats_and_another_one_does_not() -> None:
    data, val = batches(40), batches(12, 1)

    def final_loss(seed: int) -> float:
        model = network()
        what = job(model, sgd(model), [1.0] * steps_of(data), seed=seed)
        return train(what, data, val, ignore).epochs[-1].train_loss

    assert final_loss(1) == final_loss(1)
    assert final_loss(1) != final_loss(2)


def test_the_loss_falls_and_the_classes_are_learnt() -> None:
    data, val = batches(120), batches(30, 1)
    model = network()
    result = train(job(model, momentum(model), [1.0] * steps_of(data)), data, val, ignore)
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss / 2
    assert result.epochs[-1].val_accuracy > 0.9


# What is reported


def test_epochs_are_reported_as_they_end() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    factors = np.linspace(1, 0.1, steps_of(data)).tolist()
    reported: list[EpochMetrics] = []
    result = train(job(model, sgd(model), factors), data, val, reported.append)
    assert result.epochs == reported
    assert [(m.epoch, m.epochs) for m in reported] == [(1, 3), (2, 3), (3, 3)]
    assert [m.lr for m in reported] == pytest.approx([0.1 * factors[i] for i in (2, 5, 8)])
    assert result.images == 3 * 48
    assert result.train_seconds == pytest.approx(sum(m.seconds for m in reported))
    for metrics in reported:
        assert metrics.images_per_second == pytest.approx(48 / metrics.seconds)
    assert result.evaluation_seconds > 0


def test_train_accuracy_is_that_of_the_images_seen() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    correct: list[Tensor] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        correct.append((logits.argmax(1) == labels).float())
        return functional.cross_entropy(logits, labels)

    result = train(job(model, sgd(model), [1.0] * steps_of(data), loss=loss), data, val, ignore)
    for epoch, metrics in enumerate(result.epochs):
        seen = torch.cat(correct[3 * epoch : 3 * epoch + 3])
        assert metrics.train_accuracy == pytest.approx(seen.mean().item())


def test_val_metrics_are_those_of_the_weights_after_the_epoch() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    after: list[dict[str, Any]] = []

    def report(metrics: EpochMetrics) -> None:
        after.append(evaluation.predict(model, val, QUESTION, "cpu", "float32").metrics())

    result = train(job(model, sgd(model), [1.0] * steps_of(data)), data, val, report)
    assert [m.val_accuracy for m in result.epochs] == [m["accuracy"] for m in after]
    assert [m.val_loss for m in result.epochs] == [m["log_loss"] for m in after]


def test_the_model_trains_in_training_mode_after_each_evaluation() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    modes: list[bool] = []
    model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    train(job(model, sgd(model), [1.0] * steps_of(data)), data, val, ignore)
    assert modes == [True, True, True, False] * EPOCHS


# Which epoch


def best_of(job_fields: dict[str, Any], accuracies: list[float], losses: list[float]) -> Any:
    """Train with val metrics made up; return the result, the model, and all epochs' weights."""
    data, val = batches(40), batches(12, 1)
    model = network()
    weights: list[dict[str, Tensor]] = []
    made_up = iter(zip(accuracies, losses, strict=True))

    def metrics(predictions: Any) -> dict[str, float | int]:
        weights.append(copy.deepcopy(model.state_dict()))
        accuracy, loss = next(made_up)
        return {"accuracy": accuracy, "log_loss": loss, "n": 12}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation.Predictions, "metrics", metrics)
        what = job(model, sgd(model), [1.0] * steps_of(data), **job_fields)
        result = train(what, data, val, ignore)
    return result, model, weights, val


@pytest.mark.parametrize(
    ("select", "accuracies", "losses", "epoch"),
    [
        ("best", [0.9, 0.5, 0.6], [1, 1, 1], 1),
        ("best", [0.5, 0.9, 0.6], [1, 1, 1], 2),
        ("best", [0.5, 0.6, 0.9], [1, 1, 1], 3),
        ("best", [0.9, 0.9, 0.5], [1.0, 0.5, 1.0], 2),
        ("best", [0.9, 0.9, 0.9], [0.5, 0.5, 0.5], 1),
        ("best", [0.0, 0.0, 0.0], [3, 2, 4], 2),
        ("last", [0.9, 0.5, 0.6], [1, 1, 1], 3),
    ],
)
def test_the_model_ends_with_the_weights_of_the_selected_epoch(
    select: str, accuracies: list[float], losses: list[float], epoch: int
) -> None:
    result, model, weights, val = best_of({"select": select}, accuracies, losses)
    assert result.best_epoch == epoch
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[epoch - 1][name]), name
    # Each epoch left other weights, so that the comparison means something.
    for other in {0, 1, 2} - {epoch - 1}:
        assert not torch.equal(weights[other]["4.weight"], weights[epoch - 1]["4.weight"])
    predictions = evaluation.predict(model, val, QUESTION, "cpu", "float32")
    assert np.array_equal(result.val.probabilities, predictions.probabilities)
    assert len(result.epochs) == EPOCHS


def test_a_multi_label_task_is_selected_by_its_own_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    data, val = batches(40), batches(12, 1)
    question = evaluation.Question(Task.MULTI_LABEL, ("top", "middle", "bottom"))
    tags = [dataclasses.replace(each, labels=torch.eye(3)[each.labels]) for each in (data, val)]
    found: list[dict[str, Any]] = []
    computed = evaluation.Predictions.metrics

    def metrics(predictions: evaluation.Predictions) -> dict[str, Any]:
        # Accuracy is made to say that the first epoch is the best, whatever it is.
        found.append({**computed(predictions), "accuracy": 1.0 / (1 + len(found))})
        return found[-1]

    monkeypatch.setattr(evaluation.Predictions, "metrics", metrics)
    model = network()
    loss = functional.binary_cross_entropy_with_logits
    what = job(model, sgd(model), [1.0] * 99, loss=loss, question=question, select="best")
    result = train(what, *tags, ignore)
    scores = [(m["mean_average_precision"], -m["log_loss"]) for m in found]
    assert result.best_epoch == scores.index(max(scores)) + 1 > 1
    assert result.val is not None
    assert result.val.labels.shape == (12, 3)


def test_a_set_of_labels_counts_as_right_where_all_of_it_is() -> None:
    data, val = batches(40), batches(12, 1)
    question = evaluation.Question(Task.MULTI_LABEL, ("top", "middle", "bottom"))
    tags = [dataclasses.replace(each, labels=torch.eye(3)[each.labels]) for each in (data, val)]
    right: list[Tensor] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        right.append(((logits > 0) == (labels > 0)).all(1).float())
        return functional.binary_cross_entropy_with_logits(logits, labels)

    model = network()
    what = job(model, sgd(model), [1.0] * 99, loss=loss, question=question)
    result = train(what, *tags, ignore)
    for epoch, metrics in enumerate(result.epochs):
        seen = torch.cat(right[3 * epoch : 3 * epoch + 3])
        assert metrics.train_accuracy == pytest.approx(seen.mean().item())
    assert result.epochs[-1].train_accuracy > 0


# The last batch


class Batchwise(nn.Module):
    """A network that notes the sizes of its training batches and refuses a single image."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(36)
        self.head = nn.Linear(36, 3)
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.sizes.append(len(x))
        return self.head(self.norm(x.flatten(1)))


@pytest.mark.parametrize(
    ("count", "batch", "sizes"), [(33, 16, [16, 16, 16]), (9, 16, [9]), (32, 16, [16, 16])]
)
def test_the_last_batch_is_as_large_as_the_others(count: int, batch: int, sizes: list[int]) -> None:
    model = Batchwise()
    what = job(model, sgd(model), [1.0] * 99, epochs=1, batch_size=batch)
    result = train(what, batches(count), batches(12, 1), ignore)
    assert model.sizes == sizes
    assert result.images == sum(sizes)


def test_evaluation_drops_nothing_and_takes_a_single_image() -> None:
    model = Batchwise().eval()
    predictions = evaluation.predict(model, batches(1), QUESTION, "cpu", "float32")
    assert len(predictions.labels) == 1


# What goes wrong


def last_batch_of_epoch(data: Batches, epoch: int, value: float) -> Callable[..., Tensor]:
    """Return a loss that is not finite in the last batch of one epoch only."""
    steps = math.ceil(len(data) / BATCH)
    calls = iter(range(1, 1000))

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        broken = next(calls) == epoch * steps
        return functional.cross_entropy(logits, labels) * (value if broken else 1.0)

    return loss


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_loss_that_is_not_finite_in_the_last_batch_only_is_noticed(
    value: float, epoch: int
) -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    loss = last_batch_of_epoch(data, epoch, value)
    what = job(model, sgd(model), [1.0] * steps_of(data), loss=loss)
    reported: list[EpochMetrics] = []
    with pytest.raises(Diverged, match=rf"the training loss is -?(nan|inf) in epoch {epoch}"):
        train(what, data, val, reported.append)
    assert len(reported) == epoch - 1


def test_a_learning_rate_far_too_high_diverges() -> None:
    data, val = batches(40), batches(12, 1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Linear(36, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e6)
    with pytest.raises(Diverged):
        train(job(model, optimizer, [1.0] * 99, epochs=9), data, val, ignore)


def test_predictions_that_are_not_finite_are_noticed() -> None:
    class BrokenAtEvaluation(Batchwise):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return logits if self.training else logits * math.nan

    model = BrokenAtEvaluation()
    with pytest.raises(Diverged, match="predictions on val are not finite after epoch 1"):
        train(job(model, sgd(model), [1.0] * 99), batches(40), batches(12, 1), ignore)


# What a trainer can reach


def test_no_argument_of_training_is_a_test_split() -> None:
    parameters = inspect.signature(train).parameters
    assert [*parameters] == ["job", "train_data", "val_data", "report"]
    fields = {field.name for field in dataclasses.fields(Training)}
    assert not [name for name in fields | {*parameters} if "test" in name]
    assert not [
        field for field in dataclasses.fields(Training) if field.type in ("Batches", Batches)
    ]
    assert "test" not in {name.lower() for name in vars(training)}
