"""The HTML page of a report as text: what it allows itself, what it escapes, how large it is."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import report_samples

from bench.report.content import Content
from bench_reports.html import parts, render

VOID = {"meta", "link", "br", "img", "input", "hr", "col"}


class Element(NamedTuple):
    tag: str
    attributes: dict[str, str | None]
    inside: tuple[str, ...]


class Page(HTMLParser):
    """A page as its elements and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self._open), data))

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def text(self, tag: str) -> str:
        return "".join(text for inside, text in self.texts if inside and inside[-1] == tag)


@pytest.fixture(scope="module")
def rich() -> str:
    return render(report_samples.rich())


@pytest.fixture(scope="module")
def hostile() -> str:
    return render(report_samples.hostile())


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_the_policy_allows_the_one_style_and_the_one_script_and_nothing_else(rich: str) -> None:
    page = Page(rich)
    [policy] = [
        element.attributes["content"]
        for element in page.all("meta")
        if element.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {_hash(page.text('style'))}",
            f"script-src {_hash(page.text('script'))}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    assert len(page.all("style")) == len(page.all("script")) == 1


@pytest.mark.parametrize("name", ["rich", "hostile"])
def test_no_element_styles_itself_acts_or_points_elsewhere(
    name: str, request: pytest.FixtureRequest
) -> None:
    page = Page(request.getfixturevalue(name))
    for element in page.elements:
        for attribute, value in element.attributes.items():
            assert attribute != "style"
            assert not attribute.startswith("on"), element
            assert attribute not in ("srcset", "action", "formaction", "src"), element
            if attribute in ("href", "xlink:href"):
                assert value is not None
                assert value.startswith(("#", "data:image/", "data:,")), element
    assert not page.all("iframe") + page.all("object") + page.all("embed") + page.all("base")


def test_style_and_script_name_no_address(rich: str) -> None:
    page = Page(rich)
    for text in (page.text("style"), page.text("script")):
        assert "//" not in re.sub(r"^\s*//.*|; // .*$", "", text, flags=re.MULTILINE)
        assert "@import" not in text
        assert "url(" not in text


def test_hostile_names_are_text_wherever_they_stand(rich: str, hostile: str) -> None:
    """The page has the same kinds of elements as with kind names; each name can be read in it."""
    page = Page(hostile)
    assert {element.tag for element in page.elements} <= {
        element.tag for element in Page(rich).elements
    } | {"ul", "text"}
    shown = " ".join(text for _, text in page.texts if text.strip())
    hovers = " ".join(
        value or ""
        for element in page.elements
        for name, value in element.attributes.items()
        if name in ("data-hover", "aria-label")
    )
    for name in report_samples.HOSTILE:
        told = re.sub("[\x00\x07\u202e\ud800]", "\N{REPLACEMENT CHARACTER}", name)
        assert told in shown
        assert told in hovers
    assert page.text("title") == report_samples.HOSTILE[0]


def test_every_file_system_can_hold_the_page(hostile: str) -> None:
    assert "\x00" not in hostile
    hostile.encode("utf-8")


def test_an_empty_report_is_a_page() -> None:
    page = Page(render(Content("nothing", "now", "1.0", "no runs")))
    assert "There is nothing to rank yet." in page.text("p")


def test_ids_are_unique_and_links_lead_to_them(rich: str) -> None:
    page = Page(rich)
    ids = Counter(
        element.attributes["id"] for element in page.elements if "id" in element.attributes
    )
    assert ids.most_common(1)[0][1] == 1
    for element in page.elements:
        href = element.attributes.get("href") or ""
        if href.startswith("#"):
            assert href[1:] in ids
        if link := element.attributes.get("data-link"):
            assert link in ids


def test_headings_come_in_order(rich: str) -> None:
    levels = [int(e.tag[1]) for e in Page(rich).elements if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(next_ - level <= 1 for level, next_ in pairwise(levels))


def test_it_has_landmarks_and_a_language(rich: str) -> None:
    page = Page(rich)
    assert page.all("html")[0].attributes["lang"] == "en"
    for tag in ("header", "nav", "main", "footer"):
        assert page.all(tag)


def test_each_picture_is_in_the_file_once_and_has_words(rich: str) -> None:
    content = report_samples.rich()
    page = Page(rich)
    addresses = [
        element.attributes["href"] or ""
        for element in page.all("image")
        if "symbol" in element.inside
    ]
    assert len(addresses) == len(set(addresses)) == len(content.images)
    assert rich.count("data:image/") == len(content.images)
    uses = page.all("use")
    assert len(uses) > len(addresses)
    for element in page.all("svg"):
        if element.attributes.get("role") == "img":
            assert element.attributes["aria-label"]


def test_every_part_is_told_without_the_script(rich: str) -> None:
    """A page that the script has not touched has all of its text and hides no part of it."""
    page = Page(rich)
    shown = " ".join(text for _, text in page.texts)
    for words in (
        "cannot be told apart on 1,000 test images with 3 seeds",
        "30 runs of 10 methods",
        "the loss was nan in epoch 2 of 5",
        "trouser taken for t-shirt: 31 of 100",
        "bench run --models cnn",
        "20 trials found lr 0.004",
        "2 images of test stand in train, too",
        "optimizer.momentum",
        "is cut short",
    ):
        assert words in shown
    hidden = {e.tag for e in page.elements if "hidden" in e.attributes}
    assert hidden <= {"form", "button", "div"}


def test_ties_failures_and_tuning_are_marked_in_words(rich: str) -> None:
    ranks = re.findall(r'<tr id="b0-r\d+"[^>]*><td class="n">([^<]*)', rich)
    assert ranks == ["1="] * 6 + ["7="] * 2 + ["9", "–"]
    assert rich.count("default 81.5%") == 1
    assert re.search(r'data-k="failed ">.*cnn · sgd 100<small class="bad">3 runs diverged', rich)


def test_intervals_lie_on_the_axis_of_their_block(rich: str) -> None:
    """Of the axis from 65 % to 85 %, the score 83.5 ± 0.7 % is at 92.5, from 89 to 96."""
    first = rich.index('<tr id="b0-r0"')
    assert 'd="M89 5H96M92.5 1v8"' in rich[first : first + 600]


def test_a_row_far_behind_does_not_squeeze_the_others() -> None:
    content = report_samples.rich()
    [block] = content.blocks
    rows = [replace(row, default=None) for row in block.rows]
    rows[8] = replace(rows[8], interval=(0.1, 0.05, 0.15))
    html = render(replace(content, blocks=(replace(block, rows=tuple(rows), axis=(0.0, 1.0)),)))
    assert "<i>70%</i><i>100%</i>" in html
    row = html[html.index('<tr id="b0-r8"') :]
    assert 'd="M8 1L0 5 8 9"' in row[: row.index("</svg>")]


@pytest.mark.parametrize(
    ("interval", "path"),
    [
        ((0.95, 0.92, 0.97), "M20 5H70M50 1v8"),
        ((0.95, 0.85, 0.97), "M8 1L0 5 8 9M0 5H70M50 1v8"),
        ((0.6, 0.2, 0.97), "M8 1L0 5 8 9M0 5H70"),
        ((0.3, 0.28, 0.32), "M8 1L0 5 8 9"),
    ],
)
def test_what_lies_before_the_axis_is_an_arrow(interval: Any, path: str) -> None:
    assert parts.drawn_interval(interval, (0.9, 1.0), 5, 4) == path


def test_a_run_that_failed_is_told_with_its_log() -> None:
    content = report_samples.rich()
    failed = replace(
        content.runs[0], status="diverged", sentence="the loss was nan", log=("epoch 1", "<b>nan")
    )
    html = render(replace(content, runs=(failed,)))
    assert '<span class="bad">the loss was nan</span>' in html
    assert "epoch 1\n&lt;b&gt;nan</pre>" in html


def test_runs_of_several_blocks_say_of_which_they_are() -> None:
    content = report_samples.rich()
    [block] = content.blocks
    other = replace(block, id="b1", title="another", rows=(replace(block.rows[0], id="b1-r0"),))
    runs = (*content.runs, replace(content.runs[0], id="run-other", row="b1-r0"))
    html = render(replace(content, blocks=(block, other), runs=runs))
    groups = re.findall(r'<p class="group">([^<]*)</p>|<details class="run[^>]* id="([^"]*)"', html)
    assert [title or id for title, id in groups] == [
        block.title,
        *(run.id for run in content.runs),
        "another",
        "run-other",
    ]


def test_settings_say_of_which_rows_they_are(rich: str) -> None:
    assert "more are not told" not in rich
    content = report_samples.rich()
    html = render(replace(content, settings=replace(content.settings, left_out=1200)))
    assert "Of the best 10 rows; 1,200 more are not told." in html


def test_a_thousand_rows_and_twenty_runs_stay_under_three_megabytes() -> None:
    html = render(report_samples.large(1000))
    assert len(html.encode()) < 3_000_000
    table = html[html.index('class="sorts ranked"') :]
    table = table[: table.index("</table>")]
    assert table.count("<tr") == 1001
    assert len(table.encode()) / 1000 < 600
