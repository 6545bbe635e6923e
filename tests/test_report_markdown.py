"""Reports as Markdown: what is told, what is escaped, how long it may be."""

from __future__ import annotations

import re
from dataclasses import replace

import report_samples
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.charts import Axis, Chart, Dot
from bench.report.content import Block, Column, Content, Row, RunPart, Settings, Value
from bench_reports import markdown

READER = MarkdownIt("commonmark").enable("table")


def block_of(rows: tuple[Row, ...], title: str = "shapes") -> Block:
    columns = (Column("rank", "rank", numeric=True), Column("model", "model"))
    return Block("b0", title, "shapes", "a is ahead", "95 % over seeds", "accuracy", columns, rows)


def row_of(number: int, label: str, rank: int | None = 1, errors: tuple[str, ...] = ()) -> Row:
    cells = {"rank": Value(str(rank)), "model": Value(label)}
    return Row(f"b0-r{number}", rank, rank, label, cells, errors=errors)


def content_of(*blocks: Block, **fields: object) -> Content:
    content = Content("shapes", "2026-01-01", "1.0", "1 run", blocks)
    return replace(content, **fields)


def test_the_answer_comes_before_the_table_and_causes_after_it() -> None:
    bad = row_of(1, "b", None, ("oom: no memory",))
    text = markdown.render(content_of(block_of((row_of(0, "a"), bad))))
    places = [text.index(each) for each in ("a is ahead", "| rank | model |", "oom: no memory")]
    assert places == sorted(places)
    assert "| 1 | a |" in text


def test_a_rich_report_is_told_whole() -> None:
    text = markdown.render(report_samples.rich())
    assert len(text) < 65_536
    for block in report_samples.rich().blocks:
        assert block.reached is None or block.reached.title in text
    assert "<details>" in text
    assert text.count("<details>") == text.count("</details>")
    assert "more rows" not in text


def test_settings_say_how_many_rows_are_not_told_of() -> None:
    content = report_samples.rich()
    content = replace(content, settings=replace(content.settings, left_out=7))
    assert "and 7 more rows" in markdown.render(content)


def test_a_large_report_fits_into_a_comment_and_says_what_is_missing() -> None:
    rows = tuple(row_of(place, f"model {place}", place + 1) for place in range(1000))
    blocks = [block_of(rows, f"set {number}") for number in range(100)]
    text = markdown.render(content_of(*blocks))
    assert len(text) < 65_536
    assert "Left out for its length" in text
    assert "and 970 more" in text


def test_what_is_cut_from_a_front_or_from_the_settings_is_counted() -> None:
    dots = tuple(Dot(float(x), x / 20, hover=f"model {x}") for x in range(15))
    chart = Chart("t", "t", Axis("seconds"), Axis("accuracy"), dots)
    own = {f"b0-r{row}": {f"n{name}": "1" for name in range(15)} for row in range(50)}
    settings = Settings(rows=tuple((row, row) for row in own), own=own)
    text = markdown.render(content_of(replace(block_of(()), tradeoffs=(chart,)), settings=settings))
    assert "| seconds | model 0 |" in text
    assert "| seconds | model 14 |" in text
    assert "5 more between these" in text
    assert "and 10 more rows and 3 more settings" in text


def test_commands_in_sentences_are_code() -> None:
    block = replace(block_of(()), answer="a_b leads; `--seeds 5` compares them")
    assert r"**Answer:** a\_b leads; `--seeds 5` compares them" in markdown.render(
        content_of(block)
    )


def test_no_name_becomes_markup() -> None:
    text = markdown.render(report_samples.hostile())
    text.encode("utf-8")  # no half of a surrogate pair
    own = re.sub(r"</?(details|summary)>", "", text)
    html = READER.render(own)
    # All tags of the result are those that Markdown itself makes.
    tags = {*re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", html)}
    known = "h1 h2 h3 p strong em ul li table thead tbody tr th td pre code ol hr br"
    assert tags <= {*known.split()}
    assert "href" not in html


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_row_is_one_line_of_as_many_cells_as_columns(name: str, error: str) -> None:
    text = markdown.render(content_of(block_of((row_of(0, name, None, (error,)),))))
    (line,) = (line for line in text.splitlines() if line.startswith("| None"))
    assert len(re.findall(r"(?<!\\)\|", line)) == 3


@given(st.text(alphabet="`a \n~", max_size=30))
def test_no_command_ends_its_block_of_code(command: str) -> None:
    run = RunPart("run-1", "1", "a, seed 0", "b0-r0", command=command)
    html = READER.render(markdown.render(content_of(runs=(run,))))
    assert html.count("<pre>") == (1 if command.strip() else 0)
    if command.strip():
        assert html.split("<pre>")[1].split("</pre>")[1].strip() == "</details>"
