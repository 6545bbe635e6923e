"""How the rows of one side of a comparison differ from those of the other: B less A.

What cannot be compared says why, and is never guessed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeGuard

import numpy as np

from bench import comparison, metrics, pairing, scoring, stats
from bench.answers import AnswerBook
from bench.errors import UnknownNameError
from bench.records import RunRecord
from bench.registry import Registry
from bench.rows import METRIC_NAMES, succeeded
from bench.sides import Entry, JointBook, Side
from bench.specs import Metric

EXACT = ("parameters", "flops")
"""Measured without noise."""
TIMES = ("train_seconds", "images_per_second", "latency_ms")
"""Measured on a device that must be the same one, and nobody else's meanwhile."""
MEASURED = (*TIMES, *EXACT)
HIGHER_IS_BETTER = ("images_per_second",)
"""Of what is measured; the rest is better if it is less."""
SAME = "the same runs"


@dataclass(frozen=True)
class Quantity:
    """A number that rows are compared by.

    Attributes:
        name: of what was measured, of a metric in the records, or of one that a plugin offers.
        lower_is_better: whether less is better.
        is_proportion: whether it is a part of 1, which is told in points.
        wanted: how it is computed from predictions; None for what only records have.
    """

    name: str
    lower_is_better: bool = False
    is_proportion: bool = True
    wanted: scoring.Wanted | None = None


def quantity(name: str, registry: Registry | None = None) -> Quantity:
    """Return what is known of a number before anybody has it.

    Args:
        name: `latency_ms`, a metric, or one with params as `scoring.choose` reads them.
        registry: who offers metrics; without it there are only those of the records.

    Raises:
        UnknownNameError: a metric has no such param.
        ConfigError: a param without a value, or of another type than its default.
    """
    if name in MEASURED:
        return Quantity(name, name not in HIGHER_IS_BETTER, is_proportion=False)
    if registry is not None:
        try:
            registry.get(Metric.kind, name.partition(":")[0])
        except UnknownNameError:
            pass  # the metrics that a record has for its task, as `mean_average_precision`
        else:
            [wanted] = scoring.choose([name], registry)
            found = wanted.metric
            return Quantity(name, found.lower_is_better, found.bounds == (0.0, 1.0), wanted)
    lower = name in metrics.LOWER_IS_BETTER
    return Quantity(name, lower, is_proportion=not lower)


@dataclass(frozen=True)
class Shift:
    """What is known of `b - a`, in a metric's own unit.

    Attributes:
        p: probability of a shift at least as large if there were none; 0 or 1 where only the
            interval is known.
        test: what the interval comes from.
    """

    estimate: float
    low: float
    high: float
    p: float
    test: str

    @classmethod
    def of(cls, found: stats.Difference) -> Self | None:
        """Return what a test has found, or None where there was none to make."""
        if found.test == "none" or math.isnan(found.p):
            return None
        return cls(found.estimate, found.low, found.high, found.p, str(found.test))


@dataclass(frozen=True)
class Change:
    """What is known of a metric of B less that of A.

    Attributes:
        quantity: what differs.
        a: its mean over the runs of A; None where it is not known.
        b: likewise of B.
        difference: of `b - a`, in the metric's own unit; None where it could not be measured.
        why: why not, in a few words.
        of_networks: whether it compares two networks of one seed, and not the methods.
        seeds: runs on the side that has fewer.
    """

    quantity: Quantity
    a: float | None = None
    b: float | None = None
    difference: Shift | None = None
    why: str = ""
    of_networks: bool = False
    seeds: int = 0

    @property
    def metric(self) -> str:
        """The name of what differs."""
        return self.quantity.name

    @property
    def better(self) -> float:
        """1 where more is better, else -1."""
        return -1.0 if self.quantity.lower_is_better else 1.0

    @property
    def told(self) -> str:
        """The change with its interval, in words: `changed by -0.3 pp (-1.2 to +0.6)`."""
        found = self.difference
        if found is None:
            return f"is not known ({self.why})"
        if found.test == SAME:
            return f"is that of {SAME}"
        if found.low == found.high == 0:
            return "is unchanged"
        if found.low == found.high:
            return f"changed by {self.spoken(found.estimate)}"
        low, high = (self.spoken(end, unit=False) for end in (found.low, found.high))
        return f"changed by {self.spoken(found.estimate)} ({low} to {high})"

    def spoken(self, value: float, *, signed: bool = True, unit: bool = True) -> str:
        """Return an amount of change: in points of a proportion, in per cent of A for times."""
        form = "+" if signed else ""
        if self.metric in TIMES and self.a:
            return f"{100 * value / self.a:{form}.1f}{' %' if unit else ''}"
        if not self.quantity.is_proportion:
            return f"{value:{form},.0f}" if self.metric in EXACT else f"{value:{form}.4f}"
        return f"{100 * value:{form}.2f}{' pp' if unit else ''}"

    def shown(self, value: float | None) -> str:
        """Return a mean as tables show it."""
        if value is None:
            return "–"
        if not self.quantity.is_proportion:
            return f"{value:,.0f}" if self.metric in EXACT else f"{value:,.4g}"
        return f"{value:.1%}"


@dataclass(frozen=True)
class Pair:
    """A row that both sides have.

    Attributes:
        differing: fields of what the runs were made with, and their values in A and in B.
        changes: the metric that ranks first, then those that were asked for.
    """

    a: Entry
    b: Entry
    differing: Sequence[tuple[str, Any, Any]]
    changes: Sequence[Change]

    @property
    def score(self) -> Change:
        """The change of the metric that ranks."""
        return self.changes[0]


@dataclass(frozen=True)
class Comparison:
    """Two sides, row by row.

    Attributes:
        only_a: rows without a counterpart in B.
        only_b: rows without a counterpart in A.
    """

    a: Side
    b: Side
    pairs: Sequence[Pair]
    only_a: Sequence[Entry]
    only_b: Sequence[Entry]

    def corrected(self, metric: str | None = None) -> dict[int, float]:
        """Return the p-values of a metric over all pairs, Holm-corrected, by the place of the pair.

        Args:
            metric: its name; None for the one that ranks each row.
        """
        found = {}
        for place, pair in enumerate(self.pairs):
            for change in pair.changes:
                told = change.metric == metric or (metric is None and change is pair.score)
                if told and change.difference is not None:
                    found[place] = change.difference.p
        return dict(zip(found, stats.holm([*found.values()]), strict=True))


def compare(a: Side, b: Side, asked: Sequence[Quantity] = ()) -> Comparison:
    """Compare two sides.

    Args:
        a: what B is held against.
        b: the other.
        asked: what to compare besides the metric that ranks.
    """
    book = JointBook([a, b])
    matched, only_a, only_b = pairing.match(a, b)
    pairs = []
    for one, other in matched:
        ranking = quantity(str(other.plain["metric"]))
        named = {each.name: each for each in (ranking, *asked)}
        changes = [_change(each, one, other, book) for each in named.values()]
        pairs.append(Pair(one, other, pairing.differing(one, other), changes))
    return Comparison(a, b, pairs, only_a, only_b)


def known_metrics(a: Side, b: Side) -> list[str]:
    """Return the names of all metrics that a row of either side has."""
    names = dict.fromkeys(MEASURED)
    for entry in (*a.entries, *b.entries):
        names |= dict.fromkeys(name for name in entry.plain["metrics"] if name[:4] != "val_")
        for record in succeeded(entry.row) if entry.row else ():
            test = record.metrics.get("test", {})
            names |= dict.fromkeys(
                name
                for name, value in test.items()
                if name != "n" and isinstance(value, int | float)
            )
    return [*names]


def _change(of: Quantity, a: Entry, b: Entry, book: JointBook) -> Change:
    """Return how a number differs between two rows."""
    metric = of.name
    means = _mean(of, a, book), _mean(of, b, book)
    change = Change(of, *means, seeds=min(int(e.plain["seeds"]) for e in (a, b)))
    why = _obstacle(metric, a, b, means)
    if why:
        return _with(change, why=why)
    measured = metric in MEASURED
    found, why = _measured(of, a, b, book) if measured else _scored(of, a, b, means, book)
    is_same = found is not None and found.test == SAME
    networks = not measured and change.seeds < 2 and not is_same
    return _with(change, difference=found, why=why, of_networks=networks)


def _with(change: Change, **fields: Any) -> Change:
    return Change(**{**vars(change), **fields})


def _obstacle(metric: str, a: Entry, b: Entry, means: tuple[float | None, float | None]) -> str:
    """Return why two rows cannot be compared in a metric at all, or an empty text."""
    for name, entry in (("A", a), ("B", b)):
        if not int(entry.plain["seeds"]):
            causes = "; ".join(map(str, entry.plain["errors"]))
            return f"no run of {name} succeeded ({causes or 'none is there'})"
    if a.content and b.content and a.content != b.content:
        return f"their data differ (content {a.content[:8]} and {b.content[:8]})"
    ranking = [str(entry.plain["metric"]) for entry in (a, b)]
    if ranking[0] != ranking[1]:
        told = " and ".join(METRIC_NAMES.get(name, name) for name in ranking)
        return f"their tasks are not the same: they are ranked by {told}"
    for name, mean in zip(("A", "B"), means, strict=True):
        if mean is None:
            return f"{name} has no `{metric}`"
    return ""


def _mean(of: Quantity, entry: Entry, book: JointBook) -> float | None:
    """Return the mean of a number over the runs of a row that have it."""
    metric = of.name
    if entry.row is None:
        told = entry.plain["metrics"].get(metric)
        value = told["mean"] if told else entry.plain.get(metric) if metric in MEASURED else None
        return float(value) if _is_number(value) else None
    values = _values(of, entry, book)
    return statistics.fmean(values) if values else None


def _values(of: Quantity, entry: Entry, book: AnswerBook) -> list[float]:
    """Return a number of each run of a row that has it, computed where the record lacks it."""
    found = []
    for record in succeeded(entry.row) if entry.row else ():
        value = _place(of.name, record).get(of.name)
        if value is None and of.wanted is not None:
            answers = book.read(record, "test")
            value = None if answers is None else float(np.mean(of.wanted.measure(answers)))
        if _is_number(value):
            found.append(float(value))
    return found


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _place(metric: str, record: RunRecord) -> Mapping[str, Any]:
    if metric in ("train_seconds", "images_per_second"):
        return record.timing
    return record.profile if metric in MEASURED else record.metrics.get("test", {})


def _are_same(a: Entry, b: Entry, means: Sequence[float | None]) -> bool:
    """Return whether two rows are made of the same runs, which came to the same."""
    ids = [sorted(map(str, entry.plain.get("runs") or ())) for entry in (a, b)]
    if not ids[0] or ids[0] != ids[1] or means[0] is None or means[1] is None:
        return False
    return math.isclose(means[0], means[1], rel_tol=1e-9)


def _scored(
    of: Quantity,
    a: Entry,
    b: Entry,
    means: tuple[float | None, float | None],
    book: JointBook,
) -> tuple[Shift | None, str]:
    """Compare a metric on the test items."""
    if _are_same(a, b, means):
        return Shift(0.0, 0.0, 0.0, 1.0, SAME), ""
    if a.row is None or b.row is None:
        return _from_intervals(of.name, a, b)
    measure = of.wanted.measure if of.wanted else None
    found = comparison.compare(succeeded(b.row), succeeded(a.row), book, of.name, measure)
    shift = Shift.of(found)
    return shift, "" if shift else "no predictions are stored from which its noise could be known"


def _from_intervals(metric: str, a: Entry, b: Entry) -> tuple[Shift | None, str]:
    """Compare by what saved leaderboards tell: each row's mean with its interval."""
    sides = []
    for entry in (a, b):
        told = entry.plain["metrics"].get(metric) or {}
        ends = [told.get(name) for name in ("mean", "low", "high")]
        if not all(map(_is_number, ends)):
            return None, f"a saved leaderboard has no interval of `{metric}`"
        sides.append(stats.Interval(*(float(end) for end in ends if _is_number(end))))
    return difference_of(*sides), ""


def difference_of(a: stats.Interval, b: stats.Interval) -> Shift:
    """Return `b - a` from the 95 % intervals of two independent estimates.

    By the method of variance estimates recovery (Zou and Donner 2008), which for Wilson's
    intervals is Newcombe's (1998, method 10). The p-value takes the distance to the end of the
    interval nearer to zero as 1.96 standard errors.
    """
    estimate = b.mean - a.mean
    low = estimate - math.hypot(b.mean - b.low, a.high - a.mean)
    high = estimate + math.hypot(b.high - b.mean, a.mean - a.low)
    reach = estimate - low if estimate > 0 else high - estimate
    p = (
        stats.normal_tails(stats.normal_quantile() * estimate / reach)
        if reach
        else float(not estimate)
    )
    return Shift(estimate, low, high, p, "intervals of the saved leaderboard")


def _measured(of: Quantity, a: Entry, b: Entry, book: JointBook) -> tuple[Shift | None, str]:
    """Compare what was measured of size and speed."""
    metric = of.name
    known = [mean for mean in (_mean(of, a, book), _mean(of, b, book)) if mean is not None]
    assert len(known) == 2
    means = known[0], known[1]
    if metric in EXACT:
        gap = means[1] - means[0]
        return Shift(gap, gap, gap, float(gap == 0), "exact"), ""
    why = _disturbed(a, b)
    if why:
        return None, why
    if _are_same(a, b, means):
        return Shift(0.0, 0.0, 0.0, 1.0, SAME), ""
    if a.row is None or b.row is None:
        return None, f"a saved leaderboard has no interval of `{metric}`"
    if metric == "latency_ms":
        return _of_quartiles(a, b, means)
    logs = [[math.log(value) for value in _values(of, entry, book)] for entry in (a, b)]
    if min(map(len, logs)) < 2 or len({*logs[0]} | {*logs[1]}) < 2:
        return None, f"the noise of `{metric}` shows with two seeds or more on each side"
    found = stats.welch(logs[1], logs[0])
    change, low, high = (
        means[0] * math.expm1(end) for end in (found.estimate, found.low, found.high)
    )
    return Shift(change, low, high, found.p, "Welch's t on logarithms"), ""


def _of_quartiles(a: Entry, b: Entry, means: Sequence[float]) -> tuple[Shift | None, str]:
    """Compare latencies by the quartiles of their repetitions; seeds of a row share them."""
    found = []
    for name, entry, middle in (("A", a, means[0]), ("B", b, means[1])):
        profiles = [record.profile for record in succeeded(entry.row)] if entry.row else []
        if any(profile.get("profiled_alone") is False for profile in profiles):
            return None, f"the latency of {name} was measured beside other runs"
        try:
            lows = [float(profile["latency_low_ms"]) for profile in profiles]
            highs = [float(profile["latency_high_ms"]) for profile in profiles]
        except (KeyError, TypeError, ValueError):
            return None, "the spread of `latency_ms` is not recorded"
        when = {profile.get("profiled_at") for profile in profiles}
        found.append((middle, min(lows), max(highs), when))
    (middle_a, low_a, high_a, when_a), (middle_b, low_b, high_b, when_b) = found
    if when_a == when_b != {None}:
        # The same model on the same machine is not measured again.
        return Shift(0.0, 0.0, 0.0, 1.0, "one measurement for both"), ""
    low, high = (middle_a * (ratio - 1) for ratio in (low_b / high_a, high_b / low_a))
    p = float(low <= 0 <= high)
    return Shift(middle_b - middle_a, low, high, p, "quartiles of repetitions"), ""


def _disturbed(a: Entry, b: Entry) -> str:
    """Return why times of two rows cannot be compared, or an empty text."""
    for name, entry in (("A", a), ("B", b)):
        if entry.plain.get("shared_device"):
            return f"runs of {name} shared their device with others"
    seen = [_machines(entry) for entry in (a, b)]
    for what, *found in zip(("device", "threads", "precision"), *seen, strict=False):
        if found[0] != found[1]:
            told = " and ".join(", ".join(sorted(each)) or "unknown" for each in found)
            return f"they were measured on another {what}: {told}"
    return ""


def _machines(entry: Entry) -> list[set[str]]:
    """Return the devices, and for runs the threads and precisions, that a row was measured with."""
    if entry.row is None:
        return [{str(entry.plain.get("device"))}]
    known: Iterable[Mapping[str, Any]] = [r.environment for r in succeeded(entry.row)]
    names = ("threads", "precision")
    return [{entry.row.device}, *({str(e.get(name)) for e in known} for name in names)]
