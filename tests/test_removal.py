"""No built-in plugin is privileged: without its entry point it is gone, and nothing else breaks."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT, Environment, Workshop

POINTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "entry-points"
]["bench"]
RUN = ("run", "--models", "cnn", "--datasets", "digits", "--epochs", "1", "--limit", "60")

# Several command lines in one process, which is what their time goes for.
PROBE = """
import contextlib, io, json, sys
from bench.cli import main

told = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as error:
            code = error.code
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps({"told": told, "modules": [*sys.modules]}))
"""
PLAN, LISTED, PLUGINS, BOARD, SHOWN, REPORT, HELP = range(7)

# What is said where something is asked for that only the removed plugin has.
MISSING = {
    (PLAN, "bench_cnn"): (2, "no model is called `cnn`"),
    (PLAN, "bench_datasets"): (2, "no dataset is called `digits`"),
    (PLAN, "bench_optim"): (2, "no optimizer is chosen; name one (`bench list optimizers`"),
    (PLAN, "bench_augment"): (2, "no augmentation is chosen; name one (`bench list augmentations`"),
    (PLAN, "bench_local"): (2, "no executor is chosen; name one (`bench list executors`"),
    (REPORT, "bench_reports"): (2, "no report is called `md`"),
}


@dataclass(frozen=True)
class Answer:
    """What one command line did."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def environment(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with the results of one run."""
    made = workshop.environment(tmp_path_factory.mktemp("removal") / "environment")
    told = made.bench(*RUN)
    assert told.code == 0, told.err
    return made


@pytest.fixture
def without(environment: Environment, request: pytest.FixtureRequest) -> Iterator[str]:
    """Remove the line of a plugin for a while, and return the plugin's name."""
    [path] = environment.site.glob("bench_harness-*.dist-info/entry_points.txt")
    whole = path.read_text("utf-8")
    kept = [line for line in whole.splitlines() if not line.startswith(f"{request.param} =")]
    assert len(kept) == len(whole.splitlines()) - 1
    path.write_text("\n".join(kept) + "\n", "utf-8")
    yield request.param
    path.write_text(whole, "utf-8")


def ask(environment: Environment, *lines: tuple[str, ...]) -> tuple[list[Answer], set[str]]:
    """Return what command lines do, and which modules they have imported."""
    told = environment.run(environment.python, "-c", PROBE, json.dumps(lines))
    assert told.code == 0, told.err
    found = json.loads(told.out)
    return [Answer(*each) for each in found["told"]], set(found["modules"])


@pytest.fixture(scope="module")
def offered(environment: Environment) -> dict[str, dict[str, list[str]]]:
    """Return plugin -> kind -> names of what it offers, with nothing removed."""
    told = environment.bench("plugins", "list", "--json")
    plugins = json.loads(told.out)["plugins"]
    assert {plugin["name"] for plugin in plugins} == set(POINTS)
    return {plugin["name"]: plugin["components"] for plugin in plugins}


@pytest.mark.parametrize("without", POINTS, indirect=True)
def test_a_built_in_without_its_entry_point_is_gone_and_nothing_else_breaks(
    environment: Environment, offered: dict[str, Any], without: str
) -> None:
    [run] = [path.name for path in (environment.results / "runs").iterdir()]
    answers, modules = ask(
        environment,
        (*RUN, "--plan", "--json", "--rerun"),
        ("list", "--json"),
        ("plugins", "list", "--json"),
        ("leaderboard", "--json"),
        ("show", run, "--json"),
        ("report", "--format", "md", "-o", "-"),
        ("--help",),
    )
    for place, answer in enumerate(answers):
        code, words = MISSING.get((place, without), (0, ""))
        assert answer.code in (code, None if code == 0 else code), answer.err
        if code:
            [line] = answer.err.splitlines()
            assert line.startswith("error: ")
            assert words in line
            assert answer.out == ""
        elif place not in (REPORT, HELP):
            json.loads(answer.out)
        else:
            assert answer.out
    plugins = {each["name"]: each for each in json.loads(answers[PLUGINS].out)["plugins"]}
    assert set(plugins) == set(POINTS) - {without}
    for name, plugin in plugins.items():
        assert plugin["error"] is None
        assert plugin["components"] == offered[name]
    # Nothing reaches it by another way than its entry point.
    assert not {name for name in modules if name.partition(".")[0] == POINTS[without]}


NEEDED = {plugin for place, plugin in MISSING if place == PLAN}


@pytest.mark.slow
@pytest.mark.parametrize("without", sorted(set(POINTS) - NEEDED), indirect=True)
def test_runs_train_without_a_plugin_that_they_do_not_use(
    environment: Environment, without: str, tmp_path: Path
) -> None:
    told = environment.bench(*RUN, "--results", tmp_path / "results", "--json")
    assert told.code == 0, told.err
    [row] = json.loads(told.out)["rows"]
    assert row["rank"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("without", sorted(NEEDED), indirect=True)
def test_a_run_without_a_plugin_that_it_needs_is_one_line_before_any_work(
    environment: Environment, without: str, tmp_path: Path
) -> None:
    told = environment.bench(*RUN, "--results", tmp_path / "results")
    code, words = MISSING[PLAN, without]
    assert (told.code, told.out) == (code, "")
    [line] = told.err.splitlines()
    assert words in line
    assert not (tmp_path / "results").exists()
