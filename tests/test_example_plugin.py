"""The example of a third-party package: its wheel, installed into a clean environment and used."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import pytest
from environments import ROOT, Environment, Workshop

EXAMPLE = ROOT / "examples" / "plugin"
SMALL = ("--epochs", "1", "--set", "shapes.train=90", "--set", "shapes.test=45")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the example: building leaves traces beside what is built."""
    folder = tmp_path_factory.mktemp("example") / "plugin"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", "results")
    return Path(shutil.copytree(EXAMPLE, folder, ignore=ignored))


@pytest.fixture(scope="module")
def wheel(source: Path, workshop: Workshop) -> Path:
    [wheel] = workshop.wheels(source.parent / "made", [source])
    return wheel


@pytest.fixture(scope="module")
def environment(
    wheel: Path, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    folder = tmp_path_factory.mktemp("example-environment")
    return workshop.environment(folder / "environment", [wheel])


def test_the_wheel_holds_the_package_its_licence_and_no_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.name for path in (EXAMPLE / "bench_example").glob("*.py")}
    assert {f"bench_example/{name}" for name in (*modules, "py.typed")} <= names
    assert "bench_example-1.0.0.dist-info/licenses/LICENSE" in names
    assert {name.partition("/")[0] for name in names} == {
        "bench_example",
        "bench_example-1.0.0.dist-info",
    }


def test_its_plugin_and_its_components_are_listed(environment: Environment) -> None:
    told = environment.bench("plugins", "list", "--json")
    assert (told.code, told.err) == (0, "")
    listed = json.loads(told.out)
    [plugin] = [each for each in listed["plugins"] if each["name"] == "bench_example"]
    assert (plugin["distribution"], plugin["version"]) == ("bench-example", "1.0.0")
    assert plugin["error"] is None
    offered = {kind: names for kind, names in plugin["components"].items() if names}
    assert offered == {
        "datasets": ["shapes"],
        "models": ["patches"],
        "optimizers": ["signum"],
        "trackers": ["journal"],
    }
    [command] = listed["commands"]
    assert (command["name"], command["error"]) == ("hello", None)


def test_its_command_is_listed_by_help_without_being_imported(environment: Environment) -> None:
    told = environment.run(environment.python, "-X", "importtime", "-m", "bench", "--help")
    assert told.code == 0
    assert re.search(r"^  hello +from bench-example 1\.0\.0$", told.out, re.MULTILINE)
    assert "bench.cli" in told.err
    assert "bench_example" not in told.err


def test_the_first_commands_of_its_readme_greet_and_rank_its_model(
    environment: Environment,
) -> None:
    block = (EXAMPLE / "README.md").read_text("utf-8").split("```")[1]
    install, hello, run = (shlex.split(line) for line in block.strip().splitlines())
    assert install == ["pip", "install", "."]

    told = environment.bench(*hello[1:])
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("hello there, try `bench run ")

    told = environment.bench(*run[1:], *SMALL, "--json")
    assert told.code == 0, told.err
    board = json.loads(told.out)
    ranked = {(row["model"], row["optimizer"]): row["rank"] for row in board["rows"]}
    assert set(ranked) == {
        (model, optimizer) for model in ("patches", "cnn") for optimizer in ("signum", "adamw")
    }
    assert None not in ranked.values()
    assert {row["dataset"] for row in board["rows"]} == {"shapes"}

    lines = (environment.results / "journal.jsonl").read_text("utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["started", "epoch", "finished"] * len(ranked)
    assert {event["run"] for event in events} == {id for row in board["rows"] for id in row["runs"]}

    told = environment.bench("leaderboard")
    assert "signum" in told.out
    assert "patches" in told.out


def test_its_own_tests_pass_where_it_is_installed(environment: Environment, source: Path) -> None:
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", source, source / "tests")
    told = environment.run(environment.python, *words)
    assert told.code == 0, told.out + told.err
    assert re.search(r"\d+ passed", told.out)
    assert "failed" not in told.out


def test_uninstalled_it_is_gone_and_nothing_else(
    wheel: Path, workshop: Workshop, tmp_path: Path
) -> None:
    environment = workshop.environment(tmp_path / "environment", [wheel])
    assert "patches" in environment.bench("list", "models").out
    workshop.uninstall(environment, "bench-example")
    told = environment.bench("list", "models")
    assert (told.code, told.err) == (0, "")
    assert "resnet50" in told.out
    assert "patches" not in told.out.split()
    assert "hello" not in environment.bench("--help").out
    told = environment.bench("hello")
    assert told.code == 2
    assert told.err.startswith("error: there is no command `hello`")
