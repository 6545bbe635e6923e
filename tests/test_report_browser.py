"""The HTML page of a report in a browser: what a reader does with it, and that this is all.

Chromium is Debian's; playwright drives it. Without one of them these tests skip.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import report_samples

from bench.report.content import Content
from bench_reports.html import render

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

WIDE, NARROW = 1280, 390


@dataclass
class Opened:
    """A page that is open, and what it has asked for and complained of."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for this module only: while it is driven, no other event loop can run."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], Content]], Path]:
    folder = tmp_path_factory.mktemp("reports")

    def write(make: Callable[[], Content]) -> Path:
        path = folder / f"{make.__name__}.html"
        if not path.exists():
            path.write_text(render(make()), encoding="utf-8")
        return path

    return write


@pytest.fixture
def opened(browser: Any, written: Any) -> Callable[..., Any]:
    """Open a report; nothing of it may complain, or ask for more than the file itself."""

    @contextmanager
    def open_page(
        make: Callable[[], Content] = report_samples.rich,
        width: int = WIDE,
        part: str = "",
        **options: Any,
    ) -> Iterator[Any]:
        path = written(make)
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        seen = Opened(page)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        # Violations of the security policy are told of on the console, too.
        page.on(
            "console",
            lambda message: (
                seen.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.goto(path.as_uri() + part)
        try:
            yield page
            assert seen.complaints == []
            asked = [url for url in seen.requests if not url.startswith("data:")]
            assert {url.split("#")[0] for url in asked} == {path.as_uri()}
        finally:
            context.close()

    return open_page


def _labels(page: Any) -> list[str]:
    rows = page.locator("table.ranked tbody tr:visible th")
    return [text.split("\n")[0] for text in rows.all_inner_texts()]


def test_it_opens_without_a_complaint_or_a_request(opened: Any) -> None:
    with opened() as page:
        assert page.title() == "4 models and 3 optimizers on fashion-mnist-mini"
        answer = page.locator("#answer .answer")
        assert answer.inner_text().startswith("resnet18 with adamw")
        assert answer.bounding_box()["y"] < 300
        page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
        page.wait_for_timeout(100)


def test_hostile_names_do_nothing(opened: Any) -> None:
    with opened(report_samples.hostile) as page:
        page.locator("details").evaluate_all(
            "all => all.forEach(each => { each.removeAttribute('name'); each.open = true; })"
        )
        for target in page.locator("[data-hover]:visible").all()[:12]:
            target.dispatch_event("pointermove", {"bubbles": True})
        page.locator(".pair select").first.select_option(index=1)
        page.locator("#run-00000000 [data-link]:visible").first.dispatch_event("click")
        page.wait_for_timeout(100)
        assert page.evaluate("window.hacked") is None
        assert page.locator("#tip script, dialog script, #pair script, img").count() == 0


def test_headings_sort_by_click_with_what_has_no_value_last(opened: Any) -> None:
    with opened() as page:
        before = _labels(page)
        heading = page.locator("table.ranked thead th", has_text="Train s")
        seconds = page.locator("table.ranked tbody tr td:nth-child(9)")
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == "ascending"
        assert seconds.all_inner_texts() == [
            *["1.5", "2.3", "3.6", "4.1", "4.5", "5.1", "22.3", "45.4", "51.7"],
            "–",
        ]
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == "descending"
        assert seconds.all_inner_texts()[::9] == ["51.7", "–"]
        page.locator("table.ranked thead button", has_text="rank").click()
        assert _labels(page) == before
        assert heading.get_attribute("aria-sort") is None


def test_headings_sort_by_keyboard(opened: Any) -> None:
    with opened() as page:
        page.locator(".filter input").focus()
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "method":
                break
        page.keyboard.press("Enter")
        heading = page.locator("table.ranked thead th", has_text="method")
        assert heading.get_attribute("aria-sort") == "ascending"
        assert _labels(page)[0] == "cnn · adamw"


def test_rows_are_filtered_by_words_and_by_kind(opened: Any) -> None:
    with opened() as page:
        page.locator(".filter input").fill("cnn3 SGD")
        assert _labels(page) == ["cnn3 · sgd"]
        assert page.locator(".filter output").inner_text() == "1 of 10 rows"
        page.locator(".filter input").fill("")
        page.get_by_role("button", name="Incomplete 2").click()
        assert _labels(page) == ["cnn · sgd", "cnn · sgd 100"]
        page.get_by_role("button", name="Tuned 2").click()
        assert _labels(page) == ["resnet18 · adamw", "cnn · adamw"]
        page.get_by_role("button", name="All 10").click()
        assert len(_labels(page)) == 10


def test_pointing_at_a_mark_names_it(opened: Any) -> None:
    with opened() as page:
        dot = page.locator("#b0-tradeoffs .on-wide [data-hover]").first
        dot.scroll_into_view_if_needed()
        dot.hover()
        tip = page.get_by_role("tooltip")
        assert tip.inner_text().startswith("resnet18 · ")
        box = tip.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= WIDE
        page.mouse.move(2, 2)
        assert not tip.is_visible()


def test_marks_are_reached_by_keyboard(opened: Any) -> None:
    with opened() as page:
        dot = page.locator("#b0-tradeoffs .on-wide [data-link][tabindex]").first
        dot.focus()
        assert page.get_by_role("tooltip").is_visible()
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#" + dot.get_attribute("data-link")


def test_a_cell_of_the_confusion_matrix_opens_its_images(opened: Any) -> None:
    with opened() as page:
        page.locator("#run-00000000 > summary").click()
        cell = page.locator("#run-00000000 [data-link='run-00000000-1-0']:visible")
        cell.click()
        dialog = page.get_by_role("dialog")
        assert dialog.get_by_role("heading").inner_text() == "trouser taken for t-shirt: 31 of 100"
        pictures = dialog.get_by_role("img")
        assert pictures.count() == 5
        # A picture that did not decode would leave its place evenly coloured.
        colours = set(pictures.first.screenshot()[60:])
        assert len(colours) > 100
        page.keyboard.press("Escape")
        assert not dialog.is_visible()


def test_runs_open_one_at_a_time(opened: Any) -> None:
    with opened() as page:
        page.locator("#b0-r0 th a").click()
        assert page.locator("details.run[open]").get_attribute("id") == "run-00000000"
        page.locator("#b0-r1 th a").click()
        assert page.locator("details.run[open]").get_attribute("id") == "run-00000001"
        page.locator("#run-00000001 >> text=its row in the leaderboard").click()
        assert page.locator("tr.found").get_attribute("id") == "b0-r1"


def test_an_address_leads_into_what_is_closed(opened: Any) -> None:
    with opened(part="#run-00000002") as page:
        assert page.locator("details.run[open]").get_attribute("id") == "run-00000002"
        assert page.locator("#run-00000002 > summary").is_visible()


def test_two_rows_are_compared_by_their_settings(opened: Any) -> None:
    with opened() as page:
        first, second = page.locator(".pair select").all()
        first.select_option(label="resnet18 · adamw")
        second.select_option(label="cnn · momentum")
        lines = page.locator("#pair tr").all_inner_texts()
        assert [line.split("\t") for line in lines] == [
            ["Setting", "resnet18 · adamw", "cnn · momentum"],
            ["model", "resnet18", "cnn"],
            ["optimizer", "adamw", "momentum"],
            ["optimizer.momentum", "–", "0.9"],
        ]
        second.select_option(label="resnet18 · adamw")
        assert page.locator("#pair").inner_text() == "These two have the same settings."


def _brightness(page: Any) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(float(part) for part in colour.strip("rgb()").split(",")) / 765


def test_the_button_switches_to_dark_and_back(opened: Any) -> None:
    with opened(color_scheme="light") as page:
        button = page.locator("#theme")
        assert button.inner_text() == "Theme: auto"
        assert _brightness(page) > 0.9
        button.click()
        button.click()
        assert button.inner_text() == "Theme: dark"
        assert _brightness(page) < 0.2
        button.click()
        assert _brightness(page) > 0.9


def test_it_follows_the_system_into_the_dark(opened: Any) -> None:
    with opened(color_scheme="dark") as page:
        assert _brightness(page) < 0.2


CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = (colour, under) => {
    for (const each of [under, colour]) { canvas.fillStyle = each; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = getComputedStyle(document.body).backgroundColor;
  const worst = {};
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || each.closest("script, style, svg, #tip, [hidden]")) continue;
    if (!each.checkVisibility()) continue;
    let under = paper;
    for (let up = each; up; up = up.parentElement) {
      const colour = getComputedStyle(up).backgroundColor;
      if (!/, 0\\)$/.test(colour)) { under = colour; break; }
    }
    const [a, b] = [luminance(getComputedStyle(each).color, under), luminance(under, paper)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = each.tagName + "." + each.className;
    worst[name] = Math.min(worst[name] ?? 21, ratio);
  }
  return worst;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_is_on(opened: Any, scheme: str) -> None:
    """The contrast that WCAG asks for at level AA, 4.5, holds for all text outside of charts."""
    with opened(color_scheme=scheme) as page:
        page.locator("#run-00000000 > summary").click()
        worst = page.evaluate(CONTRASTS)
        assert len(worst) > 15
        assert {name: ratio for name, ratio in worst.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("make", [report_samples.rich, report_samples.hostile])
def test_a_phone_scrolls_tables_and_not_the_page(opened: Any, make: Any) -> None:
    with opened(make, NARROW) as page:
        page.locator("details").evaluate_all(
            "all => all.forEach(each => { each.removeAttribute('name'); each.open = true; })"
        )
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW
        box = page.locator("table.ranked").first.bounding_box()
        assert box["width"] > NARROW
        page.locator(".scrolls").first.evaluate("each => { each.scrollLeft = 300; }")
        assert page.locator("#b0-r0 th").bounding_box()["x"] >= 0


def test_print_has_the_answer_the_leaderboard_and_the_best_run(opened: Any, tmp_path: Path) -> None:
    with opened(color_scheme="dark") as page:
        page.locator("#b0-r1 th a").click()
        path = tmp_path / "report.pdf"
        page.pdf(path=str(path), format="A4", print_background=True)
        assert page.locator("details.run[open]").get_attribute("id") == "run-00000001"
        page.emulate_media(media="print")
        assert _brightness(page) > 0.9
    assert path.read_bytes().startswith(b"%PDF")
    if (reader := shutil.which("pdftotext")) is None:
        assert path.stat().st_size > 20_000
        return
    text = subprocess.run(
        [reader, "-layout", path, "-"], capture_output=True, text=True, check=True
    )
    for words in (
        "cannot be told apart",
        "cnn3 · momentum",
        "the loss was nan",
        "Run 00000000",
        "Run 00000001",
        "The worst mistakes",
    ):
        assert words in text.stdout
    assert "Run 00000002" not in text.stdout
    assert "Theme:" not in text.stdout


def test_commands_are_copied(opened: Any) -> None:
    with opened(permissions=["clipboard-read", "clipboard-write"]) as page:
        page.locator("#run-00000000 > summary").click()
        page.locator("#run-00000000").get_by_role("button", name="Copy").click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").startswith("bench run --models cnn")


def test_without_its_script_it_can_still_be_read(opened: Any) -> None:
    with opened(java_script_enabled=False) as page:
        assert page.locator("table.ranked tbody tr").count() == 10
        assert not page.locator(".filter").is_visible()
        page.locator("#run-00000000 > summary").click()
        assert page.locator("#run-00000000 .pictures").last.is_visible()


def test_a_page_of_runs_under_way_renews_itself(opened: Any) -> None:
    def underway() -> Content:
        return replace(report_samples.rich(), refresh=3.0)

    with opened(underway) as page:
        page.locator("#run-00000001 > summary").click()
        page.locator("#run-00000001 details.more > summary").last.click()
        page.get_by_role("button", name="Incomplete 2").click()
        page.get_by_role("columnheader", name="method").get_by_role("button").click()
        before = _labels(page)
        page.wait_for_event("load")
        # Asked at once, before the next time.
        opened_parts, labels = page.evaluate(
            """() => [
                [...document.querySelectorAll("details.run[open], .run details.more[open] summary")]
                    .map(each => each.id || each.textContent),
                [...document.querySelectorAll("table.ranked tbody tr:not([hidden]) th")]
                    .map(each => each.innerText.split("\\n")[0]),
            ]"""
        )
        assert opened_parts == ["run-00000001", "Settings, environment and provenance"]
        assert labels == before
        assert len(before) == 2


def test_an_address_that_leads_nowhere_stops_nothing(opened: Any) -> None:
    with opened(part="#%") as page:
        assert page.locator("button.copy[hidden]").count() == 0
        page.evaluate("location.hash = '#%E0%A4%A'")
        page.locator(".filter input").first.fill("nothing is called so")
        assert _labels(page) == []


def test_paper_shows_all_rows_that_were_asked_for(opened: Any) -> None:
    with opened(report_samples.large) as page:
        assert len(_labels(page)) == 30
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert len(_labels(page)) == 1000
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert len(_labels(page)) == 30


def test_a_thousand_rows_open_at_once(opened: Any) -> None:
    with opened(report_samples.large) as page:
        spent = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        # A second on an idle machine; tests share theirs with others.
        assert spent < 4000
        assert len(_labels(page)) == 30
        page.get_by_role("button", name="Show all 1000 rows").click()
        assert len(_labels(page)) == 1000
        page.locator(".filter input").fill("model_7 optimizer0")
        assert 0 < len(_labels(page)) < 10
