"""Which rows of a block can be told apart, pair by pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from bench import stats
from bench.charts import Axis, Cell, Chart
from bench.report.choice import Section, Shown
from bench.report.content import Column, Significance, Table, Value
from bench.report.pairs import Pairs
from bench.rows import METRIC_NAMES

NARROW = 6
"""Rows up to which a matrix is read in half the width of a page."""
FAINTEST = 0.2
"""How strong the colour of the smallest difference is that was told apart."""
_COLUMNS = (
    Column("first", "row"),
    Column("second", "against"),
    Column("difference", "difference", True),
    Column("p", "p, corrected", True),
    Column("raw", "p, alone", True),
    Column("test", "test"),
    Column("apart", "told apart"),
)


def matrix(section: Section, known: Sequence[Shown], pairs: Pairs) -> Significance | None:
    """Return the comparisons of all pairs of some rows; None of fewer than two.

    Args:
        section: the block.
        known: rows, best first.
        pairs: of these.
    """
    if not pairs.found:
        return None
    places = [*itertools.combinations(range(len(known)), 2)]
    found, corrected = pairs.found, pairs.corrected
    metric = METRIC_NAMES[section.block.metric]
    largest = max(
        (abs(each.estimate) for each in found if not math.isnan(each.estimate)), default=0
    )
    cells: list[Cell] = []
    lines = []
    for (a, b), each, p in zip(places, found, corrected, strict=True):
        hover = _sentence(known[a].label, known[b].label, each, p, len(found))
        apart = p < stats.ALPHA
        depth = _depth(each.estimate, largest) if apart else 0.0
        cells.append(Cell(b, a, depth, _points(each.estimate, apart), hover))
        cells.append(Cell(a, b, -depth, _points(-each.estimate, apart), hover))
        lines.append(_line(known[a].label, known[b].label, each, p))
    axis = Axis("", categories=tuple(shown.label for shown in known))
    note = _note(known, found, len(section.ranked))
    chart = Chart(
        f"{section.id}-significance",
        f"Test {metric} of each row less that of each column",
        axis,
        axis,
        tuple(cells),
        note="In points. Coloured: told apart at 5 %, corrected for all pairs; in brackets: not.",
        wide=len(known) > NARROW,
    )
    return Significance(chart, Table("Pairs", _COLUMNS, tuple(lines)), note)


def _depth(difference: float, largest: float) -> float:
    """Return how strong the colour of a difference is: that of a small one can be seen too."""
    return math.copysign(FAINTEST + (1 - FAINTEST) * abs(difference) / largest, difference)


def _points(difference: float, apart: bool) -> str:
    if math.isnan(difference):
        return "–"
    points = 100 * difference
    # As short as can be, for a dozen columns on a telephone; pointing at it says more.
    text = f"{points:+.1f}" if abs(points) < 9.95 else f"{points:+.0f}"
    return text if apart else f"({text})"


def _sentence(first: str, second: str, found: stats.Difference, p: float, pairs: int) -> str:
    if math.isnan(found.estimate):
        return f"{first} and {second}: there is no score of both"
    lead = "ahead of" if found.estimate >= 0 else "behind"
    text = f"{first} is {abs(100 * found.estimate):.1f} points {lead} {second}"
    if math.isnan(found.p):
        return f"{text}; nothing tells how sure that is"
    low, high = sorted(
        (100 * found.low, 100 * found.high)
        if found.estimate >= 0
        else (-100 * found.low, -100 * found.high)
    )
    text += f" (95 %: {low:.1f} to {high:.1f}); p {_p(p)}"
    text += f" corrected for {pairs} pairs, {_p(found.p)} alone" if pairs > 1 else ""
    return f"{text}; {found.test}{'' if found.test.of_methods else ', of two networks'}"


def _line(first: str, second: str, found: stats.Difference, p: float) -> tuple[Value, ...]:
    tested = not math.isnan(found.p)
    difference = "–" if math.isnan(found.estimate) else f"{100 * found.estimate:+.1f} points"
    if tested:
        difference += f" ({100 * found.low:.1f} to {100 * found.high:.1f})"
    return (
        Value(first, first),
        Value(second, second),
        Value(difference, None if math.isnan(found.estimate) else found.estimate),
        Value(_p(p), p) if tested else Value("–"),
        Value(_p(found.p), found.p) if tested else Value("–"),
        Value(str(found.test), str(found.test)),
        Value("yes", 1) if p < stats.ALPHA else Value("no", 0),
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.995 else "1"


def _note(known: Sequence[Shown], found: Sequence[stats.Difference], ranked: int) -> str:
    """Return how it was tested and corrected, and what it does not say."""
    tests = [*dict.fromkeys(each.test for each in found if each.test is not stats.Test.NONE)]
    said = ", ".join(map(str, tests)) or "none, since nothing tells of the noise"
    corrected = (
        f"p-values corrected for {len(found)} pairs (Holm)" if len(found) > 1 else "one pair"
    )
    parts = [f"Test: {said}; {corrected}."]
    if any(not test.of_methods for test in tests):
        parts.append("Of one seed these are networks, not methods: another seed may say otherwise.")
    if any(test is stats.Test.WELCH for test in tests):
        parts.append("Welch's test speaks of these test images alone: predictions are missing.")
    if ranked > len(known):
        parts.append(f"The best {len(known)} of {ranked:,} rows with a score.")
    parts.append(
        "Ranks come from tie groups: each starts at the best row left, whose pairs are corrected "
        "as part of all pairs of the rows left. So a pair may be told apart here and share a rank, "
        "or the other way round."
    )
    return " ".join(parts)
