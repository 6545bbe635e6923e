"""Rules of metrics: what anybody may expect of a number that says how good predictions are."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import scoring
from bench.conformance import answer_samples as samples
from bench.conformance.evidence import raised
from bench.conformance.rules import Broken, Skipped, rule
from bench.errors import BenchError, DataError
from bench.specs import Answers, Metric, Task

if TYPE_CHECKING:
    from bench.registry import Offer

SAME = 1e-9
"""How far two values of one metric may be apart, which sum the same numbers in another order."""
EXACT = 1e-6
"""Likewise of two ways to compute it, or where stored numbers are taken as float64 beforehand."""
_ODD = {
    bool: (True, False),
    int: (0, -1, 10_000),
    float: (0.0, -1.0, 1e9, math.nan),
    str: ("", "no such value"),
}
"""Values that somebody may give a param, by the type of its default."""


@rule("metric")
def gives_a_number(offer: Offer) -> None:
    """Usual answers to every task that it names have a number."""
    metric = _metric(offer)
    if metric.compute is not None and metric.per_item is not None:
        raise Broken("it has both `compute` and `per_item`", "keep one: `per_item` for a mean")
    if not metric.tasks or not all(isinstance(task, Task) for task in metric.tasks):
        raise Broken(f"its `tasks` are {metric.tasks!r}", "name members of `bench.Task`")
    for name, answers in _usual(metric):
        params = metric.defaults
        with _quietly(offer, name, "let it give a number for what lacks nothing"):
            given: Any = metric.factory(answers, **params)
        if metric.compute is None:
            shape = np.shape(given)
            if shape != (len(answers.ids),):
                raise Broken(
                    f"`per_item` returned {_what(given)} for {name}",
                    f"return a value for each item: an array of shape ({len(answers.ids)},)",
                )
            given = np.asarray(given, np.float64).mean()
        if not isinstance(given, numbers.Real | np.bool_):
            raise Broken(f"it returned {_what(given)} for {name}", "return a float")
        if not math.isfinite(given):
            raise Broken(
                f"it gave {float(given)} for {name}, which lack nothing",
                "return a finite number wherever the answers allow one; NaN says that they do not",
            )


@rule("metric")
def keeps_its_bounds(offer: Offer) -> None:
    """No answers give a value outside its `bounds`."""
    metric = _metric(offer)
    low, high = metric.bounds
    if not low < high:
        raise Broken(
            f"its `bounds` are {low} and {high}", "give the least value, then the greatest"
        )
    for name, answers in (*_usual(metric), *_odd(metric)):
        value = _value(offer, name, answers, allowed=Exception)
        if value is not None and not scoring.is_within(value, metric.bounds):
            raise Broken(
                f"it gave {value:.6g} for {name}, which is not in {low:g} to {high:g}",
                "declare the `bounds` that it can have, or mend what leaves them: such a value is "
                "shown to nobody",
            )


@rule("metric")
def is_better_for_right_answers(offer: Offer) -> None:
    """Right answers are never worse than wrong ones, in the direction that it declares."""
    metric = _metric(offer)
    sign = -1.0 if metric.lower_is_better else 1.0
    constant = []
    for task in metric.tasks:
        some = samples.drawn(task)
        said = {
            "all right": samples.right(some),
            "some wrong": some,
            "all wrong": samples.wrong(some),
        }
        found = {name: _value(offer, name, answers) for name, answers in said.items()}
        best = found.pop("all right")
        others = {name: value for name, value in found.items() if value is not None}
        assert best is not None, "usual answers give a number"
        told = ", ".join(f"{value:.4g} with {name}" for name, value in others.items())
        better = "less" if metric.lower_is_better else "more"
        worst = max(others, key=lambda name: sign * others[name])
        if sign * (others[worst] - best) > EXACT:
            raise Broken(
                f"it gives answers to a {task} task {best:.4g} if they are all right, and {told}, "
                f"but {better} is declared to be better",
                f"turn `lower_is_better` to {not metric.lower_is_better}, or the sign of the value",
            )
        if all(abs(value - best) <= EXACT for value in others.values()):
            constant.append(f"{best:.4g} if they are all right, and {told}")
    # A task may leave a metric nothing to tell: of two classes the right one is among any five.
    if len(constant) == len(metric.tasks):
        raise Broken(
            f"it gives answers {constant[0]}",
            "compute it from the labels as well as from what was said of them",
        )


@rule("metric")
def repeats_itself(offer: Offer) -> None:
    """Equal answers have equal values, however often it is asked."""
    metric = _metric(offer)
    for name, answers in _usual(metric):
        first, again = (_value(offer, name, answers) for _ in range(2))
        if not _alike(first, again, 0.0):
            raise Broken(
                f"it gave {_told(first)} for {name}, then {_told(again)}",
                "draw random numbers from a generator with a fixed seed, and keep nothing between "
                "calls: a value is computed once and remembered",
            )


@rule("metric")
def ignores_the_order(offer: Offer) -> None:
    """Items in another order have the same value."""
    metric = _metric(offer)
    for name, answers in (*_usual(metric), *_odd(metric)):
        order = np.random.default_rng(len(answers.ids)).permutation(len(answers.ids))
        before = _value(offer, name, answers, allowed=Exception)
        after = _value(offer, name, samples.taken(answers, order), allowed=Exception)
        if not _alike(before, after, SAME) and _repeats(offer, answers, before):
            raise Broken(
                f"it gave {_told(before)} for {name}, and {_told(after)} for the same in another "
                "order",
                "let nothing depend on the places of items, nor on ties being met in one order",
            )


@rule("metric")
def leaves_answers_alone(offer: Offer) -> None:
    """No array that it is given is changed."""
    metric = _metric(offer)
    for name, answers in _usual(metric):
        before = {field: np.array(array) for field, array in _arrays(answers)}
        _value(offer, name, answers)
        for field, array in _arrays(answers):
            if not np.array_equal(before[field], array):
                raise Broken(
                    f"it changed `answers.{field}` of {name}",
                    "work on a copy: other metrics are computed from the same arrays",
                )


@rule("metric")
def computes_precisely(offer: Offer) -> None:
    """Arrays as they are stored, of uint8 and float16, cost no precision."""
    metric = _metric(offer)
    for name, stored in _usual(metric):
        assert stored.probabilities is not None
        # Labels of one image each may be of any integers.
        narrow = dataclasses.replace(
            stored,
            labels=stored.labels.astype(np.uint8),
            predicted=stored.predicted.astype(np.uint8),
        )
        wide = dataclasses.replace(
            stored,
            labels=stored.labels.astype(np.int64),
            predicted=stored.predicted.astype(np.int64),
            probabilities=stored.probabilities.astype(np.float64),
        )
        expected = _value(offer, name, wide)
        for types, answers in (("as stored", stored), ("with labels of uint8", narrow)):
            found = _value(offer, name, answers)
            if not _alike(found, expected, EXACT) and _repeats(offer, wide, expected):
                raise Broken(
                    f"it gave {_told(found)} for {name} {types}, and {_told(expected)} for the "
                    "same numbers as int64 and float64",
                    "take arrays as float64 or int64 before you subtract or sum them: unsigned "
                    "integers wrap around below 0, and float16 keeps three digits",
                )


@rule("metric")
def copes_with_any_split(offer: Offer) -> None:
    """Any split gives a number, NaN or `bench.DataError`, whatever classes or labels it lacks."""
    fix = "return NaN, or raise `bench.DataError`, where such answers leave it undefined"
    for name, answers in _odd(_metric(offer)):
        _value(offer, name, answers, fix=fix)


@rule("metric")
def says_what_answers_lack(offer: Offer) -> None:
    """Where a run has not stored what it needs, it gives NaN or raises `bench.DataError`."""
    fix = 'raise `bench.DataError("its probabilities are not stored")`, or whatever is lacking'
    for task in _metric(offer).tasks:
        for name, answers in samples.lacking(task):
            _value(offer, name, answers, fix=fix)


@rule("metric")
def refuses_impossible_params(offer: Offer) -> None:
    """Odd values of params give a number or an error of bench's own, as `bench.ConfigError`."""
    metric = _metric(offer)
    for param, default in metric.defaults.items():
        for value in _ODD.get(type(default), ()):
            for task in metric.tasks:
                name = f"{samples.ITEMS} items of a {task} task, with `{param}={value!r}`"
                params = {**metric.defaults, param: value}
                answers = samples.drawn(task)
                fix = f"raise `bench.ConfigError` for values that `{param}` cannot have"
                found = _value(offer, name, answers, params=params, allowed=BenchError, fix=fix)
                if found is not None and not scoring.is_within(found, metric.bounds):
                    low, high = metric.bounds
                    raise Broken(
                        f"it gave {found:.6g} for {name}, which is not in {low:g} to {high:g}", fix
                    )


@rule("metric")
def agrees_with_its_reference(offer: Offer) -> None:
    """Values are those of its `reference`, an independent implementation."""
    metric = _metric(offer)
    if metric.reference is None:
        raise Skipped("it has no `reference`")
    same = dataclasses.replace(metric, compute=metric.reference, per_item=None)
    other = dataclasses.replace(offer, component=same)
    for params in _settings(metric):
        given = "".join(f", with `{param}={value!r}`" for param, value in params.items())
        for name, answers in (*_usual(metric), *_odd(metric)):
            value = _value(offer, name, answers, params=params, allowed=Exception)
            expected = _value(other, f"{name}, by its reference", answers, params=params)
            if not _alike(value, expected, EXACT):
                raise Broken(
                    f"it gave {_told(value)} for {name}{given}, and its reference "
                    f"{_told(expected)}",
                    "mend whichever is wrong; where both are right in their way, say in the "
                    "docstring which definition counts and let the reference follow it",
                )


def _metric(offer: Offer) -> Metric:
    assert isinstance(offer.component, Metric)
    return offer.component


def _usual(metric: Metric) -> Iterator[tuple[str, Answers]]:
    for task in metric.tasks:
        yield from samples.usual(task)


def _odd(metric: Metric) -> Iterator[tuple[str, Answers]]:
    for task in metric.tasks:
        yield from samples.odd(task)


def _settings(metric: Metric) -> list[dict[str, Any]]:
    """Return the default params, and each whole number among them one higher and one lower."""
    own = metric.defaults
    near = [
        {**own, param: value + step}
        for param, value in own.items()
        for step in (1, -1)
        if type(value) is int and value + step > 0
    ]
    return [own, *near]


def _arrays(answers: Answers) -> Iterator[tuple[str, np.ndarray]]:
    for field in dataclasses.fields(answers):
        value = getattr(answers, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value


@contextlib.contextmanager
def _quietly(offer: Offer, name: str, fix: str) -> Iterator[None]:
    """Silence warnings, as reading does; Broken for an error, with what it was met with."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise Broken(f"{raised(error, offer)} for {name}", fix) from error


def _value(
    offer: Offer,
    name: str,
    answers: Answers,
    *,
    params: Mapping[str, Any] | None = None,
    allowed: type[Exception] = DataError,
    fix: str = "let it give a number for what lacks nothing",
) -> float | None:
    """Return a metric of answers; None where it says by NaN or an error that they have none."""
    metric = _metric(offer)
    with _quietly(offer, name, fix):
        try:
            value = float(metric.value(answers, metric.defaults if params is None else params))
        except allowed:
            return None
    return None if math.isnan(value) else value


def _repeats(offer: Offer, answers: Answers, value: float | None) -> bool:
    """Return whether it gives a value again; where it does not, `repeats_itself` tells of it."""
    return _alike(value, _value(offer, "", answers, allowed=Exception), 0.0)


def _alike(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def _told(value: float | None) -> str:
    return "no number" if value is None else f"{value:.9g}"


def _what(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of shape {shape}" if shape is not None else f"{value!r:.60}"
