"""Metrics, against scikit-learn and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
)

from bench import metrics
from bench.metrics import best_threshold, compute, hits
from bench.specs import Task

NAMES = ("ant", "bee", "cat", "dog")
cells = st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=30)


def sets(count: int = 200, classes: int = 4, seed: int = 0) -> tuple[Any, Any, Any]:
    """Return labels (N, C), what is said, and probabilities that lean towards the labels."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, classes)) < 0.3).astype(np.uint8)
    noise = generator.random((count, classes))
    probabilities = (0.4 * labels + 0.6 * noise).astype(np.float16)
    return labels, (probabilities >= 0.5).astype(np.uint8), probabilities


def of_sets(labels: Any, said: Any, probabilities: Any) -> dict[str, Any]:
    return compute(Task.MULTI_LABEL, labels, said, probabilities, NAMES[: labels.shape[1]])


def softened(count: int, classes: int, seed: int = 0) -> tuple[Any, Any]:
    """Return labels (N,) and probabilities (N, C) float16 of single-label predictions."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(count, classes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return generator.integers(0, classes, count), shares.astype(np.float16)


# Several labels an image


def test_labels_are_scored_one_by_one_as_scikit_learn_does() -> None:
    labels, said, probabilities = sets()
    found = of_sets(labels, said, probabilities)["per_class"]
    expected = precision_recall_fscore_support(labels, said, zero_division=0)
    assert [*found] == [*NAMES]
    for column, name in enumerate(NAMES):
        values = tuple(found[name][key] for key in ("precision", "recall", "f1", "n"))
        assert values == pytest.approx([numbers[column] for numbers in expected])
        exact = average_precision_score(labels[:, column], probabilities[:, column])
        assert found[name]["average_precision"] == pytest.approx(exact, abs=1e-12)


def test_all_labels_together_are_scored_as_scikit_learn_does() -> None:
    labels, said, probabilities = sets()
    found = of_sets(labels, said, probabilities)
    assert found["f1_macro"] == pytest.approx(f1_score(labels, said, average="macro"))
    assert found["f1_micro"] == pytest.approx(f1_score(labels, said, average="micro"))
    assert found["f1_macro"] != pytest.approx(found["f1_micro"], abs=1e-6)
    mean = average_precision_score(labels, probabilities, average="macro")
    assert found["mean_average_precision"] == pytest.approx(mean, abs=1e-12)
    assert found["accuracy"] == accuracy_score(labels, said)  # of whole sets
    each = [log_loss(labels[:, k], probabilities[:, k].astype(float)) for k in range(4)]
    assert found["log_loss"] == pytest.approx(np.mean(each), rel=1e-6)
    assert found["n"] == 200


@given(cells, st.integers(0, 1000))
@settings(deadline=None)
def test_counts_of_any_labels_equal_those_of_scikit_learn(
    values: list[list[int]], seed: int
) -> None:
    labels = np.array(values, np.uint8)
    said = np.random.default_rng(seed).integers(0, 2, labels.shape).astype(np.uint8)
    found = of_sets(labels, said, said.astype(np.float16))
    expected = precision_recall_fscore_support(labels, said, zero_division=0)
    for column, name in enumerate(NAMES[:3]):
        own = found["per_class"][name]
        values_of = tuple(own[key] for key in ("precision", "recall", "f1", "n"))
        assert values_of == pytest.approx([numbers[column] for numbers in expected])
    micro = f1_score(labels, said, average="micro", zero_division=0)
    assert found["f1_micro"] == pytest.approx(micro)


def test_a_label_that_no_item_has_counts_in_no_mean_of_average_precisions() -> None:
    labels, said, probabilities = sets()
    labels[:, 2] = 0
    found = of_sets(labels, said, probabilities)
    assert math.isnan(found["per_class"]["cat"]["average_precision"])
    others = [found["per_class"][name]["average_precision"] for name in ("ant", "bee", "dog")]
    assert found["mean_average_precision"] == pytest.approx(np.mean(others))


def test_labels_that_are_not_there_at_all_give_no_mean_average_precision() -> None:
    labels = np.zeros((5, 2), np.uint8)
    found = of_sets(labels, labels, np.full((5, 2), 0.1, np.float16))
    assert math.isnan(found["mean_average_precision"])
    assert found["accuracy"] == 1


def test_a_label_held_certain_and_absent_costs_much_but_not_everything() -> None:
    labels = np.array([[0, 1]], np.uint8)
    found = of_sets(labels, 1 - labels, np.array([[1, 0]], np.float16))
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(np.float16).tiny))


# Average precision under weights


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1),
)
@settings(deadline=None)
def test_average_precision_equals_that_of_scikit_learn_ties_and_weights_included(
    items: list[tuple[bool, int, int]],
) -> None:
    truth, scores, weight = (np.array(column) for column in zip(*items, strict=True))
    weights = np.stack([np.ones(len(items)), weight])
    found = metrics.average_precision(truth.astype(np.uint8), scores / 4, weights)
    assert found.shape == (2,)
    for value, row in zip(found, weights, strict=True):
        if (truth * row).sum() == 0:
            assert math.isnan(value)
        else:
            expected = average_precision_score(truth, scores / 4, sample_weight=row)
            assert value == pytest.approx(expected, abs=1e-12)


# One label an image


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTI_CLASS])
def test_single_labels_are_scored_as_scikit_learn_does(task: Task) -> None:
    classes = 2 if task is Task.BINARY else 4
    labels, probabilities = softened(300, classes)
    predicted = probabilities.argmax(1)
    found = compute(task, labels, predicted, probabilities, NAMES[:classes])
    assert found["accuracy"] == accuracy_score(labels, predicted)
    shares = probabilities.astype(float)
    expected = log_loss(labels, shares / shares.sum(1, keepdims=True))
    assert found["log_loss"] == pytest.approx(expected, rel=1e-3)
    assert found["n"] == 300
    assert ("precision" in found) is (task is Task.BINARY)


def test_the_second_of_two_classes_is_the_positive_one() -> None:
    labels, probabilities = softened(300, 2)
    labels[:200] = 0  # uneven, so that the roles of the classes matter
    predicted = probabilities.argmax(1)
    found = compute(Task.BINARY, labels, predicted, probabilities, NAMES[:2])
    assert found["precision"] == pytest.approx(precision_score(labels, predicted))
    assert found["recall"] == pytest.approx(recall_score(labels, predicted))
    assert found["f1"] == pytest.approx(f1_score(labels, predicted))
    flipped = precision_score(labels, predicted, pos_label=0)
    assert found["precision"] != pytest.approx(flipped, abs=1e-3)


def test_a_class_that_is_never_said_has_precision_0() -> None:
    labels, probabilities = np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]], np.float16)
    found = compute(Task.BINARY, labels, np.array([0, 0]), probabilities, NAMES[:2])
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)


# Trees

TREE = (("insect", "ant"), ("insect", "bee"), ("mammal", "pet", "cat"), ("mammal", "pet", "dog"))


def test_each_level_of_a_tree_is_scored_by_the_sums_below_its_nodes() -> None:
    probabilities = np.array(
        [
            [0.30, 0.30, 0.40, 0.00],  # an ant; cat is likeliest, but insects together are more
            [0.00, 0.10, 0.40, 0.50],  # a cat, taken for a dog
            [0.60, 0.30, 0.10, 0.00],  # an ant
        ],
        np.float16,
    )
    labels = np.array([0, 2, 0])
    predicted = probabilities.argmax(1)
    found = compute(Task.HIERARCHICAL, labels, predicted, probabilities, NAMES, TREE)
    assert found["accuracy_level_1"] == 1
    # `pet` is one node there, an ant or a bee stands for itself: the first says pet.
    assert found["accuracy_level_2"] == pytest.approx(2 / 3)
    assert found["accuracy_level_3"] == found["accuracy"] == pytest.approx(1 / 3)
    assert "accuracy_level_4" not in found


def test_a_flat_tree_has_one_level_which_is_the_accuracy() -> None:
    labels, probabilities = softened(100, 4)
    flat = tuple((name,) for name in NAMES)
    predicted = probabilities.argmax(1)
    found = compute(Task.HIERARCHICAL, labels, predicted, probabilities, NAMES, flat)
    assert found["accuracy_level_1"] == found["accuracy"]
    assert "accuracy_level_2" not in found


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_the_deepest_level_is_the_accuracy_of_the_leaves(seed: int) -> None:
    labels, probabilities = softened(40, 4, seed)
    # Kept apart: equal probabilities are a tie, which each level may break in its own way.
    if len(np.unique(probabilities)) != probabilities.size:
        return
    predicted = probabilities.argmax(1)
    found = compute(Task.HIERARCHICAL, labels, predicted, probabilities, NAMES, TREE)
    assert found["accuracy_level_3"] == found["accuracy"]


# Which items are right, and from which probability on


def test_an_item_is_right_where_all_that_was_said_of_it_is() -> None:
    assert hits(np.array([0, 1, 2]), np.array([0, 2, 2])).tolist() == [True, False, True]
    labels = np.array([[0, 1], [1, 1], [0, 0]])
    assert hits(labels, np.array([[0, 1], [1, 0], [0, 0]])).tolist() == [True, False, True]
    assert hits(labels[:1], labels[:1]).tolist() == [True]


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.5, 0.8])
def test_the_best_threshold_is_where_macro_f1_is_highest(threshold: float) -> None:
    labels, _, _ = sets()
    generator = np.random.default_rng(1)
    below = generator.uniform(0, threshold - 0.05, labels.shape)
    above = generator.uniform(threshold + 0.001, 1, labels.shape)
    probabilities = np.where(labels, above, below)
    found = best_threshold(labels, probabilities)
    assert f1_score(labels, probabilities >= found, average="macro") == 1
    candidates = np.round(np.arange(0.05, 0.951, 0.05), 2)
    best = [t for t in candidates if f1_score(labels, probabilities >= t, average="macro") == 1]
    assert found == min(best, key=lambda t: abs(t - 0.5))


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_no_other_threshold_gives_a_higher_macro_f1(seed: int) -> None:
    labels, _, probabilities = sets(40, 3, seed)
    found = best_threshold(labels, probabilities)
    scores = {
        t: f1_score(labels, probabilities >= t, average="macro", zero_division=0)
        for t in np.round(np.arange(0.05, 0.951, 0.05), 2)
    }
    assert scores[found] == pytest.approx(max(scores.values()))


def test_the_score_is_the_metric_that_ranks() -> None:
    assert metrics.score({"accuracy": 0.4, "log_loss": 9.0}) == 0.4
    assert metrics.score({"accuracy": 0.4, "mean_average_precision": 0.7}) == 0.7
    assert metrics.score({}) == 0


def test_a_score_without_any_label_is_the_lowest() -> None:
    assert metrics.score({"mean_average_precision": float("nan"), "accuracy": 1.0}) == 0.0
    assert metrics.score({}) == 0.0
