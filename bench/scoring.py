"""Metrics that somebody asks for when results are read, from the stored predictions of runs.

Each value is computed once and remembered in the index, under a key that holds all that it was
computed from. The core's own metrics, which select and rank, are those of `bench.metrics`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import provenance, stats
from bench.answers import AnswerBook, stamp
from bench.errors import DataError, UsageError
from bench.foreign_code import calling
from bench.records import RunRecord, digest
from bench.registry import Registry
from bench.selectors import with_params
from bench.specs import Answers, Metric, Task
from bench.store import Store
from bench.text import listing, one_line

VERSION = 1
"""Of what this module makes of a metric; a new one forgets what is remembered."""
RESAMPLES = 100
"""Of the items, for a standard error; 50 to 200 suffice (Efron and Tibshirani 1993, 6.4)."""
_SLACK = 1e-9


@dataclass(frozen=True)
class Wanted:
    """A metric as somebody asked for it.

    Attributes:
        label: as it was asked for, which is what tables call it.
        plugin: the entry point that offers it.
        params: all of them, defaults included.
    """

    label: str
    metric: Metric
    plugin: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def source(self) -> str:
        """A digest of all that decides what it makes of predictions."""
        functions = (self.metric.compute, self.metric.per_item)
        code = [provenance.component_source(each) for each in functions if each is not None]
        libraries = [provenance.library_version(name) for name in ("numpy", "scikit-learn")]
        return digest([VERSION, self.metric.name, dict(self.params), code, libraries])

    def measure(self, answers: Answers) -> float | npt.NDArray[Any]:
        """Return the metric of each item, (N,), where it is a mean over items, else its value.

        NaN where it does not suit the task, or the answers lack what it needs.
        """
        metric = self.metric
        if answers.task not in metric.tasks:
            return math.nan
        try:
            value = compute(answers, self)
            if metric.compute is None and metric.per_item is not None:
                with _calling(self):
                    return np.asarray(metric.per_item(answers, **self.params), np.float64)
        except DataError:
            return math.nan
        return value


def choose(names: Iterable[str], registry: Registry) -> list[Wanted]:
    """Return the metrics that words name, each once, in their order.

    Args:
        names: `NAME`, or `NAME:PARAM=VALUE` with more params after further colons.
        registry: who offers them.

    Raises:
        UnknownNameError: there is no such metric, or it has no such param.
        ConfigError: a param without a value, or of another type than its default.
    """
    return [_wanted(name, registry) for name in dict.fromkeys(names)]


def _wanted(text: str, registry: Registry) -> Wanted:
    offer, params = with_params(Metric.kind, text, registry)
    assert isinstance(offer.component, Metric)
    return Wanted(text, offer.component, offer.plugin.name, params)


@dataclass(frozen=True)
class Measured:
    """A metric of a method: the mean over its runs.

    Attributes:
        interval: the mean with its 95 % interval.
        noise: which noise that speaks of: `seeds` or `items`.
        metric: what was measured.
        runs: how many have a value.
    """

    interval: stats.Interval
    noise: str
    metric: Metric
    runs: int


class Scorer:
    """Values and intervals of some metrics, of any number of runs."""

    def __init__(self, wanted: Sequence[Wanted], book: AnswerBook, store: Store) -> None:
        self.wanted = [*wanted]
        self._book = book
        self._store = store
        self._known: dict[str, float | None] = {}
        self._recalled: dict[str, list[float]] = {}
        self._last: tuple[str, str, Answers | None] | None = None
        self._stamps: dict[int, tuple[RunRecord, str]] = {}
        self._missing: dict[tuple[str, str], list[str]] = {}

    @property
    def notes(self) -> list[str]:
        """One line for each reason why a value is missing, in the order met."""
        lines = []
        for (label, reason), runs in self._missing.items():
            ids = [*dict.fromkeys(runs)]
            lines.append(f"no `{label}` of run{'s' * (len(ids) > 1)} {listing(ids, 3)}: {reason}")
        return lines

    def check_suits(self, records: Iterable[RunRecord]) -> None:
        """Raise UsageError for a metric that suits the task of none of some runs."""
        tasks = {_task(record) for record in records}
        for wanted in self.wanted:
            if tasks and not tasks & {*wanted.metric.tasks}:
                raise UsageError(
                    f"metric `{wanted.label}` is for {listing(wanted.metric.tasks)} tasks, and "
                    f"the runs here are {listing(sorted(tasks))}; see `bench list metrics`"
                )

    def read(self, records: Iterable[RunRecord], split: str = "test") -> None:
        """Ask the index once for what many runs have, and let it remember what it lacked."""
        keys = {}
        for record in records:
            for wanted in self.wanted:
                if _task(record) in wanted.metric.tasks:
                    keys[self._key(record, wanted, split)] = (record, wanted)
        new = [key for key in keys if key not in self._known]
        if not new:
            return
        recalled = self._store.recall([*new, *map(_for_interval, new)])
        numbers = {key: _numbers(text) for key, text in recalled.items()}
        self._recalled |= numbers
        fresh: dict[str, str] = {}
        try:
            for key in new:
                if len(numbers.get(key, ())) == 1:
                    [self._known[key]] = numbers[key]
                    continue
                self._known[key] = self._computed(*keys[key], split)
                if self._known[key] is not None:
                    fresh[key] = json.dumps([self._known[key]])
        finally:  # an interruption loses no more than the value under way
            self._store.remember(fresh)

    def value(self, record: RunRecord, wanted: Wanted, split: str = "test") -> float:
        """Return a metric of a run, NaN where it has none."""
        if _task(record) not in wanted.metric.tasks:
            self._note(wanted, record, f"it is a {_task(record)} task")
            return math.nan
        key = self._key(record, wanted, split)
        if key not in self._known:
            self.read([record], split)
        found = self._known[key]
        if found is not None and math.isnan(found):
            self._note(wanted, record, "its predictions leave it undefined")
        return math.nan if found is None else float(found)

    def measure(self, records: Sequence[RunRecord]) -> dict[str, Measured]:
        """Return by label what is known of a method, from its runs; what is not is left out.

        The interval is that of seeds where there are several, else that of test items.
        """
        self.read(records)
        result = {}
        for wanted in self.wanted:
            found = {record.id: self.value(record, wanted) for record in records}
            known = [record for record in records if math.isfinite(found[record.id])]
            if not known:
                continue
            each = [found[record.id] for record in known]
            if len({*each}) > 1:
                interval, noise = stats.t_interval(each), "seeds"
            else:
                interval, noise = self._of_items(known[0], wanted, each[0]), "items"
            low, high = wanted.metric.bounds
            within = stats.Interval(interval.mean, max(low, interval.low), min(high, interval.high))
            result[wanted.label] = Measured(within, noise, wanted.metric, len(known))
        return result

    def _of_items(self, record: RunRecord, wanted: Wanted, value: float) -> stats.Interval:
        """Return the interval that the test items give a metric of one network."""
        key = _for_interval(self._key(record, wanted, "test"))
        ends = self._recalled.get(key, [])
        if len(ends) == 2:
            return stats.Interval(value, *ends)
        answers = self._answers(record, "test")
        # Remembered, but the predictions are gone: nothing is known but the range.
        if answers is None:
            return stats.Interval(value, *wanted.metric.bounds)
        found = item_interval(answers, wanted, value)
        self._recalled[key] = [found.low, found.high]
        self._store.remember({key: json.dumps(self._recalled[key])})
        return found

    def _computed(self, record: RunRecord, wanted: Wanted, split: str) -> float | None:
        answers = self._answers(record, split)
        if answers is None:
            self._note(wanted, record, f"it has no {split} predictions that can be read")
            return None
        try:
            return compute(answers, wanted)
        except DataError as error:
            self._note(wanted, record, one_line(str(error)))
        return None

    def _answers(self, record: RunRecord, split: str) -> Answers | None:
        """Return a run's answers, of which only the last are kept: there may be 100,000 runs."""
        if self._last is None or self._last[:2] != (record.id, split):
            self._last = record.id, split, self._book.read(record, split)
        return self._last[2]

    def _key(self, record: RunRecord, wanted: Wanted, split: str) -> str:
        """Return what a value is remembered under: all that it is computed from."""
        held = self._stamps.get(id(record))
        if held is None:
            run_id = record.id  # a hash of the whole key
            content = stamp(self._store.folder(run_id)) or ()
            # With the record, so that its place in memory stays its own.
            held = record, digest([run_id, record.finished_at, content])
            self._stamps[id(record)] = held
        return f"metric:{wanted.source}:{split}:{held[1]}"

    def _note(self, wanted: Wanted, record: RunRecord, reason: str) -> None:
        self._missing.setdefault((wanted.label, reason), []).append(record.id)


def compute(answers: Answers, wanted: Wanted) -> float:
    """Return a metric of some answers.

    Raises:
        DataError: they lack what it needs, or the plugin's code failed on them.
        UsageError: a param has a value that it cannot have.
    """
    metric = wanted.metric
    with _calling(wanted):
        value = float(metric.value(answers, wanted.params))
    low, high = metric.bounds
    if not math.isnan(value) and not is_within(value, metric.bounds):
        raise DataError(f"plugin `{wanted.plugin}` gave {value}, which is not in {low} to {high}")
    return min(max(value, low), high)


def is_within(value: float, bounds: tuple[float, float]) -> bool:
    """Return whether a metric has a value that it may have, but for the last digits."""
    low, high = bounds
    return low - _SLACK <= value <= high + _SLACK


@contextlib.contextmanager
def _calling(wanted: Wanted) -> Iterator[None]:
    who = f"metric of plugin `{wanted.plugin}`"
    with calling(f"{who} failed", error=DataError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of a hundred resamples would be a page
        yield


def item_interval(answers: Answers, wanted: Wanted, value: float) -> stats.Interval:
    """Return the 95 % interval that the test items give a metric of one network.

    Wilson's for a share of items, and that of a mean for another mean over items. Else the metric
    with normal quantiles of its bootstrap standard error: percentiles would need more resamples,
    and lie off the value of metrics that resampling biases, as it does calibration errors.
    """
    metric, count = wanted.metric, len(answers.ids)
    if metric.compute is None and metric.per_item is not None:
        with _calling(wanted):
            each = np.asarray(metric.per_item(answers, **wanted.params), np.float64)
        if np.isin(each, (0.0, 1.0)).all():
            return stats.wilson(round(float(each.sum())), count)
        error = float(each.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    else:
        error = _bootstrap_error(answers, wanted)
    half = stats.normal_quantile() * error
    low, high = metric.bounds
    return stats.Interval(value, max(low, value - half), min(high, value + half))


def _bootstrap_error(answers: Answers, wanted: Wanted) -> float:
    """Return the standard deviation of a metric over resamples; infinite where it has too few."""
    generator = np.random.default_rng(0)
    count = len(answers.ids)
    found = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, count, count)
        shares = answers.probabilities
        sample = dataclasses.replace(
            answers,
            classes=answers.names,
            ids=answers.ids[drawn],
            labels=answers.labels[drawn],
            predicted=answers.predicted[drawn],
            probabilities=None if shares is None else shares[drawn],
        )
        with contextlib.suppress(DataError):  # a resample may lack a class that the metric needs
            found.append(compute(sample, wanted))
    finite = [value for value in found if math.isfinite(value)]
    return float(np.std(finite, ddof=1)) if len(finite) > RESAMPLES / 2 else math.inf


def values(
    record: RunRecord,
    names: Iterable[str],
    book: AnswerBook,
    store: Store,
    registry: Registry,
    split: str = "test",
) -> dict[str, float]:
    """Return metrics of a run's stored predictions by name, NaN where it has none.

    Of many runs, a `Scorer` asks the index once.

    Raises:
        UnknownNameError: there is no such metric, or it has no such param.
        ConfigError: a param has the wrong type.
    """
    scorer = Scorer(choose(names, registry), book, store)
    return {wanted.label: scorer.value(record, wanted, split) for wanted in scorer.wanted}


def _task(record: RunRecord) -> Task:
    return Task(record.environment.get("task") or Task.MULTI_CLASS)


def _for_interval(key: str) -> str:
    """Return the key of the interval that the items give a value."""
    return f"{key}:items"


def _numbers(text: str) -> list[float]:
    """Return the numbers that the index holds; none where it is damaged, and they are lost."""
    try:
        return [float(number) for number in json.loads(text)]
    except (ValueError, TypeError):
        return []
