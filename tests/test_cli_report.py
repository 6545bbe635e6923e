"""`bench report` as users call it: formats, files, what is refused, and watching."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Done
from processes import Bench
from samples import add_plugin, make_record, make_spec, write_predictions

from bench.records import Purpose
from bench.registry import load_registry
from bench.specs import Report
from bench.store import Store

Cli = Callable[..., Done]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    add(store, "net", 0.9)
    add(store, "slow", 0.7)
    return store


def add(store: Store, model: str, accuracy: float, seed: int = 0) -> None:
    record = make_record(make_spec(model, seed=seed), accuracy, n=100)
    write_predictions(store, record, [place < 100 * accuracy for place in range(100)])
    store.write(record)


def test_the_page_lies_in_the_results_folder_and_the_answer_is_printed(
    store: Store, cli: Cli
) -> None:
    done = cli("report", "--results", store.root)
    assert (done.code, done.err) == (0, "")
    text = (store.root / "report.html").read_text("utf-8")
    assert text.startswith("<!doctype html>")
    first, last = done.out.splitlines()
    assert "net is ahead of slow by 20.0 points" in first
    assert last.startswith(f"wrote `{store.root / 'report.html'}` (")
    assert "net is ahead of slow by 20.0 points" in text


@pytest.mark.parametrize(
    ("words", "name", "start"),
    [
        (("-o", "own.html"), "own.html", "<!doctype html>"),
        (("-o", "own.md"), "own.md", "# "),
        (("-o", "own.MD"), "own.MD", "# "),
        (("--format", "md"), "results/report.md", "# "),
        (("--format", "markdown"), "results/report.md", "# "),
        (("--format", "md", "-o", "plain.txt"), "plain.txt", "# "),
        (("-o", "bare"), "bare", "<!doctype html>"),
    ],
)
def test_the_format_is_what_is_named_or_what_the_files_ending_says(
    words: tuple[str, ...],
    name: str,
    start: str,
    store: Store,
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("report", *words).code == 0
    assert (tmp_path / name).read_text("utf-8").startswith(start)


def test_a_dash_prints_the_report_and_nothing_else(store: Store, cli: Cli) -> None:
    done = cli("report", "--results", store.root, "--format", "md", "-o", "-")
    assert done.out.startswith("# ")
    assert "wrote" not in done.out
    assert not (store.root / "report.md").exists()


def test_fewer_rows_are_told_in_detail_where_somebody_says_so(store: Store, cli: Cli) -> None:
    def runs(*words: str) -> int:
        cli("report", "--results", store.root, *words)
        return (store.root / "report.html").read_text("utf-8").count('id="run-')

    assert [runs("--top", "0"), runs("--top", "1"), runs()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--format", "pdf"), 2, "no report is called `pdf`"),
        (("--format", "htm"), 2, "did you mean `html`?"),
        (("--format", "md:colour=red"), 2, "has no param `colour`; it takes no params at all"),
        (("--format", ""), 2, "no name is given; `bench list reports` shows them all"),
        (("--format", "md:colour"), 2, "params are written `md:PARAM=VALUE`"),
        (("-o", "a.pdf"), 2, "`a.pdf`: no format ends in `.pdf`; name a file that ends in `.html`"),
        (("-o", ""), 2, "'--output': it is empty"),
        (("--figures", ""), 2, "'--figures': it is empty"),
        (("--results", ""), 2, "'--results': it is empty"),
        (("-o", "afile/a.html"), 3, "cannot write `afile/a.html`: `afile` is a file"),
        (("--top", "-1"), 2, "--top"),
        (("--watch", "-o", "-"), 2, "leave out `-o -`"),
        (("--watch", "--figures", "x"), 2, "leave out `--figures`"),
        (("--results", "nowhere"), 3, "there is no folder `nowhere`"),
        (("-o", "no/such/folder/a.html"), 0, ""),
        (("-o", "/proc/a.html"), 3, "cannot write `/proc/a.html`"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(
    words: tuple[str, ...],
    code: int,
    message: str,
    store: Store,
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    done = cli("report", *words)
    assert done.code == code, done.err
    assert message in done.err
    assert len(done.err.splitlines()) == (1 if code else 0)


@pytest.mark.parametrize(
    "name",
    [
        *("runs/{run}/record.json", "runs/new.html", "studies/new.html", "datasets/new.html"),
        *("index.sqlite", "leaderboard.md", "../link.html", "runs/out.html"),
    ],
)
def test_files_of_the_results_folder_itself_are_not_written_over(
    name: str, store: Store, tmp_path: Path, cli: Cli
) -> None:
    (run, *_) = store.ids()
    cli("leaderboard", "--results", store.root)
    (tmp_path / "link.html").symlink_to(store.folder(run) / "record.json")
    (store.runs / "out.html").symlink_to(tmp_path / "elsewhere.html")
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    path = store.root / name.format(run=run)
    done = cli("report", "--results", store.root, "--format", "md", "-o", path)
    assert (done.code, done.out) == (2, "")
    assert f"error: `{path}` is one of the files that `bench` itself keeps" in done.err
    assert len(done.err.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["report.html", "own/report.html", "../report.html"])
def test_other_files_may_lie_in_the_results_folder(name: str, store: Store, cli: Cli) -> None:
    assert cli("report", "--results", store.root, "-o", store.root / name).code == 0
    assert (store.root / name).is_file()


def test_where_the_results_folder_takes_no_file_another_place_is_told_of(
    store: Store, cli: Cli
) -> None:
    (store.root / "report.html").mkdir()
    done = cli("report", "--results", store.root)
    assert done.code == 3
    assert "report.html`: Is a directory; `-o FILE` writes it elsewhere" in done.err


def test_pictures_are_counted_and_a_folder_that_takes_none_is_told_of_first(
    store: Store, tmp_path: Path, cli: Cli
) -> None:
    page, folder = store.root / "report.html", tmp_path / "pictures"
    (tmp_path / "afile").touch()
    done = cli("report", "--results", store.root, "--figures", tmp_path / "afile" / "pictures")
    assert (done.code, done.out, page.exists()) == (3, "", False)
    assert f"`{tmp_path / 'afile'}` is a file" in done.err
    done = cli("report", "--results", store.root, "--figures", folder)
    assert done.code == 0
    count = sum(1 for path in folder.iterdir() if path.suffix in (".png", ".svg"))
    assert done.err == f"drew {count} pictures into `{folder}`\n"
    assert len([*folder.iterdir()]) == count > 0


# A folder of which nothing can be told


def empty(root: Path) -> str:
    root.mkdir()
    return "`bench run --models resnet50,mobilenet` makes some"


def torn(root: Path) -> str:
    add(Store(root), "net", 0.9)
    for run in Store(root).ids():
        (Store(root).folder(run) / "record.json").write_text("{")
    return "none of its 1 records can be read"


def begun(root: Path) -> str:
    Store(root).attempt("abc").mkdir(parents=True)
    return "1 under way, or cut off; the same `bench run` goes on"


def tried(root: Path) -> str:
    Store(root).write(make_record(make_spec(purpose=Purpose.TRIAL)))
    return "there are only trials"


@pytest.mark.parametrize("make", [empty, torn, begun, tried])
def test_of_a_folder_without_finished_runs_nothing_is_written(
    make: Callable[[Path], str], tmp_path: Path, cli: Cli
) -> None:
    root, page = tmp_path / "results", tmp_path / "page.html"
    message = make(root)
    page.write_text("a good one")
    done = cli("report", "--results", root, "-o", page, "--figures", tmp_path / "pictures")
    assert (done.code, done.out, page.read_text()) == (3, "", "a good one")
    *warnings, last = done.err.splitlines()
    assert last.startswith(f"error: no finished runs in `{root}`")
    assert message in last
    assert [line.partition("`")[0] for line in warnings] == ["warning: skipped "] * (make is torn)
    assert not (tmp_path / "pictures").exists()


@pytest.mark.parametrize("verb", ["report", "leaderboard"])
def test_nothing_is_left_in_a_folder_that_holds_no_runs(
    verb: str, store: Store, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "photos").mkdir()
    for root in (tmp_path / "photos", store.runs, store.folder(store.ids()[0])):
        before = sorted(root.iterdir())
        cli(verb, "--results", root)
        assert sorted(root.iterdir()) == before


# Formats that fail


def fails(content: object) -> str:
    raise ValueError("a bad\nday")


def leaves(content: object) -> str:
    sys.exit(9)


def prints(content: object) -> str:
    print("a plugin is talking")
    return "a report"


def offer(monkeypatch: pytest.MonkeyPatch, build: Callable[..., Any]) -> None:
    registry = load_registry()
    add_plugin(registry, Report(name="own", build=build))
    monkeypatch.setattr("bench.cli.report.registry_with_warnings", lambda: registry)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (fails, "failed: ValueError: a bad day"),
        (leaves, "failed: SystemExit: 9"),
        (lambda: "", "failed: TypeError: "),
        *(
            (lambda content, value=value: value, f"returned {type(value).__name__}, not str")
            for value in (None, 42, b"bytes")
        ),
    ],
)
@pytest.mark.parametrize("name", ["-", "page.txt"])
def test_a_format_that_fails_is_one_line_that_names_it(
    build: Callable[..., Any],
    message: str,
    name: str,
    store: Store,
    tmp_path: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, build)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.txt").write_text("a good one")
    done = cli("report", "--results", store.root, "--format", "own", "-o", name)
    assert (done.code, done.out) == (3, "")
    assert f"error: report `own` of plugin `acme` (acme-dist 1.0) {message}" in done.err
    assert len(done.err.splitlines()) == 1
    assert (tmp_path / "page.txt").read_text() == "a good one"


def test_what_a_format_prints_is_no_part_of_the_report(
    store: Store, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, prints)
    done = cli("report", "--results", store.root, "--format", "own", "-o", "-")
    assert (done.code, done.out, done.err) == (0, "a report", "a plugin is talking\n")


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "results", ("--watch",), tmp_path / "log.txt", verb="report")
    yield bench
    bench.kill()


def test_watching_waits_for_the_first_run_and_writes_again_after_each(
    watching: Bench, tmp_path: Path
) -> None:
    store, page = Store(tmp_path / "results"), tmp_path / "results" / "report.html"
    watching.wait_until(lambda: "waiting for the first run" in watching.err, "it waited")
    assert not page.exists()
    for model, accuracy, answer in (
        ("net", 0.9, "net reaches 90.0%"),
        ("slow", 0.7, "net is ahead of slow"),
    ):
        add(store, model, accuracy)
        watching.wait_until(lambda answer=answer: answer in watching.out, f"it said `{answer}`")
        assert answer in page.read_text("utf-8")
    page = tmp_path / "results" / "report.html"
    assert "data-refresh" in page.read_text("utf-8")
    watching.process.send_signal(signal.SIGINT)
    assert watching.wait() == 130
    assert "data-refresh" not in page.read_text("utf-8")
    assert "Traceback" not in watching.err


def look_once(monkeypatch: pytest.MonkeyPatch, then: Callable[[int], None]) -> None:
    """Have a watch call a function in place of each pause; Ctrl-C comes after the third."""
    looks = itertools.count(1)

    def sleep(seconds: float) -> None:
        if (look := next(looks)) > 3:
            raise KeyboardInterrupt
        then(look)

    monkeypatch.setattr("bench.cli.report.time.sleep", sleep)


def test_watching_goes_on_where_a_format_fails(
    store: Store, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    def build(content: object) -> str:
        if next(calls) == 1:
            raise ValueError("once")
        return "a report"

    offer(monkeypatch, build)
    look_once(monkeypatch, lambda look: add(store, f"net-{look}", 0.9))
    done = cli("report", "--results", store.root, "--format", "own", "--watch")
    assert done.code == 130
    assert done.err.count("warning: report `own` of plugin `acme`") == 1
    assert done.out.count("wrote `") == 3


def test_watching_keeps_the_page_while_there_is_nothing_to_tell(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, page = tmp_path / "results", tmp_path / "results" / "report.html"
    tried(root)
    page.write_text("a good one")

    def try_another(look: int) -> None:
        Store(root).write(make_record(make_spec(seed=look, purpose=Purpose.TRIAL)))

    look_once(monkeypatch, try_another)
    done = cli("report", "--results", root, "--watch")
    assert (done.code, page.read_text()) == (130, "a good one")
    assert done.err.strip() == f"waiting for the first run in `{root}`; Ctrl-C ends it"
