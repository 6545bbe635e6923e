"""The rules of metrics, executors, reports and trackers: what breaks one is told, by that one."""

from __future__ import annotations

import functools
import importlib
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from bench.conformance import (
    elsewhere,
    executors,
    judging,
    markup,
    places,
    rules_of,
    trackers,
    writing,
)
from bench.registry import Offer, Plugin, Registry, load_registry

READING = {
    ("metric", "per-class"): ("gives_a_number", r"it returned an array of shape \(2,\) for 60"),
    ("metric", "percent"): ("keeps_its_bounds", "it gave 80 for .*, which is not in 0 to 1"),
    ("metric", "error-rate"): ("is_better_for_right_answers", "0 if they are all right, and 0.2"),
    ("metric", "noisy"): ("repeats_itself", r"it gave 0\.\d+ for .*, then 0\.\d+"),
    ("metric", "later-counts-more"): ("ignores_the_order", "for the same in another order"),
    ("metric", "clipped-in-place"): ("leaves_answers_alone", r"it changed `answers.prob.*` of 60"),
    ("metric", "in-half-precision"): ("computes_precisely", "for .* as stored, and .* as int64"),
    ("metric", "wants-two-classes"): (
        "copes_with_any_split",
        r"it raised ValueError: only one class is present \(metrics.py:\d+\) for a single item",
    ),
    ("metric", "wants-probabilities"): (
        "says_what_answers_lack",
        r"it raised TypeError: .* \(metrics.py:\d+\) for items of a binary task without stored",
    ),
    ("metric", "in-steps"): (
        "refuses_impossible_params",
        r"it raised ZeroDivisionError: .* \(metrics.py:\d+\) for .*, with `steps=0`",
    ),
    ("metric", "not-its-reference"): ("agrees_with_its_reference", "and its reference 0.796"),
    ("report", "in-bytes"): ("returns_text", "`build` returned b'report'"),
    ("report", "constant"): ("tells_of_its_content", "every name and number differs"),
    ("report", "best-row"): (
        "copes_with_little",
        r"it raised IndexError: .* \(reports.py:\d+\) for an empty content",
    ),
    ("report", "in-words"): ("is_what_its_suffix_says", "`.json` file, but it cannot be read"),
    ("report", "in-raw-html"): ("escapes_names", "a name became a live tag `<hacked>`"),
    ("report", "in-raw-attributes"): ("escapes_names", "a name became a.* `<?hacked"),
    ("report", "in-raw-cells"): ("escapes_names", "a cell begins with `=`"),
    ("report", "in-raw-markdown"): ("escapes_names", "a name became a live tag `<hacked>`"),
    ("report", "in-colours"): ("escapes_names", r"a character U\+0007 from a name"),
    ("report", "from-a-network"): ("stands_alone", "`<script>` asks for `https://cdn.example/c"),
    ("report", "timed"): ("repeats_itself", "made two different texts"),
    ("report", "unsorted"): ("repeats_itself", "made another text in a fresh process"),
    ("report", "marking"): ("leaves_its_content_alone", "it changed the content"),
    ("tracker", "without-epochs"): ("follows_a_run", "has no method `epoch_finished`"),
    ("tracker", "latest-only"): (
        "follows_runs_at_a_time",
        "a file of 1,929 bytes, and a file of",
    ),
    ("tracker", "one-file"): ("follows_runs_at_a_time", "3 files of 0, 22, 3,684 bytes, and 3 fil"),
    ("tracker", "wants-accuracy"): (
        "takes_any_outcome",
        r"`run_finished` raised KeyError: 'test' \(trackers.py:\d+\) of a run that ended as",
    ),
    ("tracker", "by-label"): ("takes_any_name", r"`run_started` raised OSError.*too long"),
    ("tracker", "by-model"): ("writes_only_where_it_belongs", "it wrote `outside.txt`, which is"),
    ("tracker", "in-working-folder"): ("writes_only_where_it_belongs", "it wrote `log.csv`"),
    ("tracker", "among-runs"): ("writes_only_where_it_belongs", r"it wrote `runs/\w+.txt` into"),
    ("tracker", "opens-late"): (
        "closes_in_any_state",
        r"`close` raised AttributeError: .* \(trackers.py:\d+\) without a run",
    ),
    ("tracker", "starts-over"): ("goes_on_in_the_same_folder", r"1,961 bytes, and \d+ after"),
    ("tracker", "slow"): ("keeps_up", r"30 epochs took it \d\.\d s, and 0.3 s are waited for"),
}
"""By kind and name of a wrong component, the rule that tells of it, and with what evidence."""

RUNNING = {
    "status-only": ("carries_out_a_job", "came back with {'status': 'ok'}"),
    "latest-epoch": (
        "tells_in_order",
        r"of a job that reports \d+ epochs it told \d+ events: started",
    ),
    "short-texts": ("carries_plain_data", "a result lost `long` on its way"),
    "failure-is-death": ("goes_on_after_a_failure", "failed with `no such thing` it told died"),
    "one-at-a-time": ("fills_its_slots", "of 2 jobs that filled its 2 slots 1 had started"),
    "silent-death": ("tells_of_a_crash", "ended by SIGSEGV, and .* the last event was `progress`"),
    "forgets-the-hanging": ("cancels_what_hangs", r"a job was cancelled its process \d+ still ran"),
    "kills-the-worker-alone": (
        "cancels_what_hangs",
        r"cancelled a process that it started, \d+ still ran",
    ),
    "whole-seconds": ("polls_in_time", r"`poll\(0.2\)` took 1.\d s with nothing under way"),
    "own-log": ("keeps_output_in_the_log", "from Python, and its log is not there"),
    "leaves-the-busy": ("leaves_no_process_behind", r"with a job that hangs its worker \d+ still"),
}
"""Likewise of executors."""


@functools.cache
def wrong(kind: str) -> Registry:
    module = importlib.import_module(f"wrong.{kind}s")
    registry = Registry()
    plugin = Plugin(name="wrong", distribution="wrong", version="1", module=module.__name__)
    registry.add(plugin, lambda: module)
    assert plugin.error is None
    return registry


def failures(offer: Offer) -> dict[str, tuple[str, str]]:
    """Return evidence and fix by rule, as a check in a process of its own would tell them."""
    folder = places.folder_of(offer.plugin.module)
    found: dict[str, tuple[str, str]] = {}
    for number, rule in enumerate(rules_of(offer.component.kind)):
        told = judging.attempt(rule.name, functools.partial(rule.check, offer), folder, offer)
        if told is not None and told[0] == "failed":
            found[rule.name] = told[2:]
            if number == 0:
                break  # all others rest on it
    return found


def check_told(offer: Offer, rule: str, evidence: str) -> None:
    """Fail unless a component is told by one rule, with this evidence and something to do."""
    found = failures(offer)
    assert [*found] == [rule], found
    said, fix = found[rule]
    assert re.search(evidence, said), said
    assert "\n" not in said + fix
    assert len(fix) > 10


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "PATIENCE", 8.0)


@pytest.mark.parametrize(("kind", "name"), READING)
def test_what_breaks_a_rule_is_told_by_it_alone(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "slow":
        monkeypatch.setattr(trackers, "END_SECONDS", 0.3)
    if name != "unsorted":
        # A process for each would take a second for nothing.
        monkeypatch.setattr(elsewhere, "ask", lambda question, offer: question(offer))
    check_told(wrong(kind).get(kind, name), *READING[kind, name])


def test_every_wrong_component_is_expected() -> None:
    for kind in ("metric", "report", "tracker", "executor"):
        names = {offer.name for offer in wrong(kind).offers(kind)} - {"sound"}
        expected = RUNNING if kind == "executor" else {n for k, n in READING if k == kind}
        assert names == {*expected}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "whole-seconds" else [])
        for name in RUNNING
    ],
)
def test_an_executor_that_breaks_a_rule_is_told_by_it_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "whole-seconds":
        monkeypatch.setattr(executors, "MOMENT", 0.5)
    check_told(wrong("executor").get("executor", name), *RUNNING[name])


@pytest.mark.parametrize("kind", ["tracker", "executor"])
def test_sound_samples_break_no_rule(kind: str) -> None:
    assert failures(wrong(kind).get(kind, "sound")) == {}


@pytest.mark.parametrize(
    "kind", ["metric", "executor", "report", pytest.param("tracker", marks=pytest.mark.slow)]
)
def test_what_is_built_in_breaks_no_rule(kind: str) -> None:
    found = {offer.name: failures(offer) for offer in load_registry().offers(kind)}
    assert {name: broken for name, broken in found.items() if broken} == {}


def test_where_code_writes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    with writing.watched() as seen:
        (tmp_path / "there").mkdir(exist_ok=True)
        Path("note.txt").write_text("words")
        assert Path("note.txt").read_text() == "words"
        Path("note.txt").rename("moved.txt")
        sqlite3.connect("runs.db").close()
        shutil.rmtree(tmp_path / "there")  # by the descriptor of its folder
    Path("later.txt").write_text("words")
    written = [tmp_path / name for name in ("note.txt", "moved.txt", "runs.db", "there")]
    assert writing.outside(seen, []) == written
    assert writing.outside(seen, [tmp_path]) == []
    assert writing.outside(["/dev/null", str(tmp_path / "__pycache__" / "a.pyc")], []) == []


@pytest.mark.parametrize(
    ("suffix", "text", "found"),
    [
        (".html", "<p>&lt;hacked&gt;</p>", ""),
        (".html", '<p title="x" hacked="1">', "a name became an attribute `hacked` of `<p>`"),
        (".html", "<img src=x onerror=hacked()>", "a name stands in the handler `onerror`"),
        (".html", "<a href=' javascript:hacked()'>", "a name became the address"),
        (".html", '<script>x = "";hacked();//"</script>', "a name became a part of a script"),
        (".html", r'<script>x = "\";hacked();//"</script>', ""),
        (".md", "`<hacked>` and\n```\n<hacked>\n```", ""),
        (".md", "text <hacked>", "a name became a live tag"),
        (".md", r"| hacked\|cell |", ""),
        (".md", "| hacked|cell |", "begins another cell"),
        (".md", "first\n# hacked line", "begins a heading"),
        (".csv", "'=hacked()", ""),
        (".csv", '"=hacked()"', "a cell begins with `=`"),
        (".tex", r"hacked\$x\_1\&5\%\#", ""),
        (".tex", "hacked$x_1&5%#", "which LaTeX takes for formulas"),
        (".txt", "hacked49", "was computed"),
        (".txt", "hacked \x1b[31m", "U+001B"),
        (".json", '"hacked \\u0007"', ""),
    ],
)
def test_what_a_name_becomes_depends_on_the_format(suffix: str, text: str, found: str) -> None:
    told = [*markup.lives(text, suffix)]
    assert len(told) == bool(found), told
    assert not found or found in told[0]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ('<link href="style.css" rel=stylesheet>', "`<link>` asks for `style.css`"),
        (
            "<style>@import 'a.css'; p { background: url(b.png) }</style>",
            "a style asks for `a.css`",
        ),
        ("<a href='https://example.org'>", ""),
        ("<img src='data:image/png;base64,AAAA'><use href='#mark'/>", ""),
    ],
)
def test_what_a_page_asks_for_is_seen(text: str, asked: str) -> None:
    told = [*markup.fetched(text)]
    assert told[:1] == ([asked] if asked else [])
