"""What several networks said of the same items, made into one answer: arrays in, arrays out.

Whatever is chosen or fitted here sees labels of val only: those of test are in no signature.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import metrics
from bench.errors import DataError
from bench.specs import Task

Array = npt.NDArray[Any]
TINY = float(np.finfo(np.float16).tiny)
"""The smallest probability that has a logarithm here, as in `bench.metrics`."""
FOLDS = 5
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of regularisation that stacking chooses from (scikit-learn's `C`)."""
HONEST, SELECTED, OUT_OF_FOLD = "", "chosen on val", "out of fold"
"""What can be said of a val score: as of any run; too good; of a combination fitted without it."""


@dataclass(frozen=True)
class Said:
    """What M members said of the N items of a split.

    Attributes:
        predicted: (M, N) integers, or (M, N, C) of 0 and 1 in a multi-label task.
        probabilities: (M, N, C) float64.
    """

    predicted: Array
    probabilities: Array


@dataclass(frozen=True)
class Opinion:
    """What a combination says of the N items of a split.

    Attributes:
        probabilities: (N, C) float64.
        predicted: (N,) integers or (N, C) of 0 and 1; None where they follow from the
            probabilities.
    """

    probabilities: Array
    predicted: Array | None = None


@dataclass(frozen=True)
class Combined:
    """What a way of combining came to.

    Attributes:
        val: what it says of val.
        test: of test.
        weights: (M,) share of each member, summing up to 1; None where they have none.
        chosen: what else was chosen on val, as plain data.
        val_is: `HONEST`, `SELECTED` or `OUT_OF_FOLD`.
    """

    val: Opinion
    test: Opinion
    weights: Array | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    val_is: str = HONEST


Combine = Callable[..., Combined]


def soft(task: Task, labels: Array, val: Said, test: Said) -> Combined:
    """Return the mean of the members' probabilities.

    Args:
        task: what is said of an item.
        labels: of val, (N,) or (N, C).
        val: what the members said of it.
        test: likewise of test.
    """
    of_val, of_test = (Opinion(said.probabilities.mean(0)) for said in (val, test))
    return Combined(of_val, of_test, weights=_equal(val))


def hard(task: Task, labels: Array, val: Said, test: Said) -> Combined:
    """Return what most members say; where votes tie, the mean of their probabilities decides.

    In a multi-label task each label is voted on. The probabilities are shares of votes, in which
    the mean probability counts as one vote more: none is 0 for want of votes, and their order is
    that of the votes, then of the mean.
    """
    return Combined(_voted(task, val), _voted(task, test), weights=_equal(val))


def _equal(said: Said) -> Array:
    members = len(said.probabilities)
    return np.full(members, 1 / members)


def _voted(task: Task, said: Said) -> Opinion:
    members, _, classes = said.probabilities.shape
    mean = said.probabilities.mean(0)
    if task is Task.MULTI_LABEL:
        votes = said.predicted.sum(0, dtype=np.float64)
        tied = votes == members / 2
        claimed = np.where(tied, mean >= 0.5, votes > members / 2)
        return Opinion((votes + mean) / (members + 1), claimed)
    votes = np.stack([(said.predicted == c).sum(0) for c in range(classes)], 1)
    return Opinion((votes + mean) / (members + 1), first_by(votes, mean))


def first_by(votes: Array, mean: Array) -> Array:
    """Return the class of each item with most votes, of equals that with the highest mean, (N,)."""
    most = np.isclose(votes, votes.max(1, keepdims=True), rtol=1e-12, atol=0)
    return np.asarray(np.where(most, mean, -np.inf).argmax(1), np.int64)


def greedy(
    task: Task,
    labels: Array,
    val: Said,
    test: Said,
    *,
    steps: int = 30,
    select_by: str = "log_loss",
) -> Combined:
    """Return a weighted mean, its members added one by one (Caruana et al. 2004).

    Each step adds the member, one that is in already too, with which the mean is best on val;
    of equals the first. The best of the means on the way is taken, of equals the smallest.
    https://doi.org/10.1145/1015330.1015432

    Args:
        task: what is said of an item.
        labels: of val.
        val: what the members said of it.
        test: likewise of test.
        steps: members to add, at most.
        select_by: `log_loss`, or `score` for the metric that ranks.
    """
    goodness = functools.partial(_goodness, task, labels, select_by)
    total = np.zeros(val.probabilities.shape[1:])
    taken: list[int] = []
    reached: list[float] = []
    for step in range(1, steps + 1):
        found = [goodness((total + member) / step) for member in val.probabilities]
        best = _first_best(found)
        total += val.probabilities[best]
        taken.append(best)
        reached.append(found[best])
    size = _first_best(reached) + 1
    weights = np.bincount(taken[:size], minlength=len(val.probabilities)) / size
    of_val, of_test = (
        Opinion(np.tensordot(weights, said.probabilities, 1)) for said in (val, test)
    )
    chosen = {"steps_taken": size}
    return Combined(of_val, of_test, weights=weights, chosen=chosen, val_is=SELECTED)


def _first_best(values: Sequence[float]) -> int:
    """Return where the largest value is, of those that only rounding tells apart the first."""
    return int(np.argmax(np.asarray(values) >= max(values) - 1e-12))


def _goodness(task: Task, labels: Array, select_by: str, probabilities: Array) -> float:
    """Return how good probabilities (N, C) are on val, the higher the better."""
    if select_by == "log_loss":
        return -log_loss(task, labels, probabilities)
    names = [str(c) for c in range(probabilities.shape[1])]
    claimed = metrics.said(probabilities, 0.5)
    predicted = claimed if task is Task.MULTI_LABEL else probabilities.argmax(1)
    flat = task if task is Task.MULTI_LABEL else Task.MULTI_CLASS
    return metrics.score(metrics.compute(flat, labels, predicted, probabilities, names))


def log_loss(task: Task, labels: Array, probabilities: Array) -> float:
    """Return the log loss of probabilities (N, C), as `bench.metrics` has it."""
    if task is Task.MULTI_LABEL:
        likelihood = np.where(labels.astype(bool), probabilities, 1 - probabilities)
    else:
        likelihood = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(likelihood, TINY)).mean())


def stacking(task: Task, labels: Array, val: Said, test: Said) -> Combined:
    """Return what a logistic regression makes of the members' answers (Wolpert 1992).

    Multinomial, on the log-probabilities of all members and classes; in a multi-label task one for
    each label, on the members' log-odds of it. The strength of its L2 penalty is the one with the
    lowest log loss in a stratified cross-validation inside val. What is returned of val is out of
    fold: the part that an item is in had no say in the fit nor in the strength behind its answer.

    Raises:
        DataError: val has too few items of some class.
    """
    if task is Task.MULTI_LABEL:
        return _stacked_by_label(labels, val, test)
    fewest = np.bincount(labels, minlength=val.probabilities.shape[2])
    if fewest.min() < 3:
        raise DataError(
            f"stacking needs three val items of every class, and class {int(fewest.argmin())} "
            f"has {int(fewest.min())}; a larger `--val` or `--limit` gives more, or take "
            "`--how greedy`"
        )
    stack = _Stack(_log_probabilities(val), labels)
    test_opinion = Opinion(stack.fit().predict_proba(_log_probabilities(test)))
    return Combined(
        Opinion(stack.out_of_fold()),
        test_opinion,
        chosen={"inverse_strength": stack.strength()},
        val_is=OUT_OF_FOLD,
    )


def _log_probabilities(said: Said) -> Array:
    """Return the features of stacking, (N, M · C)."""
    logs = np.log(np.maximum(said.probabilities, TINY))
    return np.concatenate(list(logs), 1)


def _stacked_by_label(labels: Array, val: Said, test: Said) -> Combined:
    logits = [
        np.log(clipped) - np.log1p(-clipped)
        for said in (val, test)
        for clipped in [np.clip(said.probabilities, TINY, 1 - TINY)]
    ]
    result = [said.probabilities.mean(0) for said in (val, test)]
    strengths: list[float | None] = []
    for label in range(labels.shape[1]):
        truth = labels[:, label].astype(np.int64)
        if min(np.bincount(truth, minlength=2)) < 3:
            strengths.append(None)  # too rare to fit to: it keeps the mean
            continue
        stack = _Stack(logits[0][:, :, label].T, truth)
        result[0][:, label] = stack.out_of_fold()[:, 1]
        result[1][:, label] = stack.fit().predict_proba(logits[1][:, :, label].T)[:, 1]
        strengths.append(stack.strength())
    return Combined(
        Opinion(result[0]),
        Opinion(result[1]),
        chosen={"inverse_strength": strengths},
        val_is=OUT_OF_FOLD,
    )


class _Stack:
    """A logistic regression on val, and what it says of each fold without having seen it.

    Args:
        features: (N, F).
        labels: (N,), three or more of each class that there is.
    """

    def __init__(self, features: Array, labels: Array) -> None:
        from sklearn.model_selection import StratifiedKFold

        self._features, self._labels = features, labels
        present = np.bincount(labels)
        count = min(FOLDS, int(present[present > 0].min()))
        splitter = StratifiedKFold(count, shuffle=True, random_state=0)
        self._folds = [held for _, held in splitter.split(features, labels)]
        self._fitted: dict[tuple[frozenset[int], float], Any] = {}

    def fit(self) -> Any:
        """Return the regression on all of val."""
        return self._fit(frozenset(), self.strength())

    def strength(self, without: int | None = None) -> float:
        """Return the strength with the lowest log loss on folds that the fit had not seen.

        Args:
            without: a fold that is to have no say.
        """
        asked = [fold for fold in range(len(self._folds)) if fold != without]
        left_out = frozenset() if without is None else frozenset({without})
        losses = [
            np.mean([self._loss(left_out | {fold}, fold, strength) for fold in asked])
            for strength in STRENGTHS
        ]
        return STRENGTHS[int(np.argmin(losses))]

    def out_of_fold(self) -> Array:
        """Return for each item what a fit without its fold says, (N, C)."""
        result = np.zeros((len(self._labels), int(self._labels.max()) + 1))
        for fold, held in enumerate(self._folds):
            fitted = self._fit(frozenset({fold}), self.strength(without=fold))
            result[held] = fitted.predict_proba(self._features[held])
        return result

    def _loss(self, left_out: frozenset[int], fold: int, strength: float) -> float:
        held = self._folds[fold]
        said = self._fit(left_out, strength).predict_proba(self._features[held])
        return log_loss(Task.MULTI_CLASS, self._labels[held], said)

    def _fit(self, left_out: frozenset[int], strength: float) -> Any:
        if (left_out, strength) not in self._fitted:
            from sklearn.linear_model import LogisticRegression

            kept = np.concatenate([h for n, h in enumerate(self._folds) if n not in left_out])
            kept.sort()
            with warnings.catch_warnings():
                # Regularised as it is, what the last iterations would change is far below noise.
                warnings.simplefilter("ignore")
                self._fitted[left_out, strength] = LogisticRegression(C=strength, max_iter=300).fit(
                    self._features[kept], self._labels[kept]
                )
        return self._fitted[left_out, strength]


def samme_step(
    labels: Array, predicted: Array, weights: Array, classes: int
) -> tuple[float, float, Array]:
    """Return a boosting round's weighted error, the member's weight, and the next item weights.

    SAMME (Zhu, Zou, Rosset and Hastie 2009, algorithm 2, https://doi.org/10.4310/SII.2009.v2.n3.a8):
    alpha = log((1 - error) / error) + log(classes - 1); the weights of items that are wrong grow by
    exp(alpha), and all are scaled to a mean of 1. A member without error has an alpha of 1, as in
    scikit-learn, since its own would be infinite.

    Args:
        labels: of train, (N,).
        predicted: by the member, (N,).
        weights: of the items in its training, (N,).
        classes: how many there are.
    """
    wrong = predicted != labels
    error = float(weights[wrong].sum() / weights.sum())
    if error == 0:
        return 0.0, 1.0, weights
    if error == 1:
        return 1.0, -np.inf, weights
    alpha = float(np.log((1 - error) / error) + np.log(classes - 1))
    grown = weights * np.exp(np.where(wrong, alpha, 0.0))
    return error, alpha, grown * (len(grown) / grown.sum())


def boosted(
    task: Task, labels: Array, val: Said, test: Said, *, alphas: Sequence[float]
) -> Combined:
    """Return what members of SAMME say: each votes with its alpha.

    The probabilities are those that the votes stand for in its model (Zhu et al. 2009, section
    2.2): in proportion to exp of the sum of the alphas that vote for a class.

    Args:
        task: what is said of an item; one label each.
        labels: of val.
        val: what the members said of it.
        test: likewise of test.
        alphas: (M,), positive.
    """
    shares = np.asarray(alphas, np.float64)
    return Combined(_weighed(val, shares), _weighed(test, shares), weights=shares / shares.sum())


def _weighed(said: Said, alphas: Array) -> Opinion:
    classes = said.probabilities.shape[2]
    votes = np.stack([alphas @ (said.predicted == c) for c in range(classes)], 1)
    exact = np.exp(votes - votes.max(1, keepdims=True))
    chosen = first_by(votes, said.probabilities.mean(0))
    return Opinion(exact / exact.sum(1, keepdims=True), chosen)


WAYS: dict[str, Combine] = {
    "soft": soft,
    "hard": hard,
    "greedy": greedy,
    "stacking": stacking,
    "bagging": soft,
    "boosting": boosted,
}
"""How members are combined, by what users write."""
