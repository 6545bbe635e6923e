"""Metrics that somebody asks for when results are read, from the stored predictions of runs.

Each value is computed once and remembered in the index, under a key that holds all that it was
computed from. The core's own metrics, which select and rank, are those of `bench.metrics`.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bench import provenance, stats
from bench.answers import AnswerBook
from bench.errors import BenchError, ConfigError, UnknownNameError
from bench.records import RunRecord, digest
from bench.registry import Registry
from bench.specs import Answers, Metric, Task
from bench.store import Store
from bench.text import did_you_mean, listing, one_line
from bench.words import parse_value

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
        code = [provenance.component_source(self.metric.compute)]
        if self.metric.per_item is not None:
            code.append(provenance.component_source(self.metric.per_item))
        libraries = [provenance.library_version(name) for name in ("numpy", "scikit-learn")]
        return digest([VERSION, self.metric.name, dict(self.params), code, libraries])


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
    name, *options = text.split(":")
    offer = registry.get(Metric.kind, name)
    metric = offer.component
    assert isinstance(metric, Metric)
    params = dict(metric.defaults)
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"metric `{text}`: params are written `{name}:PARAM=VALUE`")
        if key not in params:
            known = f"it has {listing(params)}" if params else "it has none"
            hint = did_you_mean(key, params)
            raise UnknownNameError(f"metric `{name}` has no param `{key}`{hint}; {known}")
        params[key] = _like(metric.defaults[key], parse_value(value), text)
    return Wanted(text, metric, offer.plugin.name, params)


def _like(default: Any, value: Any, text: str) -> Any:
    """Return a value as the type of the default it replaces."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if default is not None and type(value) is not type(default):
        raise ConfigError(f"metric `{text}`: {value!r} is no {type(default).__name__}")
    return value


class Scorer:
    """Values and intervals of some metrics, of any number of runs.

    Attributes:
        wanted: the metrics.
        notes: one line for each reason why a value is missing, in the order met.
    """

    def __init__(self, wanted: Sequence[Wanted], book: AnswerBook, store: Store) -> None:
        raise NotImplementedError

    def value(self, record: RunRecord, wanted: Wanted, split: str = "test") -> float:
        """Return a metric of a run, NaN where it has none."""
        raise NotImplementedError


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
    raise NotImplementedError
