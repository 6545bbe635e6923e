"""All charts of a report, each with the name of its file and a title that stands alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bench.charts import Axis, Chart, Dot, Unit
from bench.report.content import Block, Content

MOST_RANKED = 30
"""Rows of a block whose scores are drawn."""


def charts_of(content: Content) -> Iterator[tuple[str, Chart]]:
    """Yield the charts of a report in its order: of blocks, over them, of runs, of studies."""
    for block in content.blocks:
        ranking = ranking_of(block)
        found = [] if ranking is None else [ranking]
        found += [*block.tradeoffs, *block.learning]
        found += [block.significance.chart] if block.significance is not None else []
        yield from _told(found, block.title)
    yield from _told((each.chart for each in content.findings if each.chart is not None), "")
    for run in content.runs:
        yield from _told(run.charts, run.label)
    for study in content.studies:
        yield from _told(study.charts, study.title)


def ranking_of(block: Block) -> Chart | None:
    """Return the scores of a block's rows with their intervals; None where no row has one."""
    known = [row for row in block.rows if row.interval is not None][:MOST_RANKED]
    dots = []
    for place, row in enumerate(known):
        assert row.interval is not None
        mean, low, high = row.interval
        # Rows of one tie group look alike, those beside it differ.
        dots.append(Dot(mean, place, hollow=(row.tie_group or 0) != 1, x_low=low, x_high=high))
    if not dots:
        return None
    names = tuple(row.label if row.rank is None else f"{row.rank}  {row.label}" for row in known)
    fewer = sum(row.interval is not None for row in block.rows) + block.left_out - len(known)
    more = f" {fewer:,} further rows are not drawn." if fewer else ""
    tied = "Filled: cannot be told apart from the best; the number before a row is its rank."
    return Chart(
        f"{block.id}-ranking",
        f"Test {block.metric}",
        Axis(f"test {block.metric}", Unit.SHARE),
        Axis("", categories=names),
        tuple(dots),
        note=f"{tied}{more} {block.footnote}",
        wide=True,
    )


def _told(charts: Iterable[Chart], what: str) -> Iterator[tuple[str, Chart]]:
    for chart in charts:
        title = f"{what} · {chart.title}" if what else chart.title
        # What it shows comes first, since a long name is cut.
        yield f"{chart.name}-{what}", replace(chart, title=title)
