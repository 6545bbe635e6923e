from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from samples import make_batches
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor, nn

from bench.engine import evaluation
from bench.engine.evaluation import Predictions, Question, predict
from bench.engine.pipeline import Batches
from bench.engine.placement import Resident
from bench.specs import Task

QUESTION = Question(Task.MULTI_CLASS, ("a", "b", "c"))


def batches(count: int, size: int = 4, ids: Any = None) -> Batches:
    generator = np.random.default_rng(0)
    total = count if ids is None else max(ids) + 1
    images = generator.integers(0, 256, (total, 4, 4, 1), np.uint8)
    labels = np.arange(total, dtype=np.int64) % 3
    return make_batches(images, labels, size, ids)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def random_predictions(count: int = 500, classes: int = 5) -> Predictions:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(count, classes)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions(
        question=Question(Task.MULTI_CLASS, tuple("abcde")),
        ids=np.arange(count),
        labels=generator.integers(0, classes, count),
        predicted=logits.argmax(1),
        probabilities=probabilities.astype(np.float32),
    )


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_every_item_is_predicted_once_and_in_order(count: int) -> None:
    data, model = batches(count), network()
    found = predict(model, data, QUESTION, "cpu", "float32")
    with torch.no_grad():
        logits = model.eval()(data.gather(torch.arange(count)))
    assert found.ids.tolist() == list(range(count))
    assert np.array_equal(found.labels, np.arange(count) % 3)
    assert np.array_equal(found.predicted, logits.argmax(1).numpy())
    assert np.allclose(found.probabilities, logits.softmax(1).numpy(), atol=1e-6)
    assert (found.predicted.dtype, found.probabilities.dtype) == (np.int64, np.float32)


def test_ids_are_places_in_the_stored_split() -> None:
    found = predict(network(), batches(3, ids=[7, 2, 5]), QUESTION, "cpu", "float32")
    assert found.ids.tolist() == [7, 2, 5]
    assert found.labels.tolist() == [1, 2, 2]


def test_a_prediction_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = batches(50), network()
    whole = predict(model, data, QUESTION, "cpu", "float32")
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", 7)
    parts = predict(model, data, QUESTION, "cpu", "float32")
    assert np.allclose(whole.probabilities, parts.probabilities, atol=1e-6)


def test_evaluation_changes_neither_weights_nor_statistics() -> None:
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predict(model, batches(50), QUESTION, "cpu", "float32")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not model.training


def test_logits_are_judged_in_float32() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return network()(x).bfloat16()

    found = predict(Half().eval(), batches(9), QUESTION, "cpu", "float32")
    assert found.probabilities.dtype == np.float32


@pytest.mark.parametrize(("size", "expected"), [(4, 256), (64, 256), (128, 192), (8192, 1)])
def test_large_images_are_evaluated_in_smaller_batches(size: int, expected: int) -> None:
    images = Resident(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), "memory")
    data = dataclasses.replace(batches(1), images=images, size=size)
    assert evaluation.batch_size(data) == expected


# Metrics


def test_metrics_equal_those_of_scikit_learn() -> None:
    predictions = random_predictions()
    found = predictions.metrics()
    assert found["accuracy"] == accuracy_score(predictions.labels, predictions.predicted)
    probabilities = predictions.probabilities.astype(np.float64)
    expected = log_loss(predictions.labels, probabilities / probabilities.sum(1, keepdims=True))
    assert found["log_loss"] == pytest.approx(expected, rel=1e-3)
    assert found["n"] == 500


def test_metrics_can_be_made_again_from_what_is_stored() -> None:
    predictions = random_predictions()
    arrays = predictions.arrays("test")
    assert {*arrays} == {f"test_{x}" for x in ("ids", "labels", "predicted", "probabilities")}
    assert arrays["test_probabilities"].dtype == np.float16
    again = Predictions(
        predictions.question,
        arrays["test_ids"],
        arrays["test_labels"],
        arrays["test_predicted"].astype(np.int64),
        arrays["test_probabilities"].astype(np.float32),
    )
    assert again.metrics() == predictions.metrics()


def test_a_class_held_impossible_costs_much_but_not_everything() -> None:
    certain = Predictions(
        question=Question(Task.MULTI_CLASS, ("a", "b")),
        ids=np.arange(2),
        labels=np.array([0, 1]),
        predicted=np.array([0, 0]),
        probabilities=np.array([[1, 0], [1, 0]], np.float32),
    )
    found = certain.metrics()
    assert found["accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(np.float16).tiny) / 2)


def test_metrics_are_plain_numbers() -> None:
    assert {type(value) for value in random_predictions().metrics().values()} == {float, int}


# Several labels an image

TAGS = Question(Task.MULTI_LABEL, ("a", "b", "c"))


def tagged(count: int) -> Batches:
    labels = np.random.default_rng(1).integers(0, 2, (count, 3))
    return dataclasses.replace(batches(count), labels=torch.from_numpy(labels).float())


def test_each_label_has_a_probability_of_its_own() -> None:
    data, model = tagged(300), network()
    found = predict(model, data, TAGS, "cpu", "float32")
    with torch.no_grad():
        logits = model.eval()(data.gather(torch.arange(300)))
    assert np.allclose(found.probabilities, logits.sigmoid().numpy(), atol=1e-6)
    assert np.array_equal(found.predicted, (logits > 0).numpy())
    assert np.array_equal(found.labels, data.labels.numpy())
    assert (found.labels.dtype, found.predicted.dtype) == (np.uint8, np.uint8)
    arrays = found.arrays("test")
    assert arrays["test_predicted"].dtype == np.uint8
    assert arrays["test_probabilities"].shape == (300, 3)


def test_another_threshold_changes_what_is_said_and_no_probability() -> None:
    found = predict(network(), tagged(100), TAGS, "cpu", "float32")
    lower = found.at(0.3)
    assert np.array_equal(lower.predicted, found.stored_probabilities >= np.float16(0.3))
    assert lower.predicted.sum() > found.predicted.sum()
    assert np.array_equal(lower.probabilities, found.probabilities)
    average = found.metrics()["mean_average_precision"]
    assert lower.metrics()["mean_average_precision"] == average
    assert lower.metrics()["f1_macro"] != found.metrics()["f1_macro"]


def test_a_threshold_is_as_given_or_the_best_on_val() -> None:
    found = predict(network(), tagged(100), TAGS, "cpu", "float32")
    assert evaluation.decide(found, 0.3) == 0.3
    best = evaluation.decide(found, "val")
    scores = {
        t: found.at(t).metrics()["f1_macro"] for t in np.round(np.arange(0.05, 0.951, 0.05), 2)
    }
    assert found.at(best).metrics()["f1_macro"] == max(scores.values())


def test_an_item_is_right_where_all_that_is_said_of_it_is() -> None:
    logits = torch.tensor([[2.0, -1.0, 3.0], [2.0, 1.0, -3.0]])
    sets = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert TAGS.hits(logits, sets).tolist() == [True, False]
    assert QUESTION.hits(logits, torch.tensor([2, 1])).tolist() == [True, False]
