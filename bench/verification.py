"""Whether a published baseline is reached here: an ordinary experiment, and what it came to."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench import api, stats
from bench.baselines import Baseline, Level
from bench.errors import BenchError, UsageError
from bench.records import RunRecord
from bench.rows import percent


class Outcome(enum.StrEnum):
    """What became of a baseline."""

    FAILED = "failed"
    UNMEASURED = "could not measure"
    PASSED = "passed"


@dataclass(frozen=True)
class Verification:
    """A baseline held against what was measured.

    Attributes:
        measured: the mean over the seeds with its 95 % interval; None where there is none.
        noise: what the interval speaks of: `seeds` or `items`.
        n: test images of one run.
        why: one sentence.
        runs: ids of the runs.
        environment: of the first run: versions, device, threads.
        interrupted: whether somebody has stopped it; the same command goes on from there.
    """

    baseline: Baseline
    level: str
    outcome: Outcome
    why: str
    measured: stats.Interval | None = None
    noise: str = ""
    n: int = 0
    seeds: int = 0
    runs: tuple[str, ...] = ()
    environment: Mapping[str, Any] | None = None
    interrupted: bool = False

    @property
    def expected(self) -> Level:
        """What the level expects."""
        return self.baseline.level(self.level)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        expected = self.expected
        known = self.environment or {}
        names = ("bench", "python", "libraries", "device_name", "cores", "threads")
        return {
            "name": self.baseline.name,
            "level": self.level,
            "outcome": str(self.outcome),
            "why": self.why,
            "metric": self.baseline.metric,
            "expected": expected.expected,
            "tolerance": expected.tolerance,
            "measured": asdict(self.measured) if self.measured else None,
            "noise": self.noise,
            "n": self.n,
            "seeds": self.seeds,
            "source": self.baseline.source.model_dump(),
            "differs": self.baseline.differs,
            "runs": list(self.runs),
            "environment": {name: known[name] for name in names if name in known},
        }


def verify(baseline: Baseline, level: str, own: Mapping[str, Any]) -> Verification:
    """Run a level of a baseline and say whether it came to what is expected.

    Args:
        baseline: what is checked.
        level: one of its levels.
        own: keys of an experiment file about where and how to run: `results`, `data_dir`,
            `threads`, and `datasets` for another place of the same data.

    Raises:
        UsageError: there is no such level, or a value of `own` is wrong.
    """
    expected = baseline.level(level)
    try:
        result = api.run(**{**baseline.values(level), **own})
    except UsageError:
        raise
    except BenchError as error:
        why = f"{error}; to get the data: {baseline.data.get}"
        return Verification(baseline, level, Outcome.UNMEASURED, why)
    wanted = int(baseline.values(level).get("seeds", 1))
    rows = result.leaderboard.rows
    row = rows[0] if rows else None
    if row is None or row.score is None or row.seeds < wanted:
        ended = row.seeds if row else 0
        causes = "; ".join(row.errors) if row else ""
        why = f"{ended} of {wanted} runs succeeded" + (f" ({causes})" if causes else "")
        if row is not None and row.content is None:
            why += f"; to get the data: {baseline.data.get}"
        if result.interrupted:
            why += "; interrupted, the same command goes on from here"
        return Verification(
            baseline, level, Outcome.UNMEASURED, why, interrupted=result.interrupted
        )
    done = Verification(
        baseline,
        level,
        Outcome.UNMEASURED,
        _other_data(baseline, row.records[0]),
        measured=row.score,
        noise=row.noise,
        n=row.n,
        seeds=row.seeds,
        runs=tuple(record.id for record in row.records),
        environment=row.records[0].environment,
    )
    if done.why:
        return done
    if row.metric != baseline.metric:
        why = f"the task is ranked by `{row.metric}`, not by `{baseline.metric}`"
        return dataclasses.replace(done, why=why)
    outcome, why = judge(row.score, expected)
    return dataclasses.replace(done, outcome=outcome, why=why)


def judge(measured: stats.Interval, expected: Level) -> tuple[Outcome, str]:
    """Return what a measured value means, and why in one sentence.

    It passes if its mean is as near as the tolerance asks, and fails if all of its interval is
    farther off. Where the interval is wider than the tolerance, or reaches into it from outside,
    more seeds or items would be needed to tell.
    """
    band = f"{expected.expected:.1%} ± {100 * expected.tolerance:.1f} points"
    told = f"measured {percent(measured)}, expected {band}"
    # Values that are exactly at the edge are within it, whatever binary fractions make of them.
    slack = 1e-9
    low = expected.expected - expected.tolerance - slack
    high = expected.expected + expected.tolerance + slack
    if (measured.high - measured.low) / 2 > expected.tolerance:
        return Outcome.UNMEASURED, f"{told}: the noise is wider than the tolerance; more seeds tell"
    if low <= measured.mean <= high:
        return Outcome.PASSED, told
    if measured.high >= low and measured.low <= high:
        return (
            Outcome.UNMEASURED,
            f"{told}: noise may be all that keeps them apart; more seeds tell",
        )
    return Outcome.FAILED, told


def _other_data(baseline: Baseline, record: RunRecord) -> str:
    """Return why the data are not those that the value holds for, or an empty text."""
    counts = {split: int(values.get("n", 0)) for split, values in record.metrics.items()}
    images = int(record.environment.get("train_items", 0)) + sum(counts.values())
    test = counts.get("test", 0)
    if (images, test) == (baseline.data.images, baseline.data.test):
        return ""
    return (
        f"these are other data: {images:,} images, {test:,} of them for the test, where the "
        f"baseline has {baseline.data.images:,} and {baseline.data.test:,}; to get them: "
        f"{baseline.data.get}"
    )
