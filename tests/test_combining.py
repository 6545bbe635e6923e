from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ensemble_samples import answers
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import combining
from bench.combining import OUT_OF_FOLD, SELECTED, Combined, Said
from bench.errors import DataError
from bench.specs import Task

ONE, MANY = Task.MULTI_CLASS, Task.MULTI_LABEL


def said(*members: npt.NDArray[Any] | list[list[float]]) -> Said:
    exact = np.array(members, np.float64)
    return Said(exact.argmax(2), exact)


def said_of_labels(*members: list[list[float]]) -> Said:
    exact = np.array(members, np.float64)
    return Said((exact >= 0.5).astype(np.uint8), exact)


def skilled(labels: npt.NDArray[Any], *skills: float, seed: int = 0) -> Said:
    return said(*(answers(labels, skill, seed + n) for n, skill in enumerate(skills)))


# Votes


def test_soft_voting_is_the_mean() -> None:
    three = said([[0.9, 0.1]], [[0.4, 0.6]], [[0.2, 0.8]])
    found = combining.soft(ONE, np.array([0]), three, three)
    assert found.val.probabilities == pytest.approx(np.array([[0.5, 0.5]]))
    assert found.weights == pytest.approx([1 / 3] * 3)


def test_hard_voting_takes_the_majority_over_the_mean() -> None:
    three = said([[0.99, 0.01]], [[0.4, 0.6]], [[0.4, 0.6]])
    found = combining.hard(ONE, np.array([0]), three, three)
    assert found.val.predicted.tolist() == [1]  # two votes of three, though the mean says 0
    assert found.val.probabilities.sum(1) == pytest.approx([1.0])
    assert found.val.probabilities.argmax(1).tolist() == [1]


def test_the_mean_decides_where_votes_tie() -> None:
    two = said([[0.55, 0.45, 0.0]], [[0.1, 0.9, 0.0]])
    assert combining.hard(ONE, np.array([0]), two, two).val.predicted.tolist() == [1]
    labels = said_of_labels([[0.9, 0.4]], [[0.3, 0.6]])
    found = combining.hard(MANY, np.array([[1, 0]]), labels, labels)
    assert found.val.predicted.tolist() == [[True, True]]  # means 0.6 and 0.5


@given(st.integers(2, 7), st.integers(2, 5), st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_votes_agree_with_scikit_learn(members: int, classes: int, seed: int) -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.ensemble import VotingClassifier
    from sklearn.preprocessing import LabelEncoder

    labels = np.arange(12) % classes
    everything = said(*(answers(labels, 0.5, seed + m, classes) for m in range(members)))

    class Told(ClassifierMixin, BaseEstimator):
        def __init__(self, member: int) -> None:
            self.member = member

        def predict_proba(self, items: Any) -> Any:
            return everything.probabilities[self.member][items[:, 0]]

        def predict(self, items: Any) -> Any:
            return self.predict_proba(items).argmax(1)

    items = np.arange(12)[:, None]
    for how, ours in (("soft", combining.soft), ("hard", combining.hard)):
        theirs = VotingClassifier([(str(m), Told(m)) for m in range(members)], voting=how)
        theirs.estimators_ = [Told(m) for m in range(members)]
        theirs.le_ = LabelEncoder().fit(labels)
        found = ours(ONE, labels, everything, everything).val
        if how == "soft":
            assert found.probabilities == pytest.approx(theirs.predict_proba(items))
            continue
        votes = np.stack([(everything.predicted == c).sum(0) for c in range(classes)], 1)
        clear = (votes == votes.max(1, keepdims=True)).sum(1) == 1
        assert (found.predicted == theirs.predict(items))[clear].all()


# Greedy selection


def test_greedy_selection_by_hand() -> None:
    labels = np.array([0, 0, 1])
    good, other, bad = (
        [[0.8, 0.2], [0.4, 0.6], [0.2, 0.8]],
        [[0.3, 0.7], [0.9, 0.1], [0.3, 0.7]],
        [[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]],
    )
    members = said(bad, other, good)
    found = combining.greedy(ONE, labels, members, members, steps=2)
    # Log losses alone: bad 2.07, other 0.55, good 0.45; then the mean of good and other, 0.42.
    assert found.weights.tolist() == [0, 0.5, 0.5]
    assert found.chosen == {"steps_taken": 2}
    assert found.val_is == SELECTED
    assert found.test.probabilities[0] == pytest.approx([0.55, 0.45])


def test_greedy_selection_stops_at_its_best() -> None:
    labels = np.array([0, 1] * 20)
    sure = said([[0.99, 0.01], [0.01, 0.99]] * 20, [[0.5, 0.5], [0.5, 0.5]] * 20)
    found = combining.greedy(ONE, labels, sure, sure, steps=10)
    assert found.weights.tolist() == [1, 0]
    assert found.chosen["steps_taken"] == 1


@given(st.integers(0, 500), st.sampled_from(["log_loss", "score"]))
@settings(deadline=None, max_examples=25)
def test_greedy_selection_is_no_worse_on_val_than_its_best_member(seed: int, by: str) -> None:
    labels = np.arange(30) % 3
    members = skilled(labels, 0.2, 1.0, 1.5, 0.1, seed=seed)
    found = combining.greedy(ONE, labels, members, members, steps=8, select_by=by)
    of = [combining._goodness(ONE, labels, by, each) for each in members.probabilities]
    assert combining._goodness(ONE, labels, by, found.val.probabilities) >= max(of) - 1e-12
    assert found.weights.sum() == pytest.approx(1)
    again = combining.greedy(ONE, labels, members, members, steps=8, select_by=by)
    assert again.weights.tolist() == found.weights.tolist()


# Stacking


def test_a_stack_of_noise_and_sense_listens_to_sense() -> None:
    labels = np.arange(150) % 3
    val, test = skilled(labels, 2.0, 0.0), skilled(labels, 2.0, 0.0, seed=50)
    found = combining.stacking(ONE, labels, val, test)
    mean = combining.soft(ONE, labels, val, test)
    assert found.val_is == OUT_OF_FOLD
    assert loss(labels, found, "test") < loss(labels, mean, "test")
    assert found.chosen["inverse_strength"] in combining.STRENGTHS


def loss(labels: npt.NDArray[Any], found: Combined, split: str) -> float:
    return combining.log_loss(ONE, labels, getattr(found, split).probabilities)


def test_what_a_stack_says_of_val_is_out_of_fold() -> None:
    # Labels without any rhyme: whoever fits and asks the same items would be right too often.
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.arange(120) % 3)
    noise = said(*generator.dirichlet([1, 1, 1], size=(6, 120)))
    found = combining.stacking(ONE, labels, noise, noise)
    assert loss(labels, found, "val") > math.log(3) * 0.98
    assert found.val.probabilities.sum(1) == pytest.approx(np.ones(120))


def test_an_item_has_no_say_in_what_is_said_of_it() -> None:
    labels = np.arange(60) % 3
    val = skilled(labels, 1.0, 1.0)
    before = combining.stacking(ONE, labels, val, val)
    stack = combining._Stack(combining._log_probabilities(val), labels)
    fold = stack._folds[0]
    # Another truth for the items of one fold, in numbers that leave the folds as they are.
    swapped = labels.copy()
    swapped[fold] = np.roll(labels[fold], 1)
    other = combining._Stack(combining._log_probabilities(val), swapped)
    other._folds = stack._folds
    assert other.out_of_fold()[fold] == pytest.approx(before.val.probabilities[fold], abs=1e-9)


def test_a_stack_needs_items_of_every_class() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2] * 2)
    members = skilled(labels, 1.0, 1.0)
    with pytest.raises(DataError, match="class 2 has 2"):
        combining.stacking(ONE, labels, members, members)


def test_labels_are_stacked_one_by_one_and_rare_ones_keep_the_mean() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 2, (80, 3)).astype(np.uint8)
    truth[:, 2] = 0
    sense = np.clip(0.2 + 0.6 * truth + generator.normal(0, 0.1, truth.shape), 0, 1)
    noise = generator.random(truth.shape)
    members = said_of_labels(sense.tolist(), noise.tolist())
    found = combining.stacking(MANY, truth, members, members)
    assert found.chosen["inverse_strength"][2] is None
    assert found.val.probabilities[:, 2] == pytest.approx(members.probabilities.mean(0)[:, 2])
    right = (found.val.probabilities >= 0.5) == truth
    assert right[:, :2].mean() > 0.95


# SAMME


def test_a_round_of_samme_by_hand() -> None:
    labels, predicted = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0])
    error, alpha, weights = combining.samme_step(labels, predicted, np.ones(4), 3)
    assert error == 0.25
    assert alpha == pytest.approx(math.log(3) + math.log(2))
    # The wrong item grows by exp(alpha) = 6; all are scaled to a mean of 1.
    assert weights == pytest.approx(np.array([1, 1, 1, 6]) * 4 / 9)


def test_a_member_without_error_and_one_that_is_always_wrong() -> None:
    labels, weights = np.array([0, 1]), np.array([0.5, 1.5])
    assert combining.samme_step(labels, labels, weights, 2)[:2] == (0.0, 1.0)
    assert combining.samme_step(labels, 1 - labels, weights, 2)[:2] == (1.0, -np.inf)


def test_samme_agrees_with_scikit_learn() -> None:
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    generator = np.random.default_rng(3)
    items = generator.normal(size=(200, 4))
    labels = (items[:, 0] + items[:, 1] * items[:, 2] > 0).astype(int) + (items[:, 3] > 1)
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    theirs = AdaBoostClassifier(tree, n_estimators=6, random_state=0).fit(items, labels)
    weights, alphas = np.ones(200), []
    for fitted in theirs.estimators_:
        _, alpha, weights = combining.samme_step(labels, fitted.predict(items), weights, 3)
        alphas.append(alpha)
    assert alphas == pytest.approx(theirs.estimator_weights_.tolist())
    members = Said(
        np.stack([fitted.predict(items) for fitted in theirs.estimators_]),
        np.stack([fitted.predict_proba(items) for fitted in theirs.estimators_]),
    )
    found = combining.boosted(ONE, labels, members, members, alphas=alphas)
    assert (found.val.predicted == theirs.predict(items)).all()
    assert (found.val.probabilities.argmax(1) == theirs.predict(items)).all()


def test_probabilities_of_boosting_are_those_of_its_model() -> None:
    one = Said(np.array([[0], [1]]), np.array([[[0.6, 0.4, 0.0]], [[0.0, 1.0, 0.0]]]))
    found = combining.boosted(ONE, np.array([0]), one, one, alphas=[math.log(8), math.log(2)])
    assert found.val.probabilities == pytest.approx(np.array([[8, 2, 1]]) / 11)
