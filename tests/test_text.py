from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import text


def test_the_nearest_word_is_suggested() -> None:
    assert text.did_you_mean("epoch", ["epochs", "seeds"]) == " (did you mean `epochs`?)"


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert text.did_you_mean("zebra", ["epochs", "seeds"]) == ""
    assert text.did_you_mean("epoch", []) == ""


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, ""), (1, "`0`"), (3, "`0`, `1`, `2`"), (5, "`0`, `1`, `2` and 2 more")],
)
def test_long_listings_are_cut(count: int, expected: str) -> None:
    assert text.listing(map(str, range(count)), limit=3) == expected


@given(st.text(max_size=40), st.integers(1, 30))
@settings(deadline=None)
def test_one_line_is_printable_and_short(words: str, limit: int) -> None:
    line = text.one_line(words, limit)
    assert len(line) <= limit
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)


def test_one_line_keeps_what_fits() -> None:
    assert text.one_line("a red\x1b[31m word", 7) == "a red …"
    assert text.one_line(" a\n\tb ") == "a b"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.85, "850 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (89.4, "89 s"),
        (89.6, "1 min 30 s"),
        (185, "3 min 05 s"),
        (5399.4, "89 min 59 s"),
        (5399.6, "1 h 30 min"),
        (7800, "2 h 10 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, expected: str) -> None:
    assert text.duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.7, "1.0 kB"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (4.5e9, "4.5 GB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_byte_sizes_use_powers_of_a_thousand(count: float, expected: str) -> None:
    assert text.byte_size(count) == expected


@given(st.floats(0, 9.9e14))
@settings(deadline=None)
def test_byte_sizes_carry_into_the_next_unit(count: float) -> None:
    assert float(text.byte_size(count).split()[0]) < 1000


def test_markdown_cells_hold_no_markup() -> None:
    escaped = text.markdown_cell("<script>|`x`*_[a](b)_*\n$y$ & #1~")
    assert "<" not in escaped
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)[`*_|\[\]$~#]", escaped)
    assert text.markdown_cell("resnet50 at 3.5%") == "resnet50 at 3.5%"


def test_markdown_cells_link_and_mention_nothing() -> None:
    name = "@everyone https://evil.example/x http://a.b www.evil.com WWW.evil.com a@b.com"
    assert not re.search(r"(?<!\\)://|(?i:www)\.|@\w", text.markdown_cell(name))
    assert text.markdown_cell("cnn@bench_cnn").replace("\N{WORD JOINER}", "") == r"cnn@bench\_cnn"


@pytest.mark.parametrize("escape", [text.markdown_cell, text.latex_cell, text.one_line])
def test_no_name_turns_the_direction_of_what_stands_after_it(escape: Callable[[str], str]) -> None:
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", escape("a\u202eb\u2066c"))


def test_a_backslash_cannot_free_what_is_escaped() -> None:
    assert text.markdown_cell("\\|") == "\\\\\\|"


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "=\t1"])
def test_formulas_become_text(formula: str) -> None:
    assert text.csv_cell(formula)[0] == "'"


@given(st.text(max_size=30))
@settings(deadline=None)
def test_a_csv_cell_stays_one_harmless_cell(content: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([text.csv_cell(content), "next"])
    ((cell, _),) = csv.reader(io.StringIO(buffer.getvalue()))
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r")


def test_harmless_csv_cells_stay_as_they_are() -> None:
    assert text.csv_cell("resnet50, lr=0.1") == "resnet50, lr=0.1"
