"""What the templates of the page ask for: numbers and bytes as text that they can place."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median

from markupsafe import Markup, escape

from bench.charts import Chart
from bench.charts.svg import draw
from bench.report.content import Block, Column, Image, Row, Settings, Value

WIDE, HALF, NARROW = 1060, 510, 345
"""Pixels that charts are drawn for: a row of the page, half of one, and a third or a phone."""

TOLD = ("rank", "model", "optimizer", "status")
"""Columns of leaderboards that rank, label and errors tell of already."""
STEP = 0.05
"""Where an axis of the page begins if it leaves rows out: a multiple of it."""
_CODE = re.compile("`([^`]+)`")


def drawn(chart: Chart, small: bool = False) -> Markup:
    """Return a chart as SVG, for wide and for narrow pages, of which the style shows one.

    Args:
        chart: what is drawn.
        small: whether a third of a row is enough for it, which phones can show as it is.
    """
    if small and not chart.wide:
        return Markup(draw(chart, width=NARROW))  # `draw` escapes all text
    wide = draw(chart, width=WIDE if chart.wide else HALF)
    return Markup(  # `draw` escapes all text
        f'<div class="on-wide">{wide}</div><div class="on-narrow">{draw(chart, width=NARROW)}</div>'
    )


def digest(text: str) -> str:
    """Return the source expression by which a security policy allows an inline text."""
    sha256 = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(sha256).decode()}"


def data_address(image: Image) -> str:
    """Return the bytes of a picture as an address."""
    return f"data:{image.media};base64,{base64.b64encode(image.data).decode()}"


def numbered(images: Mapping[str, Image]) -> dict[str, str]:
    """Return a short id for each picture, as a page names it often."""
    return {key: f"i{number}" for number, key in enumerate(images)}


def sort_key(value: Value) -> str | None:
    """Return what a cell is sorted by; None where its text says the same."""
    if value.sort is None or value.sort != value.sort:
        return None
    if isinstance(value.sort, str):
        return None if value.sort == value.text else value.sort
    key = f"{value.sort:.7g}"
    return None if key == value.text.replace(",", "") else key


def scale(block: Block) -> tuple[float, float]:
    """Return the ends between which the page draws the intervals of a block.

    They are those of its axis, but for a few rows far behind, such as what has hardly learned:
    where the others would share less than half of the axis, it begins at these, and an arrow stands
    for what lies before. Far behind is whose mean trails the middle one three times as far as that
    trails the best.
    """
    low, high = block.axis
    intervals = [row.interval for row in block.rows if row.interval]
    if len(intervals) < 3:
        return block.axis
    middle = median(mean for mean, _, _ in intervals)
    best = max(mean for mean, _, _ in intervals)
    edge = middle - 3 * (best - middle)
    first = min(below for mean, below, _ in intervals if mean >= edge)
    first = math.floor(first / STEP + 1e-9) * STEP
    return (first, high) if high - first < (high - low) / 2 else block.axis


def drawn_interval(
    interval: tuple[float, float, float], axis: tuple[float, float], middle: float, tick: float
) -> str:
    """Return the path of an interval in a box 100 wide: its line, and a tick at its mean.

    What lies before the axis is an arrow to the left, and a mean there has no tick.

    Args:
        interval: mean, low and high, in the units of the axis.
        axis: its ends.
        middle: how far down the line is.
        tick: how far the tick and the arrow reach from the line, up and down.
    """
    low, high = axis
    width = (high - low) or 1.0
    mean, first, last = (100 * (value - low) / width for value in interval)
    path = ""
    if first < 0:
        path += (
            f"M{2 * tick:.4g} {middle - tick:.4g}L0 {middle:.4g} {2 * tick:.4g} {middle + tick:.4g}"
        )
    if last > 0:
        path += f"M{max(first, 0.0):.4g} {middle:.4g}H{min(last, 100.0):.4g}"
    if 0 <= mean <= 100:
        path += f"M{mean:.4g} {middle - tick:.4g}v{2 * tick:.4g}"
    return path


def percent(share: float) -> str:
    """Return a share as its axis names it: `85%`, `99.5%`."""
    return f"{100 * share:.4g}%"


def tied(rows: Sequence[Row]) -> set[int]:
    """Return the tie groups of several rows."""
    counted = Counter(row.tie_group for row in rows if row.tie_group is not None)
    return {group for group, number in counted.items() if number > 1}


def lead(answer: str) -> tuple[str, str]:
    """Return the first clause of an answer, which stands large, and what goes with it."""
    first, _, rest = answer.partition("; ")
    return first, rest


def differing(settings: Settings) -> list[str]:
    """Return the names of the settings that some rows do not share, in the order they come in."""
    return list(dict.fromkeys(name for own in settings.own.values() for name in own))


def own_columns(block: Block) -> list[Column]:
    """Return the columns of a leaderboard beside what the page shows of each row by itself."""
    return [column for column in block.columns if column.name not in TOLD]


def titles_of(blocks: Sequence[Block]) -> dict[str, str]:
    """Return the title of its block for the id of each row."""
    return {row.id: block.title for block in blocks for row in block.rows}


def prose(text: str) -> Markup:
    """Return a sentence, escaped, with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # escaped


def moment(stamp: str) -> str:
    """Return a time of ISO 8601 to the minute, as people read it; other text as it is."""
    try:
        when = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when.tzinfo else stamp
