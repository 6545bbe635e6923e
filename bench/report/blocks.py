"""Leaderboards as tables of a report: cells that sort, intervals, causes, default beside tuned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench import leaderboard, rows, tables
from bench.charts import Chart
from bench.records import canonical
from bench.report import choice, content
from bench.report.choice import Section, Shown
from bench.rows import METRIC_NAMES, SORTS, percent
from bench.text import one_line

GAIN = "against default"
"""The column that says what a search has won."""
LONGEST_ERROR = 300
"""Letters of a cause beside a row; the run's part has its log."""
TEXT = ("model", "optimizer", "tuning", "status")
"""Columns whose values are no numbers."""
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

_SORTED: dict[str, Callable[[rows.Row], Any]] = {
    "rank": lambda row: row.rank,
    "model": lambda row: row.name,
    "optimizer": lambda row: row.optimizer_name,
    "test": SORTS["score"][0],
    "n": lambda row: row.n or None,
    "seeds": lambda row: row.seeds,
    "tuning": lambda row: row.tuning.trials if row.tuning else 0,
    "val": lambda row: row.val_score,
    "train s": SORTS["train_seconds"][0],
    "images/s": SORTS["images_per_second"][0],
    "parameters": SORTS["parameters"][0],
    "input": lambda row: row.input_size,
    "status": lambda row: row.failed,
}
"""What the columns of `bench.tables` are sorted by."""


def block_part(
    section: Section,
    parts: Mapping[str, str],
    *,
    tradeoffs: Sequence[Chart] = (),
    learning: Sequence[Chart] = (),
    reached: content.Table | None = None,
    significance: content.Significance | None = None,
) -> content.Block:
    """Return a block as a report shows it.

    Args:
        section: the block, and what its rows are called.
        parts: by the id of a row, that of the part which tells of one of its runs.
        tradeoffs: the score against what it costs.
        learning: curves, gaps, optimizers side by side.
        reached: the times to a target.
        significance: which rows can be told apart.
    """
    block = section.block
    defaults = _defaults(section.rows)
    headings = tables.headings(block)
    if not any(row.errors for row in block.rows):
        del headings["status"]
    columns = [content.Column(name, text, name not in TEXT) for name, text in headings.items()]
    if defaults:
        place = 1 + [column.name for column in columns].index("test")
        columns.insert(place, content.Column(GAIN, GAIN, True))
    return content.Block(
        section.id,
        block.title,
        block.rows[0].dataset,
        block.answer,
        _footnote(block, bool(defaults)),
        METRIC_NAMES[block.metric],
        tuple(columns),
        tuple(_row(shown, headings, defaults, parts.get(shown.id, "")) for shown in section.rows),
        axis=limits(shown.row.score for shown in section.rows),
        left_out=section.left_out,
        tradeoffs=tuple(tradeoffs),
        learning=tuple(learning),
        reached=reached,
        significance=significance,
    )


def with_room(found: Sequence[content.Block], most: int) -> list[content.Block]:
    """Return blocks with as many charts as there is room for, each block having one in its turn.

    Of a block those of one kind take turns as well: trade-offs, learning, which rows can be told
    apart. A block names the charts that found no room.

    Args:
        found: with all of their charts.
        most: charts in all.
    """
    turns = [
        [
            chart
            for some in itertools.zip_longest(block.tradeoffs, block.learning, _matrix(block))
            for chart in some
            if chart is not None
        ]
        for block in found
    ]
    kept = choice.in_turn(turns, most)
    return [
        block if len(own) == len(every) else _with(block, own, every[len(own) :])
        for block, every, own in zip(found, turns, kept, strict=True)
    ]


def _matrix(block: content.Block) -> tuple[Chart, ...]:
    return (block.significance.chart,) if block.significance else ()


def _with(block: content.Block, kept: Sequence[Chart], lost: Sequence[Chart]) -> content.Block:
    names = {chart.name for chart in kept}
    return replace(
        block,
        tradeoffs=tuple(chart for chart in block.tradeoffs if chart.name in names),
        learning=tuple(chart for chart in block.learning if chart.name in names),
        significance=block.significance if names & {c.name for c in _matrix(block)} else None,
        not_drawn=tuple(chart.title for chart in lost),
    )


def _row(
    shown: Shown, headings: Iterable[str], defaults: Mapping[str, Shown], part: str
) -> content.Row:
    row = shown.row
    texts = tables.cells(row)
    cells = {
        name: content.Value(texts.get(name, "–"), _sort(row, name), _hover(row, name))
        for name in headings
    }
    default = defaults.get(shown.id)
    if defaults:
        cells[GAIN] = _gain(row, default) if default else content.Value("–")
    return content.Row(
        shown.id,
        row.rank,
        row.tie_group,
        shown.label,
        cells,
        _interval(row),
        tuple(one_line(error, LONGEST_ERROR) for error in row.errors),
        tuple(row.runs),
        part,
        row.is_tuned,
        _interval(default.row) if default else None,
    )


def _interval(row: rows.Row) -> tuple[float, float, float] | None:
    score = row.score
    return (score.mean, score.low, score.high) if score else None


def _sort(row: rows.Row, column: str) -> float | str | None:
    value = _SORTED[column](row) if column in _SORTED else row.others.get(column)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _hover(row: rows.Row, column: str) -> str:
    """Return what a number rests on, where its column does not say."""
    if column == "test" and row.score is not None:
        seeds = f"{row.seeds} seed{'s' * (row.seeds != 1)}"
        return f"95 % interval over {row.noise}; {row.n:,} test images, {seeds}"
    if column == "val" and row.val_score is not None:
        return f"{row.val_n:,} val images; val selects, test reports"
    if column in ("train s", "images/s") and row.shared:
        return "its runs shared their device: not to be compared"
    return ""


def _gain(row: rows.Row, default: Shown) -> content.Value:
    """Return what the search of a tuned row has won over its default params."""
    assert row.score is not None
    assert default.row.score is not None
    gain = row.score.mean - default.row.score.mean
    hover = f"tuned {percent(row.score)}, default {percent(default.row.score)}"
    return content.Value(f"{100 * gain:+.1f}", gain, hover, default.id)


def _defaults(shown: Sequence[Shown]) -> dict[str, Shown]:
    """Return the row of its default params for each tuned row that has one, by row id."""
    plain: dict[str, list[Shown]] = {}
    for each in shown:
        if not each.row.is_tuned and not each.row.members and each.row.score is not None:
            plain.setdefault(_place(each.row, each.row.params), []).append(each)
    found = {}
    for each in shown:
        row = each.row
        if row.tuning is None or not row.is_tuned or row.score is None:
            continue
        # What a study has asked for names no dataset's params, which all rows of a block share.
        asked = {**row.tuning.asked, "dataset": row.params.get("dataset", {})}
        [default, *more] = plain.get(_place(row, asked), [None])
        if default is None or more or default.row.score is None:
            continue
        found[each.id] = default
    return found


def _place(row: rows.Row, params: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what is equal for a tuned row and for the default that its search began with."""
    return canonical(
        [row.model, row.weights, row.optimizer, row.device, row.devices, row.draw, params]
    )


def _footnote(block: leaderboard.Block, gains: bool) -> str:
    text = tables.footnote(block)
    if gains:
        text += f" `{GAIN}`: points of the test score that a search has won over default params."
    return text.strip()


def limits(scores: Iterable[Any]) -> tuple[float, float]:
    """Return round ends of an axis, 0 to 1, that holds the intervals of all scores.

    Args:
        scores: intervals, or None.
    """
    known = [score for score in scores if score is not None]
    low = min((score.low for score in known), default=0.0)
    high = max((score.high for score in known), default=1.0)
    step = next((step for step in _STEPS if high - low <= 8 * step), 0.5)
    first = max(0.0, math.floor(low / step + 1e-9) * step)
    last = min(1.0, math.ceil(high / step - 1e-9) * step)
    if first == last:
        first, last = max(0.0, first - step), min(1.0, last + step)
    return round(first, 6), round(last, 6)
