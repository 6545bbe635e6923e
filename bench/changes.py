"""How the rows of one side of a comparison differ from those of the other: B less A.

What cannot be compared says why, and is never guessed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeGuard

from bench import comparison, pairing, stats
from bench.records import RunRecord
from bench.rows import METRIC_NAMES, succeeded
from bench.sides import Entry, JointBook, Side

EXACT = ("parameters", "flops")
"""Measured without noise."""
TIMES = ("train_seconds", "images_per_second", "latency_ms")
"""Measured on a device that must be the same one, and nobody else's meanwhile."""
MEASURED = (*TIMES, *EXACT)
HIGHER_IS_BETTER = ("images_per_second",)
"""Of what is measured; the rest is better if it is less."""
LOWER_IS_BETTER = ("log_loss", "brier", "expected_calibration_error")
"""Of the metrics on test; of all others more is better."""
NO_PROPORTIONS = (*MEASURED, "log_loss", "brier")
SAME = "the same runs"


def direction(metric: str) -> float:
    """Return 1 for a metric of which more is better, else -1."""
    lower = (*(name for name in MEASURED if name not in HIGHER_IS_BETTER), *LOWER_IS_BETTER)
    return -1.0 if metric in lower else 1.0


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
        metric: its name.
        a: its mean over the runs of A; None where it is not known.
        b: likewise of B.
        difference: of `b - a`, in the metric's own unit; None where it could not be measured.
        why: why not, in a few words.
        of_networks: whether it compares two networks of one seed, and not the methods.
        seeds: runs on the side that has fewer.
    """

    metric: str
    a: float | None = None
    b: float | None = None
    difference: Shift | None = None
    why: str = ""
    of_networks: bool = False
    seeds: int = 0

    @property
    def better(self) -> float:
        """1 where more is better, else -1."""
        return direction(self.metric)

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
        if self.metric in NO_PROPORTIONS:
            return f"{value:{form},.0f}" if self.metric in EXACT else f"{value:{form}.4f}"
        return f"{100 * value:{form}.2f}{' pp' if unit else ''}"

    def shown(self, value: float | None) -> str:
        """Return a mean as tables show it."""
        if value is None:
            return "–"
        if self.metric in NO_PROPORTIONS:
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


def compare(a: Side, b: Side, metrics: Sequence[str] = ()) -> Comparison:
    """Compare two sides.

    Args:
        a: what B is held against.
        b: the other.
        metrics: what to compare besides the metric that ranks.
    """
    book = JointBook([a, b])
    matched, only_a, only_b = pairing.match(a, b)
    pairs = []
    for one, other in matched:
        names = dict.fromkeys([str(other.plain["metric"]), *metrics])
        changes = [_change(name, one, other, book) for name in names]
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


def _change(metric: str, a: Entry, b: Entry, book: JointBook) -> Change:
    """Return how a metric differs between two rows."""
    means = _mean(metric, a), _mean(metric, b)
    change = Change(metric, *means, seeds=min(int(e.plain["seeds"]) for e in (a, b)))
    why = _obstacle(metric, a, b, means)
    if why:
        return _with(change, why=why)
    found, why = _measured(metric, a, b) if metric in MEASURED else _scored(metric, a, b, book)
    is_same = found is not None and found.test == SAME
    networks = metric not in MEASURED and change.seeds < 2 and not is_same
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


def _mean(metric: str, entry: Entry) -> float | None:
    """Return the mean of a metric over the runs of a row that have it."""
    if entry.row is None:
        told = entry.plain["metrics"].get(metric)
        value = told["mean"] if told else entry.plain.get(metric) if metric in MEASURED else None
        return float(value) if _is_number(value) else None
    values = _values(metric, entry)
    return statistics.fmean(values) if values else None


def _values(metric: str, entry: Entry) -> list[float]:
    """Return a metric of each run of a row that has it."""
    found = []
    for record in succeeded(entry.row) if entry.row else ():
        value = _place(metric, record).get(metric)
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


def _scored(metric: str, a: Entry, b: Entry, book: JointBook) -> tuple[Shift | None, str]:
    """Compare a metric on the test items."""
    if _are_same(a, b, (_mean(metric, a), _mean(metric, b))):
        return Shift(0.0, 0.0, 0.0, 1.0, SAME), ""
    if a.row is None or b.row is None:
        return _from_intervals(metric, a, b)
    if metric == a.plain["metric"]:
        found = Shift.of(comparison.compare(succeeded(b.row), succeeded(a.row), book))
        return found, "" if found else "no predictions are stored"
    values = [_values(metric, entry) for entry in (a, b)]
    if min(map(len, values)) > 1 and len({*values[0]} | {*values[1]}) > 1:
        return Shift.of(stats.welch(values[1], values[0])), ""
    return None, f"the noise of `{metric}` shows with two seeds or more on each side"


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
    p = math.erfc(1.959964 * abs(estimate) / reach / math.sqrt(2)) if reach else float(not estimate)
    return Shift(estimate, low, high, p, "intervals of the saved leaderboard")


def _measured(metric: str, a: Entry, b: Entry) -> tuple[Shift | None, str]:
    """Compare what was measured of size and speed."""
    means = _mean(metric, a), _mean(metric, b)
    assert means[0] is not None
    assert means[1] is not None
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
        return _of_quartiles(a, b)
    logs = [[math.log(value) for value in _values(metric, entry)] for entry in (a, b)]
    if min(map(len, logs)) < 2 or len({*logs[0]} | {*logs[1]}) < 2:
        return None, f"the noise of `{metric}` shows with two seeds or more on each side"
    found = stats.welch(logs[1], logs[0])
    change, low, high = (
        means[0] * math.expm1(end) for end in (found.estimate, found.low, found.high)
    )
    return Shift(change, low, high, found.p, "Welch's t on logarithms"), ""


def _of_quartiles(a: Entry, b: Entry) -> tuple[Shift | None, str]:
    """Compare latencies by the quartiles of their repetitions; seeds of a row share them."""
    found = []
    for name, entry in (("A", a), ("B", b)):
        profiles = [record.profile for record in succeeded(entry.row)] if entry.row else []
        if any(profile.get("profiled_alone") is False for profile in profiles):
            return None, f"the latency of {name} was measured beside other runs"
        try:
            lows = [float(profile["latency_low_ms"]) for profile in profiles]
            highs = [float(profile["latency_high_ms"]) for profile in profiles]
        except (KeyError, TypeError, ValueError):
            return None, "the spread of `latency_ms` is not recorded"
        middle = statistics.fmean(_values("latency_ms", entry))
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
