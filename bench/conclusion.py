"""The sentence that answers the question: which row to choose, or what would tell them apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench import comparison, stats
from bench.answers import AnswerBook
from bench.rows import METRIC_NAMES, Row, percent, succeeded

MOST_NAMES = 5
"""Rows of a tie that are named."""


def conclude(ranked: Sequence[Row], labels: Mapping[int, str], book: AnswerBook) -> str:
    """Return what the ranked rows of a block come to, in a sentence.

    Args:
        ranked: in the order of their ranks.
        labels: how to call each, by the row's `id()`.
        book: predictions of their runs.
    """
    if not ranked:
        return "no run succeeded; its rows say why"
    best = ranked[0]
    assert best.score is not None
    leader = labels[id(best)]
    if len(ranked) == 1:
        what = "" if best.metric == "accuracy" else f" {METRIC_NAMES[best.metric]}"
        return f"{leader} reaches {percent(best.score)}{what} on {_ground(best)}"
    rival = ranked[1]
    found = comparison.compare(succeeded(best), succeeded(rival), book)
    tied = [row for row in ranked if row.tie_group == 1]
    ground = _ground(best, rival)
    if len(tied) == 1:
        return f"{leader} is ahead of {labels[id(rival)]} by {lead(found)} on {ground}" + meaning(
            found
        )
    names = [labels[id(row)] for row in tied]
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} more"]
    answer = f"{', '.join(names[:-1])} and {names[-1]} cannot be told apart on {ground}"
    if not any(row.shared for row in tied):
        quick = min(tied, key=lambda row: row.train_seconds or math.inf)
        answer += f"; {labels[id(quick)]} trains fastest"
    return f"{answer}; {_remedy(found, best, rival, len(ranked))}"


def lead(found: stats.Difference) -> str:
    """Return a difference of scores with its interval, in points."""
    text = f"{100 * found.estimate:.1f} points"
    if math.isnan(found.low):
        return text
    return f"{text} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def meaning(found: stats.Difference) -> str:
    """Return what a difference that was found speaks of."""
    if found.test is stats.Test.CROSSED:
        return ", the noise of both counted"
    if found.test is stats.Test.WELCH:
        return "; of other test images this says nothing, since predictions are missing"
    return "; this compares two networks, `--seeds 5` compares the methods"


def _remedy(found: stats.Difference, best: Row, rival: Row, rows: int) -> str:
    """Return what would separate the best two of a tie."""
    seeds = min(best.seeds, rival.seeds)
    if not found.test.of_methods:
        more = 5 if seeds < 5 else 2 * seeds  # of several seeds that all came to the same score
        return f"this compares networks, `--seeds {more}` compares the methods"
    need = stats.needed(found, seeds, stats.pairs(rows))
    apart = f"the {abs(100 * found.estimate):.2g} points between the best two"
    if need.seeds is None and need.items is None:
        beyond = f"{stats.MOST_SEEDS} seeds"
        if not math.isnan(need.share):
            beyond += f" or {stats.MOST_ITEMS} times the images"
        return f"{apart} are too few to be told from nothing by {beyond}"
    ways = []
    if need.seeds is not None:
        ways.append(f"`--seeds {need.seeds}`")
    if need.items is not None:
        ways.append(f"{need.items:g} times the test images")
    if need.share < 0.5:
        ways.reverse()
    noise = "" if math.isnan(need.share) else f", {_dominating(need.share)}"
    return f"if {apart} are real, it takes {' or '.join(ways)} to show it{noise}"


def _dominating(share: float) -> str:
    """Return which noise has the larger part of a variance."""
    if share >= 0.5:
        return f"since {share:.0%} of the noise is of seeds"
    return f"since {1 - share:.0%} of the noise is of test images"


def _ground(*rows: Row) -> str:
    """Return the test images and seeds that a statement rests on."""
    counts = sorted({row.seeds for row in rows})
    said = "one seed" if counts == [1] else f"{' and '.join(map(str, counts))} seeds"
    return f"{rows[0].n:,} test images with {said}"
