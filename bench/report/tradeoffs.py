"""The score of rows against what they cost, with the Pareto front.

The front goes by means: a row stands on it where no other is as cheap and scores as much, and
better in one of both. Intervals say how sure the score is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import tables
from bench.charts import Axis, Chart, Dot, Line, Mark, Unit
from bench.charts.scales import ranges_widely
from bench.report.choice import MOST_SERIES, Section, Shown
from bench.rows import METRIC_NAMES, Row, percent
from bench.text import duration, one_line

MOST_WHISKERS = 40
"""Rows up to which each dot has its interval drawn; of more, those on the front."""
MOST_LABELS = 6
"""Rows on the front that have their name beside them."""
OTHERS = "others"
"""What the series of all names beyond the first seven is called."""


@dataclass(frozen=True)
class Cost:
    """Something that rows cost.

    Attributes:
        name: for files and ids.
        title: in words.
        of: its value of a row; None where it is not known.
        said: a value in words.
        timed: whether it is a time, which holds on one device that nobody shared.
    """

    name: str
    title: str
    unit: Unit
    of: Callable[[Row], float | None]
    said: Callable[[float], str]
    timed: bool = True


COSTS = (
    Cost(
        "latency",
        "latency of one image",
        Unit.MILLISECONDS,
        lambda row: row.latency_ms,
        lambda value: f"{value:.3g} ms",
    ),
    Cost(
        "parameters",
        "parameters",
        Unit.COUNT,
        lambda row: row.parameters,
        lambda value: f"{tables.count(round(value))} parameters",
        timed=False,
    ),
    Cost(
        "train-time",
        "train time",
        Unit.SECONDS,
        lambda row: row.train_seconds,
        lambda value: f"{duration(value)} of training",
    ),
)


def charts(section: Section, parts: Mapping[str, str], most: int) -> tuple[Chart, ...]:
    """Return the score of a block's rows against latency, parameters and train time.

    A cost that no two rows have different is not drawn.

    Args:
        section: the block.
        parts: by the id of a row, that of the part which tells of one of its runs.
        most: rows that are drawn beside those on the front; the best ones.
    """
    found = (_chart(section, cost, parts, most) for cost in COSTS)
    return tuple(chart for chart in found if chart is not None)


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other beats, the cheapest first.

    Args:
        points: cost, of which less is better, and score, of which more is.
    """
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1]))
    best, kept = (math.nan, -math.inf), []
    for place in order:
        if points[place][1] > best[1] or points[place] == best:
            kept.append(place)
            best = points[place]
    return kept


def series_of(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[int]]:
    """Return what tells rows apart by colour, models or optimizers, and the place of each row.

    It is whichever are fewer, if they are several; of many the first seven have a colour each.

    Args:
        rows: best first.
    """
    kinds = ([one_line(row.model) for row in rows], [one_line(row.optimizer) for row in rows])
    several = [names for names in kinds if len({*names}) > 1]
    if not several:
        return (), [0] * len(rows)
    names = min(several, key=lambda each: len({*each}))
    known = [*dict.fromkeys(names)]
    if len(known) > MOST_SERIES:
        known = [*known[: MOST_SERIES - 1], OTHERS]
    return tuple(known), [known.index(n) if n in known else len(known) - 1 for n in names]


def _chart(section: Section, cost: Cost, parts: Mapping[str, str], most: int) -> Chart | None:
    known = [(shown, cost.of(shown.row)) for shown in section.ranked]
    usable = [(shown, value) for shown, value in known if value is not None and value > 0]
    notes: list[str] = []
    if cost.timed:
        usable, notes = _comparable(usable)
    if len({value for _, value in usable}) < 2:
        return None
    usable.sort(key=lambda pair: -_mean(pair[0]))
    points = [(value, _mean(shown)) for shown, value in usable]
    best = front(points)
    drawn = [*dict.fromkeys([*range(min(len(usable), most)), *best])]
    names, series = series_of([usable[place][0].row for place in drawn])
    metric = METRIC_NAMES[section.block.metric]
    marks: list[Mark] = [_stepped([points[place] for place in best], points)]
    # Those on the front come last, so that nothing is drawn over them.
    for place, number in sorted(zip(drawn, series, strict=True), key=lambda p: p[0] in best):
        shown, value = usable[place]
        on_front = place in best
        score = shown.row.score
        assert score is not None
        whiskers = on_front or len(drawn) <= MOST_WHISKERS
        marks.append(
            Dot(
                value,
                score.mean,
                number,
                label=shown.label if on_front and len(best) <= MOST_LABELS else "",
                hover=f"{shown.label}: {percent(score)}, {cost.said(value)}",
                link=parts.get(shown.id, shown.id),
                hollow=not on_front,
                y_low=score.low if whiskers else None,
                y_high=score.high if whiskers else None,
            )
        )
    fewer = len(usable) - len(drawn)
    notes += [f"{fewer:,} rows with lower scores are not drawn."] if fewer else []
    values = [usable[place][1] for place in drawn]
    return Chart(
        f"{section.id}-{cost.name}",
        f"Test {metric} against {cost.title}",
        Axis(cost.title, cost.unit, log=ranges_widely(values)),
        Axis(f"test {metric}", Unit.SHARE),
        tuple(marks),
        names,
        " ".join(["Filled: no other row is as cheap and scores as much, by their means.", *notes]),
    )


def _comparable(
    usable: list[tuple[Shown, float]],
) -> tuple[list[tuple[Shown, float]], list[str]]:
    """Return the rows whose times can be compared, and a sentence for what is left out."""
    notes = []
    alone = [pair for pair in usable if not pair[0].row.shared]
    if shared := len(usable) - len(alone):
        rows = "row" if shared == 1 else "rows"
        notes.append(f"{shared:,} {rows} whose runs shared their device: their times say nothing.")
    devices = Counter((pair[0].row.device, pair[0].row.devices) for pair in alone)
    if len(devices) > 1:
        (device, number), _ = devices.most_common(1)[0]
        alone = [
            pair for pair in alone if (pair[0].row.device, pair[0].row.devices) == (device, number)
        ]
        times = f"{number} × " if number > 1 else ""
        notes.append(f"Times on {times}{one_line(device)} only, as they hold on one device.")
    return alone, notes


def _mean(shown: Shown) -> float:
    score = shown.row.score
    assert score is not None
    return score.mean


def _stepped(best: Sequence[tuple[float, float]], points: Sequence[tuple[float, float]]) -> Line:
    """Return the front as a line that holds its score until a dearer row scores more."""
    corners = [*best, (max(cost for cost, _ in points), best[-1][1])]
    return Line(
        tuple(cost for cost, _ in corners),
        tuple(score for _, score in corners),
        series=-1,
        hover="Pareto front",
        stepped=True,
    )
