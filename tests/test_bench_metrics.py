"""The built-in metrics, against scikit-learn or the definition that they are published with."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import pytest
from answers_samples import NAMES, TREE, sets, single
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

import bench_metrics
from bench import Answers, ConfigError, DataError, Metric, Task
from bench import metrics as core

METRICS = {metric.name: metric for metric in bench_metrics.register_metrics()}
seeds = st.integers(0, 10_000)
quickly = settings(deadline=None, max_examples=25)


def value(name: str, answers: Answers, **params: Any) -> float:
    metric = METRICS[name]
    return metric.value(answers, {**metric.defaults, **params})


def some(seed: int, task: Task = Task.MULTI_CLASS) -> Answers:
    """Return answers of which sizes, absent classes and ties are drawn too."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 40))
    if task is Task.MULTI_LABEL:
        share = float(generator.choice([0.0, 0.1, 0.5, 1.0]))
        return sets(count, int(generator.integers(1, 6)), seed, share)
    classes = {Task.BINARY: 2, Task.HIERARCHICAL: 4}.get(task, int(generator.integers(2, 7)))
    kept = int(generator.integers(1, classes + 1))
    return single(count, classes, seed, kept=kept, task=task, coarse=bool(seed % 2))


def taken(answers: Answers, rows: Any) -> Answers:
    """Return some of the answers, or all in another order."""
    assert answers.probabilities is not None
    return dataclasses.replace(
        answers,
        ids=answers.ids[rows],
        labels=answers.labels[rows],
        predicted=answers.predicted[rows],
        probabilities=answers.probabilities[rows],
    )


# What holds for all

cases = pytest.mark.parametrize(
    ("metric", "task"),
    [(metric, task) for metric in METRICS.values() for task in metric.tasks],
    ids=lambda value: value.name if isinstance(value, Metric) else str(value),
)


@cases
@given(seed=seeds)
@settings(deadline=None, max_examples=8)
def test_every_metric_keeps_its_bounds_whatever_the_order_and_warns_of_nothing(
    metric: Metric, task: Task, seed: int
) -> None:
    answers = some(seed, task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metric.value(answers, metric.defaults)
    low, high = metric.bounds
    assert math.isnan(found) or low - 1e-9 <= found <= high + 1e-9
    order = np.random.default_rng(seed).permutation(len(answers.ids))
    shuffled = metric.value(taken(answers, order), metric.defaults)
    assert found == pytest.approx(shuffled, abs=1e-12, nan_ok=True)


@cases
def test_perfect_answers_have_the_best_value(metric: Metric, task: Task) -> None:
    answers = (
        sets(80)
        if task is Task.MULTI_LABEL
        else single(80, 2 if task is Task.BINARY else 4, task=task)
    )
    truth = answers.labels
    shares = truth if task is Task.MULTI_LABEL else np.eye(len(answers.names))[truth]
    perfect = dataclasses.replace(answers, predicted=truth, probabilities=shares.astype(np.float32))
    best = metric.bounds[0] if metric.lower_is_better else metric.bounds[1]
    assert metric.value(perfect, metric.defaults) == pytest.approx(best, abs=1e-6)


@cases
def test_a_metric_of_items_has_a_number_for_each(metric: Metric, task: Task) -> None:
    answers = some(7, task)
    assert metric.compute is None or metric.per_item is None
    if metric.per_item is not None:
        assert metric.per_item(answers).shape == (len(answers.ids),)


# One label an item


@pytest.mark.filterwarnings("ignore:A single label:UserWarning")  # scikit-learn's own
@given(seeds)
@quickly
def test_counts_of_single_labels_are_those_of_scikit_learn(seed: int) -> None:
    answers = some(seed)
    truth, said = answers.labels, answers.predicted
    assert value("accuracy", answers) == reference.accuracy_score(truth, said)
    assert value("matthews", answers) == pytest.approx(reference.matthews_corrcoef(truth, said))
    recalls = [(said[truth == c] == c).mean() for c in np.unique(truth)]
    assert value("balanced_accuracy", answers) == pytest.approx(np.mean(recalls))
    scores = {
        "precision": reference.precision_score,
        "recall": reference.recall_score,
        "f1": reference.f1_score,
    }
    for name, score in scores.items():
        for average in ("macro", "micro", "weighted"):
            expected = score(truth, said, average=average, zero_division=0)
            assert value(f"{name}_{average}", answers) == pytest.approx(expected)


def test_classes_that_neither_occur_nor_are_said_count_in_no_average() -> None:
    answers = single(60, 3, kept=3)
    wider = dataclasses.replace(
        answers,
        classes=(*answers.classes, "yak"),
        probabilities=np.pad(answers.probabilities, ((0, 0), (0, 1))),
    )
    for name in ("f1_macro", "balanced_accuracy", "roc_auc", "average_precision", "ece"):
        assert value(name, wider) == pytest.approx(value(name, answers))


@given(seeds)
@quickly
def test_the_second_of_two_classes_is_the_positive_one(seed: int) -> None:
    answers = some(seed, Task.BINARY)
    truth, said = answers.labels, answers.predicted
    assert answers.probabilities is not None
    shares = answers.probabilities[:, 1].astype(float)
    for name, score in (
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
        ("f1", reference.f1_score),
    ):
        assert value(name, answers) == pytest.approx(score(truth, said, zero_division=0))
    assert value("brier", answers) == pytest.approx(reference.brier_score_loss(truth, shares))
    if 0 < truth.sum() < len(truth):
        assert value("roc_auc", answers) == pytest.approx(reference.roc_auc_score(truth, shares))
    if truth.any():
        expected = reference.average_precision_score(truth, shares)
        assert value("average_precision", answers) == pytest.approx(expected)


@given(seeds, st.integers(1, 8))
@quickly
def test_top_k_is_that_of_scikit_learn_ties_included(seed: int, k: int) -> None:
    answers = some(seed)
    assert answers.probabilities is not None
    classes = len(answers.names)
    found = value("top_k", answers, k=k)
    if k >= classes:
        assert found == 1
    elif classes > 2:
        shares = answers.probabilities.astype(float)
        expected = reference.top_k_accuracy_score(
            answers.labels, shares, k=k, labels=np.arange(classes)
        )
        assert found == pytest.approx(expected)
    assert value("top5", answers) == value("top_k", answers)


@given(seeds)
@quickly
def test_ranking_each_class_against_the_rest_is_scikit_learns(seed: int) -> None:
    answers = single(60, 4, seed, coarse=bool(seed % 2))
    assert answers.probabilities is not None
    shares = answers.probabilities.astype(float)
    if len({*answers.labels.tolist()}) == 4:
        expected = reference.roc_auc_score(np.eye(4)[answers.labels], shares, average="macro")
        assert value("roc_auc", answers) == pytest.approx(expected)
        expected = reference.average_precision_score(np.eye(4)[answers.labels], shares)
        assert value("average_precision", answers) == pytest.approx(expected)


def test_one_class_alone_leaves_nothing_to_rank() -> None:
    answers = single(20, 4, kept=1)
    assert math.isnan(value("roc_auc", answers))
    assert value("average_precision", answers) == pytest.approx(
        1
    )  # of the class that every item has
    assert value("matthews", answers) == 0


@given(seeds)
@quickly
def test_log_loss_and_brier_score_are_scikit_learns(seed: int) -> None:
    answers = some(seed)
    assert answers.probabilities is not None
    shares = answers.probabilities.astype(float)
    classes = np.arange(shares.shape[1])
    normal = shares / shares.sum(1, keepdims=True)
    expected = reference.log_loss(answers.labels, normal, labels=classes)
    assert value("log_loss", answers) == pytest.approx(expected, abs=2e-3)
    exact = dataclasses.replace(answers, probabilities=normal)
    assert value("log_loss", exact) == pytest.approx(expected, abs=1e-9)
    expected = ((normal - np.eye(len(classes))[answers.labels]) ** 2).sum(1).mean()
    assert value("brier", exact) == pytest.approx(expected)


@given(seeds, st.integers(1, 20))
@quickly
def test_the_calibration_error_is_that_of_its_definition(seed: int, bins: int) -> None:
    answers = some(seed)
    assert answers.probabilities is not None
    confidence = answers.probabilities.astype(float).max(1)
    expected = 0.0
    for low, high in zip(np.arange(bins) / bins, np.arange(1, bins + 1) / bins, strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(answers.right[inside].mean() - confidence[inside].mean())
            expected += inside.mean() * gap
    assert value("ece", answers, bins=bins) == pytest.approx(expected)


def test_a_network_that_is_as_right_as_it_is_sure_has_no_calibration_error() -> None:
    shares = np.tile([0.75, 0.25], (8, 1))
    answers = Answers(
        Task.MULTI_CLASS,
        NAMES[:2],
        np.arange(8),
        np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        np.zeros(8, int),
        shares,
    )
    assert value("ece", answers) == 0
    unsure = dataclasses.replace(answers, probabilities=np.tile([0.55, 0.45], (8, 1)))
    assert value("ece", unsure) == pytest.approx(0.2)


# Several labels an item


@given(seeds)
@quickly
def test_sets_of_labels_are_scored_as_scikit_learn_does(seed: int) -> None:
    answers = some(seed, Task.MULTI_LABEL)
    truth, said = answers.labels, answers.predicted
    assert answers.probabilities is not None
    assert value("accuracy", answers) == reference.accuracy_score(truth, said)
    assert value("hamming_loss", answers) == pytest.approx(reference.hamming_loss(truth, said))
    for average in ("macro", "micro", "weighted"):
        # Of a single label all averages are that label's.
        how = average if truth.shape[1] > 1 else "binary"
        arrays = (truth[:, 0], said[:, 0]) if how == "binary" else (truth, said)
        expected = reference.f1_score(*arrays, average=how, zero_division=0)
        assert value(f"f1_{average}", answers) == pytest.approx(expected)
    for name, score in (
        ("roc_auc", reference.roc_auc_score),
        ("average_precision", reference.average_precision_score),
    ):
        known = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
        if len(known) == truth.shape[1]:
            assert value(name, answers) == pytest.approx(score(truth, answers.probabilities))


# Trees


@given(seeds)
@quickly
def test_hierarchical_scores_are_those_of_the_sets_of_ancestors(seed: int) -> None:
    """Kiritchenko et al.: micro precision, recall and F1 over all nodes but the root."""
    answers = some(seed, Task.HIERARCHICAL)
    nodes = sorted({path[:depth] for path in TREE for depth in range(1, len(path) + 1)})
    above = np.array([[path[: len(node)] == node for node in nodes] for path in TREE])
    truth, said = above[answers.labels], above[answers.predicted]
    for name, score in (
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
        ("f1", reference.f1_score),
    ):
        expected = score(truth, said, average="micro")
        assert value(f"hierarchical_{name}", answers) == pytest.approx(expected)
    assert value("tree_distance", answers) == pytest.approx((truth ^ said).sum(1).mean())


def test_the_distance_in_a_tree_counts_edges() -> None:
    answers = dataclasses.replace(
        single(3, 4, task=Task.HIERARCHICAL),
        labels=np.array([0, 0, 2]),
        predicted=np.array([0, 1, 0]),
    )
    assert METRICS["tree_distance"].per_item is not None
    assert METRICS["tree_distance"].per_item(answers).tolist() == [0, 2, 5]


# One definition, wherever it is computed


@pytest.mark.parametrize("task", Task)
def test_what_runs_record_is_what_reading_computes(task: Task) -> None:
    answers = some(12, task)
    assert answers.probabilities is not None
    recorded = core.compute(
        task,
        answers.labels,
        answers.predicted,
        answers.probabilities,
        answers.names,
        answers.taxonomy,
    )
    offered = {alias: m for m in METRICS.values() for alias in (m.name, *m.aliases)}
    shared = {*recorded} & {*offered}
    assert {"accuracy", "log_loss"} <= shared
    for name in shared:
        metric = offered[name]
        found = metric.value(answers, metric.defaults)
        assert found == pytest.approx(recorded[name], abs=1e-12)
    if task is Task.HIERARCHICAL:
        for level in (1, 2, 3):
            found = value("accuracy_level", answers, level=level)
            assert found == recorded[f"accuracy_level_{level}"]


# What is lacking


def test_what_predictions_lack_is_said_in_one_line() -> None:
    answers = dataclasses.replace(single(task=Task.HIERARCHICAL), probabilities=None)
    with pytest.raises(DataError, match="its probabilities are not stored"):
        value("ece", answers)
    with pytest.raises(DataError, match="lacks the tree of its classes"):
        value("tree_distance", dataclasses.replace(answers, taxonomy=()))
    with pytest.raises(DataError, match="levels 1 to 3"):
        value("accuracy_level", answers, level=4)


@pytest.mark.parametrize(("name", "params"), [("top_k", {"k": 0}), ("ece", {"bins": 0})])
def test_impossible_params_are_an_error(name: str, params: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="give 1 or more"):
        value(name, single(), **params)
