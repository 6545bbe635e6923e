from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from trainers import QUESTION, adamw, batches, job, network, run

from bench import metrics
from bench.engine.evaluation import Predictions
from bench.engine.stopping import Selection
from bench.errors import ConfigError
from bench.specs import Task

VAL = Predictions(QUESTION, np.arange(2), np.zeros(2), np.zeros(2), np.zeros((2, 3), np.float32))


def follow(selection: Selection, values: list[dict[str, float]]) -> int:
    """Show val metrics epoch by epoch until patience runs out; return the last epoch."""
    network = nn.Linear(1, 1)
    for epoch, found in enumerate(values, 1):
        selection.consider(epoch, VAL, {"log_loss": 1.0, "accuracy": 0.0, **found}, network)
        if selection.exhausted:
            return epoch
    return len(values)


@pytest.mark.parametrize(
    ("accuracies", "patience", "delta", "last", "best"),
    [
        ([0.5, 0.6, 0.6, 0.6, 0.9], 2, 0.0, 4, 2),
        ([0.5, 0.6, 0.5, 0.7, 0.6, 0.6], 2, 0.0, 6, 4),
        ([0.9, 0.8, 0.7], 1, 0.0, 2, 1),
        ([0.1, 0.2, 0.3], 1, 0.0, 3, 3),
        # What gains too little does not begin patience anew, but is the best epoch all the same.
        ([0.50, 0.54, 0.58, 0.63, 0.64], 2, 0.1, 3, 3),
        ([0.50, 0.56, 0.61, 0.66, 0.72], 2, 0.1, 5, 5),
        ([0.5, 0.4, 0.3, 0.2], None, 0.0, 4, 1),
    ],
)
def test_patience_counts_epochs_without_a_better_one(
    accuracies: list[float], patience: int | None, delta: float, last: int, best: int
) -> None:
    selection = Selection(patience=patience, min_delta=delta)
    assert follow(selection, [{"accuracy": a} for a in accuracies]) == last
    assert selection.epoch == best


def test_any_metric_may_decide_and_of_losses_the_lowest() -> None:
    losses = [{"log_loss": loss, "accuracy": 1 - loss / 9} for loss in (0.9, 0.5, 0.6, 0.7)]
    selection = Selection(monitor="log_loss", patience=2)
    assert (follow(selection, losses), selection.epoch) == (4, 2)
    scores = [{"f1": f1, "accuracy": a} for f1, a in ((0.2, 0.9), (0.4, 0.8), (0.3, 0.95))]
    selection = Selection(monitor="f1")
    follow(selection, scores)
    assert selection.epoch == 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 5))
def test_the_best_epoch_is_the_best_up_to_where_patience_ends(
    accuracies: list[float], patience: int
) -> None:
    selection = Selection(patience=patience)
    last = follow(selection, [{"accuracy": a} for a in accuracies])
    assert accuracies[selection.epoch - 1] == max(accuracies[:last])
    # Patience ran out exactly where so many epochs in a row had brought no better one.
    records = [e for e in range(last) if accuracies[e] > max(accuracies[:e], default=-1.0)]
    assert last == len(accuracies) or last - 1 - records[-1] == patience


def test_a_run_that_has_stopped_early_ends_with_its_best_weights() -> None:
    data, val = batches(40), batches(12, 1)
    model = network()
    protocol = {"epochs": 30, "patience": 2, "select": "best"}
    result = run(job(model, adamw(model), [1.0] * 99, protocol=protocol), data, val)
    assert result.best_epoch <= len(result.epochs) - 2 < 28
    model.eval()
    right = model(val.gather(torch.arange(len(val)))).argmax(1) == val.labels
    assert right.float().mean().item() == result.epochs[result.best_epoch - 1].val_accuracy


@pytest.mark.parametrize("task", Task)
def test_every_metric_that_may_select_is_computed_and_can_be_scored(task: Task) -> None:
    names = tuple("abc") if task is not Task.BINARY else tuple("ab")
    count, classes = 12, len(names)
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(classes), count).astype(np.float32)
    labels: Any = np.arange(count) % classes
    predicted: Any = probabilities.argmax(1)
    if task is Task.MULTI_LABEL:
        labels, predicted = np.eye(classes)[labels], (probabilities > 0.5).astype(np.uint8)
    taxonomy = [("x", name) for name in names] if task is Task.HIERARCHICAL else ()
    found = metrics.compute(task, labels, predicted, probabilities, names, taxonomy)
    for name in metrics.SELECTABLE[task]:
        assert metrics.can_select(name, task)
        score = metrics.score(found, name)
        assert abs(score) == pytest.approx(found[name])
        assert (score < 0) == (name in metrics.LOWER_IS_BETTER)
    assert not metrics.can_select("n", task)
    assert not metrics.can_select("per_class", task)


def test_a_metric_that_val_lacks_is_refused_and_not_taken_for_zero() -> None:
    selection = Selection(monitor="acuracy")
    told = r"`acuracy` .did you mean `accuracy`.*val has `log_loss`"
    with pytest.raises(ConfigError, match=told):
        follow(selection, [{"accuracy": 0.5}])
    assert selection.epoch == 0


@pytest.mark.parametrize("value", [None, math.nan])
def test_a_metric_that_is_no_number_is_the_worst(value: float | None) -> None:
    assert metrics.score({"log_loss": value}, "log_loss") == -math.inf
    assert metrics.score({"f1": value}, "f1") == 0.0
