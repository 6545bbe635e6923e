"""Limits that a comparison must keep: `accuracy:-0.5pp,latency_ms:+10%`.

A limit says how far a metric may move to the worse. A regression is real where the interval of
the change lies wholly beyond the limit and a fall that small chance would bring among so many rows
is excluded (Holm). Where the interval is wider than the limit and reaches beyond it, nothing can
be said, and that is not passed off as success.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench import stats
from bench.changes import MEASURED, Change, Comparison, Pair, Quantity, quantity
from bench.errors import ConfigError
from bench.registry import Registry
from bench.text import did_you_mean, listing
from bench.words import split_outside_brackets

_LIMIT = re.compile(
    r"\s*(?P<metric>[\w.-]+)\s*:\s*(?P<sign>[+-])\s*(?P<size>\d+\.?\d*(?:e-?\d+)?|\.\d+)"
    r"\s*(?P<unit>pp|%|)\s*",
    re.IGNORECASE,
)


class Verdict(enum.StrEnum):
    """What became of a limit in a row."""

    REGRESSED = "regressed"
    UNMEASURED = "could not measure"
    KEPT = "kept"


@dataclass(frozen=True)
class Limit:
    """How far a metric may move to the worse.

    Attributes:
        size: in `unit`, not negative.
        unit: `pp`, `%` of the mean of A, or empty for the metric's own.
        text: as the user wrote it.
        quantity: what is limited.
    """

    metric: str
    size: float
    unit: str
    text: str
    quantity: Quantity

    def allowed(self, change: Change) -> float:
        """Return the limit in the metric's own unit."""
        if self.unit == "%":
            return self.size / 100 * abs(change.a or 0.0)
        return self.size / 100 if self.unit == "pp" else self.size


@dataclass(frozen=True)
class Finding:
    """What a limit says of a row.

    Attributes:
        pair: the row; None where there is none to look at.
        why: one sentence.
    """

    limit: Limit
    verdict: Verdict
    why: str
    pair: Pair | None = None


def parse(text: str, registry: Registry | None = None) -> list[Limit]:
    """Read `METRIC:-NUMBERpp` and so on, separated by commas.

    Args:
        text: what the user wrote.
        registry: who offers metrics besides those of the records.

    Raises:
        ConfigError: a part is no limit, or would fail on a change to the better.
    """
    if not text.strip():
        raise ConfigError("`--fail-on` is empty; write for example accuracy:-0.5pp")
    limits = []
    for part in split_outside_brackets(text):
        found = _LIMIT.fullmatch(part)
        if not found:
            raise ConfigError(
                f"`--fail-on` has `{part.strip()}`, which is no limit; write METRIC:-NUMBER or "
                "METRIC:+NUMBER, with `pp`, `%` or nothing behind: accuracy:-0.5pp"
            )
        metric, unit = found["metric"], found["unit"].lower()
        limited = quantity(metric, registry)
        if unit == "pp" and not limited.is_proportion:
            raise ConfigError(
                f"`--fail-on`: `{metric}` is no proportion, so `pp` means nothing; "
                f"write {metric}:{found['sign']}{found['size']}%"
            )
        worse = "+" if limited.lower_is_better else "-"
        if found["sign"] != worse:
            way = "rises" if found["sign"] == "+" else "falls"
            raise ConfigError(
                f"`--fail-on`: `{part.strip()}` would fail where `{metric}` {way}, which is to the "
                f"better; write {metric}:{worse}{found['size']}{unit}"
            )
        limits.append(Limit(metric, float(found["size"]), unit, part.strip(), limited))
    return limits


def check_known(limits: Sequence[Limit], known: Sequence[str]) -> None:
    """Refuse limits of metrics that no row has and no plugin offers.

    Raises:
        ConfigError: there is such a limit.
    """
    for limit in limits:
        if limit.metric not in known and limit.quantity.wanted is None:
            hint = did_you_mean(limit.metric, known)
            raise ConfigError(
                f"`--fail-on`: no row has a metric `{limit.metric}`{hint}; "
                f"there are {listing(known, 20)}"
            )


def judge(comparison: Comparison, limits: Sequence[Limit]) -> list[Finding]:
    """Return what each limit says of each row, the gravest first."""
    findings = []
    for limit in limits:
        corrected = comparison.corrected(limit.metric)
        for place, pair in enumerate(comparison.pairs):
            change = next(each for each in pair.changes if each.metric == limit.metric)
            verdict, why = _verdict(limit, change, pair, comparison, corrected.get(place, 1.0))
            findings.append(Finding(limit, verdict, f"{pair.b.title}: {why}", pair))
        if comparison.only_a:
            count = len(comparison.only_a)
            rows = "1 row" if count == 1 else f"{count} rows"
            named = listing((entry.label for entry in comparison.only_a), 3)
            why = f"B lacks {rows} of A ({named}), so their {limit.metric} is not known"
            findings.append(Finding(limit, Verdict.UNMEASURED, why))
        if not comparison.pairs and not comparison.only_a:
            why = f"{limit.metric}: A has no rows to hold B against"
            findings.append(Finding(limit, Verdict.UNMEASURED, why))
    order = [*Verdict]
    return sorted(findings, key=lambda finding: order.index(finding.verdict))


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 for a real regression, else 3 where something could not be measured, else 0."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.REGRESSED in verdicts:
        return 1
    return 3 if Verdict.UNMEASURED in verdicts else 0


def _verdict(
    limit: Limit, change: Change, pair: Pair, comparison: Comparison, p: float
) -> tuple[Verdict, str]:
    """Return what a limit says of one change, and the sentence without the row's name."""
    found = change.difference
    metric = limit.metric
    if found is None:
        return Verdict.UNMEASURED, f"{metric} could not be compared: {change.why}"
    allowed = limit.allowed(change)
    amount = change.spoken(allowed, signed=False)
    told = f"{metric} {change.told}"
    # As a move to the worse: what is above `allowed` is beyond the limit.
    worst, least = sorted((-change.better * found.low, -change.better * found.high), reverse=True)
    if least > allowed:
        named = comparison.a.what == comparison.b.what == "run"
        if change.of_networks and not named:
            return (
                Verdict.UNMEASURED,
                f"{told}, but with one seed that may be the seed's doing; "
                "run both sides with `--seeds 3` or more",
            )
        if p >= stats.ALPHA:
            return (
                Verdict.UNMEASURED,
                f"{told}, but among {len(comparison.pairs)} rows chance may do that "
                f"(p {p:.2f} after Holm); more seeds tell",
            )
        return Verdict.REGRESSED, f"{told}, beyond the {amount} allowed ({found.test})"
    half = (worst - least) / 2
    if worst > allowed and half > allowed:
        noise = change.spoken(half, signed=False)
        return (
            Verdict.UNMEASURED,
            f"{told}: noise of {noise} either way is wider than the {amount} allowed; "
            + ("repeat both" if limit.metric in MEASURED else "more seeds narrow it"),
        )
    if change.of_networks and comparison.a.what != "run":
        return (
            Verdict.UNMEASURED,
            f"{told}, which compares two networks; "
            "the noise of the method shows with `--seeds 3` or more on both sides",
        )
    beyond = "" if worst <= allowed else "; more than that is possible, but not shown"
    return Verdict.KEPT, f"{told}, {amount} allowed{beyond}"
