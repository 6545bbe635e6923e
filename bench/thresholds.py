"""Operating points: from which probability on a class is said, chosen on val for a wish.

Everything here takes one class against the rest: `truth`, (N,) bool, which items have it, and
`scores`, (N,) float64, the probability of it. A class is said where its score is at least the
threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench import stats
from bench.errors import DataError
from bench.specs import Answers, Task

Truth = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Wish:
    """What an operating point is to reach.

    Attributes:
        kind: `precision` or `recall` is to be at least `least`, the other as high as it can be;
            or the `cost` of errors is to be as low as it can be.
        false_positive: what it costs to say a class that an item has not.
        false_negative: what it costs not to say one that it has.
    """

    kind: Literal["precision", "recall", "cost"]
    least: float = 0.0
    false_positive: float = 1.0
    false_negative: float = 1.0

    @property
    def words(self) -> str:
        """What messages say of it."""
        if self.kind == "cost":
            return (
                f"lowest cost at {self.false_positive:g} a false positive and "
                f"{self.false_negative:g} a false negative"
            )
        other = "precision" if self.kind == "recall" else "recall"
        return f"highest {other} at a {self.kind} of at least {self.least:.1%}"


@dataclass(frozen=True)
class Outcome:
    """What some decisions on one class come to.

    Attributes:
        found: items that have the class and of which it is said.
        said: items of which it is said.
        positives: items that have it.
        n: all items.
    """

    found: int
    said: int
    positives: int
    n: int

    @property
    def precision(self) -> stats.Interval | None:
        """The share of `said` that is right, with Wilson's interval; None where nothing is said."""
        return stats.wilson(self.found, self.said) if self.said else None

    @property
    def recall(self) -> stats.Interval | None:
        """The share of `positives` that is found, likewise."""
        return stats.wilson(self.found, self.positives) if self.positives else None

    def cost(self, wish: Wish) -> stats.Interval:
        """Return the mean cost of an item, with the normal interval of a mean."""
        wrongly, missed = self.said - self.found, self.positives - self.found
        prices = wish.false_positive, wish.false_negative
        return mean_interval(
            np.repeat([*prices, 0.0], [wrongly, missed, self.n - wrongly - missed])
        )

    def meets(self, wish: Wish) -> bool:
        """Return whether a wished precision or recall is reached; a cost has no least."""
        if wish.kind == "cost":
            return True
        reached = self.precision if wish.kind == "precision" else self.recall
        return reached is not None and reached.mean >= wish.least

    def to_dict(self, wish: Wish) -> dict[str, Any]:
        """Return plain data: counts, and each share with its interval and number."""
        plain: dict[str, Any] = {
            "n": self.n,
            "positives": self.positives,
            "said": self.said,
            "found": self.found,
            "precision": _plain(self.precision, self.said),
            "recall": _plain(self.recall, self.positives),
        }
        if wish.kind == "cost":
            plain["cost"] = _plain(self.cost(wish), self.n)
        return plain


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold for one class, chosen on val, and what it comes to.

    Attributes:
        name: of the class.
        threshold: None where val cannot reach the wish.
        outcomes: by split, of this threshold; empty without one.
        usual: by split, of what the run itself decided.
        why_not: why there is no threshold.
    """

    name: str
    threshold: float | None
    outcomes: Mapping[str, Outcome]
    usual: Mapping[str, Outcome]
    why_not: str = ""


def choose(wish: Wish, place: int, val: Answers, test: Answers | None, name: str) -> OperatingPoint:
    """Choose the threshold of a class on val, and report it on val and test.

    Args:
        wish: what is wanted.
        place: of the class among the classes.
        val: what chooses.
        test: what reports; None where the run has no test split.
        name: of the class.

    Raises:
        DataError: the probabilities are not stored.
    """
    splits = {"val": val, **({"test": test} if test is not None else {})}
    truth, scores = one_class(val, place)
    usual = {
        split: _outcome(one_class(answers, place)[0], _said(answers, place))
        for split, answers in splits.items()
    }
    threshold = best(wish, truth, scores)
    if threshold is None:
        return OperatingPoint(name, None, {}, usual, _why_not(wish, truth, scores))
    found = {split: at(threshold, *one_class(answers, place)) for split, answers in splits.items()}
    return OperatingPoint(name, threshold, found, usual)


def best(wish: Wish, truth: Truth, scores: Scores) -> float | None:
    """Return the threshold that serves a wish best on some items; None where none reaches it.

    It lies about halfway to the next lower score, at a short number. A threshold above all scores,
    at which nothing is said, serves only a cost. Of thresholds with the same recall the one with
    the highest precision is taken, and the reverse; of equal costs the one nearest to what would be
    best of calibrated probabilities (Elkan 2001, "The Foundations of Cost-Sensitive Learning").
    """
    distinct, found, said = _curve(truth, scores)
    positives = int(truth.sum())
    if wish.kind == "cost":
        cost = wish.false_positive * (said - found) + wish.false_negative * (positives - found)
        alike = np.flatnonzero(np.isclose(cost, cost.min(), rtol=1e-12, atol=0))
        candidates = [_between(distinct, int(place)) for place in alike]
        calibrated = wish.false_positive / (wish.false_positive + wish.false_negative)
        return min(candidates, key=lambda threshold: abs(threshold - calibrated))
    if not positives:
        return None
    # The first place is that of saying nothing, which has no precision and no use.
    precision, recall = found[1:] / said[1:], found[1:] / positives
    wanted, other = (precision, recall) if wish.kind == "precision" else (recall, precision)
    fits = wanted >= wish.least
    if not fits.any():
        return None
    highest = np.flatnonzero(fits & (other == other[fits].max()))
    # Of equal recalls fewer said is more precise; of equal precisions more said is more recall.
    place = highest[0] if wish.kind == "precision" else highest[-1]
    return _between(distinct, int(place) + 1)


def at(threshold: float, truth: Truth, scores: Scores) -> Outcome:
    """Return what a threshold comes to on some items."""
    return _outcome(truth, scores >= threshold)


def one_class(answers: Answers, place: int) -> tuple[Truth, Scores]:
    """Return which items have a class, and the probabilities of it.

    Raises:
        DataError: the probabilities are not stored.
    """
    if answers.probabilities is None:
        raise DataError("the probabilities of the run are not stored, so it has no thresholds")
    is_set = answers.task is Task.MULTI_LABEL
    truth = answers.labels[:, place] == 1 if is_set else answers.labels == place
    return np.asarray(truth, np.bool_), answers.probabilities[:, place].astype(np.float64)


def mean_interval(values: npt.NDArray[np.float64]) -> stats.Interval:
    """Return a mean over items with its normal 95 % interval; none can be below the least value."""
    mean = float(values.mean())
    if len(values) < 2:
        return stats.Interval(mean, -math.inf, math.inf)
    half = stats.normal_quantile() * float(values.std(ddof=1)) / math.sqrt(len(values))
    return stats.Interval(mean, max(0.0, mean - half), mean + half)


def _said(answers: Answers, place: int) -> Truth:
    is_set = answers.task is Task.MULTI_LABEL
    said = answers.predicted[:, place] == 1 if is_set else answers.predicted == place
    return np.asarray(said, np.bool_)


def _outcome(truth: Truth, said: Truth) -> Outcome:
    return Outcome(int((truth & said).sum()), int(said.sum()), int(truth.sum()), len(truth))


def _curve(
    truth: Truth, scores: Scores
) -> tuple[Scores, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct scores from above, and what saying down to each finds and says.

    Both counts have a place more, the first: that of saying nothing.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    found = np.cumsum(truth[order])[last]
    return ordered[last], np.insert(found, 0, 0), np.insert(last + 1, 0, 0)


def _between(distinct: Scores, place: int) -> float:
    """Return a threshold that says the items of the `place` highest distinct scores."""
    upper = distinct[place - 1] if place else max(1.0, math.nextafter(distinct[0], math.inf))
    lower = distinct[place] if place < len(distinct) else 0.0
    if place == len(distinct) and upper == 0:
        return 0.0
    middle = (float(upper) + float(lower)) / 2
    for digits in range(2, 17):
        short = round(middle, digits)
        if lower < short <= upper:
            return short
    return float(upper)


def _why_not(wish: Wish, truth: Truth, scores: Scores) -> str:
    if not truth.any():
        return "no item of val has it"
    _, found, said = _curve(truth, scores)
    precision = found[1:] / said[1:]
    place = int(np.flatnonzero(precision == precision.max())[-1])
    return (
        f"no threshold reaches a precision of {wish.least:.1%} on val; the highest is "
        f"{precision[place]:.1%}, at a recall of {found[place + 1] / truth.sum():.1%}"
    )


def _plain(interval: stats.Interval | None, n: int) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": n}
