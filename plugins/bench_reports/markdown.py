"""A report as Markdown: for pull requests, wikis and terminals, in which charts become tables.

All that comes from outside is escaped; the HTML in it (`<details>`) is the format's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.charts import Chart, Dot
from bench.report.content import (
    Block,
    Content,
    DatasetPart,
    RunPart,
    Settings,
    Significance,
    StudyPart,
    Table,
    Value,
)
from bench.text import listing, markdown_cell, one_line

LIMIT = 60_000
"""Letters of a report; GitHub takes 65,536 in a comment."""
MOST_ROWS = 30
"""Rows of a leaderboard; those that failed come besides."""
MOST_FAILURES = 10
MOST_ON_FRONT = 10
MOST_PAIRS = 12
MOST_SETTINGS = 40
MOST_NAMES = 12
LONGEST = 300
"""Letters of a value."""


def render(content: Content) -> str:
    """Return Markdown that fits into a comment of a pull request.

    A section that does not fit beside those before it is left out, and named.
    """
    sections = [(title, text) for title, text in _sections(content) if text]
    shown: list[str] = []
    left_out: list[str] = []
    room = LIMIT
    for title, text in sections:
        if len(text) + 2 <= room:
            shown.append(text)
            room -= len(text) + 2
        else:
            left_out.append(title)
    if left_out:
        names = listing((one_line(title, 60) for title in left_out), 10)
        shown.append(f"_Left out for its length: {markdown_cell(names)}._")
    # Half of a surrogate pair, which a name may hold, is no text that a file can have.
    return ("\n\n".join(shown) + "\n").encode("utf-8", "replace").decode("utf-8")


def _sections(content: Content) -> Iterable[tuple[str, str]]:
    """Yield the parts of a report with their titles, the most telling ones first."""
    yield "title", _head(content)
    for block in content.blocks:
        yield block.title, _block(block)
    for finding in content.findings:
        text = f"**{_cell(finding.title)}**: {_prose(finding.sentence)}"
        yield finding.title, text
    for block in content.blocks:
        yield f"{block.title}: trade-offs", _tradeoffs(block)
        if block.reached is not None:
            yield f"{block.title}: {block.reached.title}", _folded(block.reached, block.title)
        if block.significance is not None:
            yield f"{block.title}: significance", _pairs(block.significance, block.title)
    for study in content.studies:
        yield study.title, _study(study)
    for dataset in content.datasets:
        yield dataset.name, _dataset(dataset)
    yield "settings", _settings(content.settings)
    yield "runs", _runs(content.runs)


def _head(content: Content) -> str:
    made = f"Made {_cell(content.made)} by bench {_cell(content.version)}."
    lines = [f"# {_cell(content.title)}", "", f"{_prose(content.counts)}. {made}"]
    if content.warnings:
        lines += ["", *(f"- warning: {_cell(warning)}" for warning in content.warnings[:10])]
        if len(content.warnings) > 10:
            lines.append(f"- and {len(content.warnings) - 10} more")
    return "\n".join(lines)


def _block(block: Block) -> str:
    ranked = [row for row in block.rows if row.rank is not None]
    failed = [row for row in block.rows if row.rank is None]
    shown = [*ranked[:MOST_ROWS], *failed[:MOST_FAILURES]]
    lines = [f"## {_cell(block.title)}", "", f"**Answer:** {_prose(block.answer)}", ""]
    columns = [column for column in block.columns if column.name != "status"]
    empty = Value("–")
    cells = ([row.cells.get(column.name, empty) for column in columns] for row in shown)
    lines += _table([(c.heading, c.numeric) for c in columns], cells)
    more = len(block.rows) - len(shown) + block.left_out
    if more:
        lines += ["", f"and {more:,} more"]
    causes = [(row.label, error) for row in block.rows for error in row.errors]
    if causes:
        told = causes[:MOST_FAILURES]
        lines += ["", *(f"- failed: {_cell(label)}: {_cell(error)}" for label, error in told)]
        if len(causes) > len(told):
            lines.append(f"- and {len(causes) - len(told):,} more")
    ties = "Rows of one rank cannot be told apart from the best of them. " if ranked else ""
    return "\n".join([*lines, "", ties + _prose(block.footnote)]).rstrip()


def _tradeoffs(block: Block) -> str:
    """Return the rows on the Pareto front of each trade-off, the cheapest first."""
    rows = [
        (chart.x.label, told)
        for chart in block.tradeoffs
        for told in _from_both_ends(_front(chart))
    ]
    if not rows:
        return ""
    lines = _table(
        [("against", False), ("no other row is as cheap and scores as much", False)],
        ([Value(against), Value(told)] for against, told in rows),
    )
    return "\n".join([f"### Trade-offs: {_cell(block.title)}", "", *lines])


def _front(chart: Chart) -> list[str]:
    dots = [mark for mark in chart.marks if isinstance(mark, Dot) and not mark.hollow]
    return [dot.hover for dot in sorted(dots, key=lambda dot: (dot.x, dot.y))]


def _from_both_ends(told: list[str]) -> list[str]:
    """Return the cheapest and the best of a front, and how many are between them."""
    between = len(told) - MOST_ON_FRONT
    if between <= 0:
        return told
    half = MOST_ON_FRONT // 2
    return [*told[:half], f"{between:,} more between these", *told[-half:]]


def _pairs(found: Significance, title: str) -> str:
    table = found.table
    shown = Table(
        "Which rows can be told apart", table.columns, table.rows[:MOST_PAIRS], found.note
    )
    more = len(table.rows) - len(shown.rows)
    return _folded(shown, title, f"and {more:,} more pairs" if more else "")


def _study(study: StudyPart) -> str:
    facts = "; ".join(f"{_cell(name)}: {_cell(value)}" for name, value in study.facts)
    text = f"**Tuning of {_cell(study.title)}**: {_prose(study.answer)}"
    return f"{text} ({facts})" if facts else text


def _dataset(dataset: DatasetPart) -> str:
    facts = "; ".join(f"{_cell(name)}: {_cell(value)}" for name, value in dataset.facts)
    lines = [f"**Dataset {_cell(dataset.name)}**" + (f": {facts}" if facts else "")]
    lines += [""] if dataset.warnings else []
    return "\n".join([*lines, *(f"- {_prose(warning)}" for warning in dataset.warnings[:10])])


def _settings(settings: Settings) -> str:
    """Return in what rows differ; what all have alike is left to other formats."""
    names = [*dict.fromkeys(name for own in settings.own.values() for name in own)]
    told, rows = names[:MOST_NAMES], settings.rows[:MOST_SETTINGS]
    if not told or not rows:
        return ""
    columns = [("row", False), *((name, False) for name in told)]
    values = (
        [Value(label), *(Value(settings.own.get(row, {}).get(name, "–")) for name in told)]
        for row, label in rows
    )
    lines = _table(columns, values)
    missing = {
        "rows": len(settings.rows) - len(rows) + settings.left_out,
        "settings": len(names) - len(told),
    }
    more = [f"{number:,} more {what}" for what, number in missing.items() if number]
    if more:
        lines += ["", f"and {' and '.join(more)}"]
    return _details("Settings in which rows differ", lines)


def _runs(runs: Sequence[RunPart]) -> str:
    """Return how runs learned, and what trains them again."""
    lines: list[str] = []
    for run in runs:
        said = f": {_cell(run.sentence)}" if run.sentence else ""
        lines.append(f"- {_cell(run.label)} (`{_plain(run.run)}`){said}")
    commands = [command for run in runs if (command := _plain(run.command))]
    if commands:
        # A fence that no command can close, whatever stands in it.
        ticks = max(len(each) for each in re.findall("`+", "\n".join(["``", *commands])))
        fence = "`" * (ticks + 1)
        lines += ["", f"{fence}sh", *dict.fromkeys(commands), fence]
    return _details("Runs in detail, and the commands that train them again", lines)


def _folded(table: Table, title: str, more: str = "") -> str:
    columns = [(column.heading, column.numeric) for column in table.columns]
    lines = _table(columns, table.rows)
    lines += ["", more] if more else []
    lines += ["", _prose(table.note)] if table.note else []
    return _details(f"{table.title} · {title}", lines)


def _details(summary: str, lines: Sequence[str]) -> str:
    """Return lines that are shown once a reader opens them; Markdown wants blank lines around."""
    if not lines:
        return ""
    # Within HTML, Markdown is no markup and its escapes would show; `&` and `<` are escaped here.
    text = one_line(summary, LONGEST).replace("&", "&amp;").replace("<", "&lt;")
    return "\n".join([f"<details><summary>{text}</summary>", "", *lines, "", "</details>"])


def _table(columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[Value]]) -> list[str]:
    head = "| " + " | ".join(_cell(heading) for heading, _ in columns) + " |"
    rule = "|" + "|".join("--:" if numeric else ":--" for _, numeric in columns) + "|"
    body = ("| " + " | ".join(_cell(value.text) for value in row) + " |" for row in rows)
    return [head, rule, *body]


def _cell(text: str, limit: int = LONGEST) -> str:
    return markdown_cell(one_line(text, limit))


def _prose(text: str) -> str:
    """Return a sentence, escaped, with what stands between backticks as code."""
    parts = re.split("`([^`]+)`", one_line(text, 2000))
    return "".join(
        f"`{part}`" if odd % 2 else markdown_cell(part) for odd, part in enumerate(parts)
    )


def _plain(text: str) -> str:
    """Return text that stands in a block of code as it is."""
    return one_line(text, 5000)
