from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from trainers import BATCH, EPOCHS, QUESTION, SEED, adamw, batches, job, momentum, network, run, sgd

import bench_optim
from bench.curves import read_steps
from bench.engine import evaluation, training
from bench.engine.pipeline import Batches, epoch_order
from bench.engine.training import Diverged, Training, train
from bench.records import EpochMetrics
from bench.specs import Task

ONE_CYCLE = {offer.name: offer for offer in bench_optim.register_schedules()}["one-cycle"]


def two_groups(model: nn.Module) -> torch.optim.Optimizer:
    *body, head = model
    groups = [
        {"params": [p for layer in body for p in layer.parameters()], "lr": 0.01},
        {"params": head.parameters(), "lr": 0.2, "weight_decay": 0.1},
    ]
    return torch.optim.SGD(groups, momentum=0.5)


def steps_of(data: Batches) -> int:
    return EPOCHS * math.ceil(len(data) / BATCH)


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

    result = run(job(model, build(model), factors, loss=loss), data, val)
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
        return run(what, data, val).epochs[-1].train_loss

    assert final_loss(1) == final_loss(1)
    assert final_loss(1) != final_loss(2)


def test_the_loss_falls_and_the_classes_are_learnt() -> None:
    data, val = batches(120), batches(30, 1)
    model = network()
    result = run(job(model, momentum(model), count=120), data, val)
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss / 2
    assert result.epochs[-1].val_accuracy > 0.9


# What is reported


def test_epochs_are_reported_as_they_end() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    factors = np.linspace(1, 0.1, steps_of(data)).tolist()
    reported: list[EpochMetrics] = []
    result = run(job(model, sgd(model), factors), data, val, reported.append)
    assert result.epochs == reported
    assert [(m.epoch, m.epochs) for m in reported] == [(1, 3), (2, 3), (3, 3)]
    assert [m.lr for m in reported] == pytest.approx([0.1 * factors[i] for i in (2, 5, 8)])
    assert reported[-1].steps == 9
    spent = result.clock.parts
    assert spent["train_seconds"] == pytest.approx(sum(m.seconds for m in reported))
    for metrics in reported:
        assert metrics.images_per_second == pytest.approx(48 / metrics.seconds)
    assert spent["evaluation_seconds"] > 0


def test_train_accuracy_is_that_of_the_images_seen() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    correct: list[Tensor] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        correct.append((logits.argmax(1) == labels).float())
        return functional.cross_entropy(logits, labels)

    result = run(job(model, sgd(model), [1.0] * steps_of(data), loss=loss), data, val)
    for epoch, metrics in enumerate(result.epochs):
        seen = torch.cat(correct[3 * epoch : 3 * epoch + 3])
        assert metrics.train_accuracy == pytest.approx(seen.mean().item())


def test_val_metrics_are_those_of_the_weights_after_the_epoch() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    after: list[dict[str, Any]] = []

    def report(metrics: EpochMetrics) -> None:
        after.append(evaluation.predict(model, val, QUESTION, "cpu", "float32").metrics())

    result = run(job(model, sgd(model), [1.0] * steps_of(data)), data, val, report)
    assert [m.val_accuracy for m in result.epochs] == [m["accuracy"] for m in after]
    assert [m.val_loss for m in result.epochs] == [m["log_loss"] for m in after]


def test_the_model_trains_in_training_mode_after_each_evaluation() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    modes: list[bool] = []
    model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    run(job(model, sgd(model), [1.0] * steps_of(data)), data, val)
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
        result = run(what, data, val)
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
    result, model, weights, val = best_of({"protocol": {"select": select}}, accuracies, losses)
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
    what = job(
        model, sgd(model), [1.0] * 99, loss=loss, question=question, protocol={"select": "best"}
    )
    result = run(what, *tags)
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
    result = run(what, *tags)
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
    what = job(model, sgd(model), [1.0] * 99, count=count, protocol={"epochs": 1}, batch_size=batch)
    result = run(what, batches(count), batches(12, 1))
    assert model.sizes == sizes
    assert result.epochs[0].steps == len(sizes)


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
        run(what, data, val, reported.append)
    assert len(reported) == epoch - 1


def test_a_learning_rate_far_too_high_diverges() -> None:
    data, val = batches(40), batches(12, 1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Linear(36, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e6)
    with pytest.raises(Diverged):
        run(job(model, optimizer, [1.0] * 99, protocol={"epochs": 9}), data, val)


def test_predictions_that_are_not_finite_are_noticed() -> None:
    class BrokenAtEvaluation(Batchwise):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return logits if self.training else logits * math.nan

    model = BrokenAtEvaluation()
    with pytest.raises(Diverged, match="predictions on val are not finite after epoch 1"):
        run(job(model, sgd(model), [1.0] * 99), batches(40), batches(12, 1))


# What a trainer can reach


def test_no_argument_of_training_is_a_test_split() -> None:
    parameters = inspect.signature(train).parameters
    assert [*parameters] == [*("job", "train_data", "val_data", "report", "clock", "checkpoints")]
    fields = {field.name for field in dataclasses.fields(Training)}
    assert not [name for name in fields | {*parameters} if "test" in name]
    assert not [
        field for field in dataclasses.fields(Training) if field.type in ("Batches", Batches)
    ]
    assert "test" not in {name.lower() for name in vars(training)}


# What is recorded


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, True),
        ({"loss": "mse"}, False),
        ({"loss": "focal"}, False),
        ({"set": {"cross-entropy.label_smoothing": 0.1}}, False),
        ({"augmentation": "mixup"}, False),
        ({"augmentation": "horizontal-flip"}, True),
        ({"l2": 0.1}, True),
    ],
    ids=str,
)
def test_it_is_recorded_whether_train_and_val_loss_are_one_quantity(
    experiment: Callable[..., Any], values: dict[str, Any], expected: bool
) -> None:
    [record] = experiment(**values).records
    assert record.environment["train_loss_is_log_loss"] is expected


def test_parts_of_a_run_add_up_to_its_wall_time(experiment: Callable[..., Any]) -> None:
    [record] = experiment("cnn", datasets="digits", epochs=2).records
    timing = record.timing
    parts = {name: value for name, value in timing.items() if name.endswith("_seconds")}
    wall = parts.pop("wall_seconds")
    assert sum(parts.values()) == pytest.approx(wall, rel=0.02)
    assert {"train_seconds", "evaluation_seconds", "setup_seconds", "saving_seconds"} <= {*parts}
    assert timing["steps"] == timing["epochs"] * 36
    assert (timing["stopped_early"], timing["resumed"]) == (False, 0)


def test_a_run_that_patience_has_ended_says_so(experiment: Callable[..., Any]) -> None:
    values = {"epochs": 12, "patience": 1, "monitor": "log_loss", "set": {"adamw.lr": 0.3}}
    [record] = experiment("cnn", datasets="digits", limit=100, **values).records
    assert record.timing["stopped_early"]
    assert record.timing["epochs"] == record.timing["best_epoch"] + 1 < 12
    assert record.environment["selected_by"] == "log_loss"


def test_step_curves_are_kept_where_asked_for(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    [record] = experiment("cnn", datasets="digits", epochs=2, log_steps=10).records
    folder = tmp_path / "results" / "runs" / record.id
    points = read_steps(folder / "steps.jsonl")
    assert [point.step for point in points] == [10, 20, 30, 40, 50, 60, 70]
    assert [point.epoch for point in points] == [1, 1, 1, 2, 2, 2, 2]
    seconds = [point.seconds for point in points]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= record.timing["train_seconds"]
    [plain] = experiment("cnn", datasets="digits", epochs=2).records
    folder = tmp_path / "results" / "runs" / plain.id
    assert not (folder / "steps.jsonl").exists()
    # Looking more often changes nothing of what is trained.
    assert plain.metrics == record.metrics


def test_it_is_recorded_what_has_selected(experiment: Callable[..., Any]) -> None:
    for values, expected in (({}, "accuracy"), ({"select": "last"}, None)):
        [record] = experiment(**values).records
        assert record.environment["selected_by"] == expected
