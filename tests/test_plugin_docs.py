"""The pages for plugin authors: every block of code does what it says, and nothing is missing."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Done, install
from PIL import Image

import bench
from bench import hookspecs
from bench.api_version import API_VERSION
from bench.registry import HOOKS, Plugin, Registry
from bench.report.content import Content
from bench.scaffold import Package
from bench.specs import KINDS, Component

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "plugins"
INDEX = ROOT / "docs" / "plugins.md"
HELD: dict[str, tuple[type, ...]] = {
    "dataset": (bench.Splits, bench.DatasetHints),
    "model": (bench.ModelHints, bench.Preprocessing),
    "weights": (bench.Origin,),
    "metric": (bench.Answers,),
    "executor": (bench.Job, bench.JobEvent),
    "report": (Content,),
}
"""What a factory of a kind is given or returns."""


def page_of(kind: str) -> str:
    return (FOLDER / f"{KINDS[kind].plural}.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    every = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for name, block in every if name == language]


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of all rows of tables by what stands in backticks in the first one."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) > 1 and (name := re.match(r"\[?`([^`]+)`", cells[0])):
            found[name[1]] = cells[1:]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_tells_of_all_fields_of_its_kind(kind: str) -> None:
    text = page_of(kind)
    shared = {each.name for each in dataclasses.fields(Component)}
    fields = [each.name for each in dataclasses.fields(KINDS[kind]) if each.name not in shared]
    for held in HELD.get(kind, ()):
        fields += [each.name for each in dataclasses.fields(held)]
    told = rows(text)
    assert [name for name in fields if not told.get(name, [""])[0]] == []
    assert f"`bench.{KINDS[kind].__name__}`" in text


def test_the_index_tells_of_the_fields_that_all_kinds_share_and_of_each_kind() -> None:
    text = INDEX.read_text("utf-8")
    told = rows(text)
    assert [each.name for each in dataclasses.fields(Component) if each.name not in told] == []
    for spec in KINDS.values():
        assert f"[`bench.{spec.__name__}`](plugins/{spec.plural}.md)" in text
    for page in FOLDER.glob("*.md"):
        assert f"](plugins/{page.name})" in text


def test_the_page_of_executors_tells_of_all_that_a_session_does() -> None:
    members = [name for name in vars(bench.ExecutorSession) if not name.startswith("_")]
    text = page_of("executor")
    assert [name for name in members if f"| `{name}" not in text] == []


def arguments(hook: str) -> str:
    """Return the arguments of a hook with their types, as the page of hooks has them."""
    found = [
        f"`{each.name}: bench.{each.annotation}`"
        for each in inspect.signature(getattr(hookspecs, hook)).parameters.values()
    ]
    return ", ".join(found) or "none"


def returns(hook: str) -> str:
    """Return what a hook returns, as the page of hooks has it."""
    found = inspect.signature(getattr(hookspecs, hook)).return_annotation
    if found == "None":
        return "nothing"
    item = re.fullmatch(r"Iterable\[(\w+)\]", found)
    assert item is not None
    return f"`Iterable[{item[1] if item[1] == 'Path' else 'bench.' + item[1]}]`"


def test_the_page_of_hooks_is_complete() -> None:
    text = (FOLDER / "hooks.md").read_text("utf-8")
    told = rows(text)
    for hook in HOOKS:
        names = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
        cells = told[f"{hook}({names})"]
        assert cells[:2] == [arguments(hook), returns(hook)]
        # When it is called, in which process, in which thread.
        assert len(cells) == 5
        assert all(cells)
    calls = [name.partition("(")[0] for name in told if "(" in name]
    assert sorted(calls) == sorted(HOOKS)
    for held in (bench.EpochMetrics, bench.RunRecord):
        assert [each.name for each in dataclasses.fields(held) if each.name not in told] == []
    for name in re.findall(r"`run\.(\w+)`", text):
        assert name == "id" or name in bench.RunSpec.__dataclass_fields__


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "tracker"])
def test_a_page_begins_with_what_the_scaffold_writes(kind: str) -> None:
    text = page_of(kind)
    begun = re.search(r"`bench plugins new ([\w-]+) --kind (\w+)`", text)
    assert begun is not None
    assert begun[2] == kind
    package = Package(begun[1], kind)
    assert blocks(text, "python")[0] == package.files()[f"{package.module}.py"]


PLUGINS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in [INDEX, *sorted(FOLDER.glob("*.md"))]
    for number, block in enumerate(blocks(page.read_text("utf-8"), "python"))
    if "@bench.hookimpl" in block
]


@pytest.mark.parametrize("block", PLUGINS)
def test_every_plugin_of_the_pages_loads(block: str) -> None:
    module = types.ModuleType("acme")
    exec(compile(block, "acme.py", "exec"), module.__dict__)
    registry = Registry()
    plugin = Plugin("acme", "acme", "1.0", "acme")
    registry.add(plugin, lambda: module)
    assert plugin.error is None
    assert plugin.deprecations == []
    assert plugin.api == API_VERSION
    assert registry.hooks(plugin)


@pytest.mark.parametrize("block", PLUGINS)
def test_the_plugins_of_the_pages_keep_to_what_the_door_offers(block: str) -> None:
    found = set(re.findall(r"\bbench\.([A-Za-z_]+)", re.sub(r'""".*?"""', "", block)))
    assert found <= {*bench.__all__, "lifeline", "engine", "testing"}


def plugin_name(block: str) -> str:
    """Return the first component's name of a plugin, by which tests ask for it."""
    found = re.search(r'\bname="([\w-]+)"', block)
    return found[1] if found else "observer"


def shown(*names: str) -> dict[str, str]:
    """Return the plugins of the pages that offer these components, by name."""
    every = {
        plugin_name(block): block
        for page in sorted(FOLDER.glob("*.md"))
        for block in blocks(page.read_text("utf-8"), "python")
        if "@bench.hookimpl" in block
    }
    return {name: every[name] for name in names or every}


def installed(site: Path, plugins: dict[str, str]) -> dict[str, str]:
    """Install each block of code as a plugin; return the environment that has them."""
    for name, code in plugins.items():
        module = f"shown_{name.replace('-', '_')}"
        install(site, f"shown-{name}", {module: module})
        (site / f"{module}.py").write_text(code, "utf-8")
    paths = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    return {**os.environ, "PYTHONPATH": paths}


def printed(site: Path, environment: dict[str, str], words: str) -> str:
    """Run a command line on the results of a folder and return what it prints."""
    line = [sys.executable, "-m", "bench", *shlex.split(words), "--results", str(site / "r")]
    done = subprocess.run(line, env=environment, cwd=site, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(site: Path, environment: dict[str, str], words: str) -> list[dict[str, Any]]:
    """Run an experiment and return the rows of its leaderboard."""
    found: list[dict[str, Any]] = json.loads(printed(site, environment, f"{words} --json"))["rows"]
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of pictures that are called `<class>_<number>.png`."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(60):
        picture = Image.new("L", (12, 12), number + (0 if number % 2 else 190))
        picture.save(folder / f"{'dark' if number % 2 else 'light'}_{number}.png")
    return folder


def test_the_readmes_plugin_trains_and_the_pages_report_is_printed(tmp_path: Path) -> None:
    readme = blocks((ROOT / "README.md").read_text("utf-8"), "python")[0]
    environment = installed(tmp_path, {"readme": readme, **shown("brief")})
    words = "run --datasets tiny --models tiny --optimizers adamw,amsgrad"
    found = rows_of(tmp_path, environment, words)
    assert {row["optimizer"] for row in found} == {"adamw", "amsgrad"}
    assert all(row["metrics"]["accuracy"]["mean"] > 0.5 for row in found)
    [line] = blocks(page_of("report"), "")[0].splitlines()
    assert line == "bench report --format brief:rows=3 -o -"
    line = line.removeprefix("bench ")
    lines = printed(tmp_path, environment, line).splitlines()
    assert len(lines) == 6
    assert "adamw" in lines[3]
    assert lines[4].startswith("  1  a")


@pytest.mark.slow
def test_what_the_scaffold_writes_for_each_kind_trains_together(tmp_path: Path) -> None:
    names = ["halves", "two-layers", "orthogonal", "amsgrad", "half-life", "poly", "invert"]
    environment = installed(tmp_path, shown(*names, "worst-recall", "gentle"))
    words = "run --datasets halves --models two-layers --weights orthogonal --optimizers amsgrad"
    words += " --schedule half-life --loss poly --augmentation invert --metrics worst-recall"
    [row] = rows_of(tmp_path, environment, f"{words} --executor gentle --epochs 1 --limit 60")
    assert (row["dataset"], row["model"], row["optimizer"]) == ("halves", "two-layers", "amsgrad")
    assert row["weights"] == "orthogonal"
    assert 0 <= row["metrics"]["worst-recall"]["mean"] <= row["metrics"]["accuracy"]["mean"]


def test_the_further_plugins_of_the_pages_train_together(tmp_path: Path, pictures: Path) -> None:
    names = ["prefixed", "perceptron", "sign-descent", "halve", "logit-adjusted", "beside", "sure"]
    environment = installed(tmp_path, shown(*names))
    words = f"run --datasets prefixed:{pictures} --models perceptron --normalize model --epochs 2"
    words += " --optimizers sign-descent --schedule halve --loss logit-adjusted"
    words += " --augmentation beside --metrics sure,sure:least=0.001"
    [row] = rows_of(tmp_path, environment, words)
    assert row["dataset"] == "prefixed:pictures"
    assert row["protocol"]["augmentation"] == "beside"
    assert row["metrics"]["accuracy"]["n"] == 12
    assert row["metrics"]["accuracy"]["mean"] == 1
    assert row["metrics"]["sure"]["low"] <= row["metrics"]["sure"]["mean"] <= 1
    assert row["metrics"]["sure:least=0.001"]["mean"] == 1


def test_the_pages_weights_are_started_from(tmp_path: Path) -> None:
    import timm

    given = timm.create_model("resnet18", num_classes=7).state_dict()
    torch.save({f"encoder.{name}": t for name, t in given.items()}, tmp_path / "moths.pth")
    words = "run --datasets digits --models resnet18 --weights moths --limit 40 --epochs 1"
    environment = installed(tmp_path, shown("moths"))
    [row] = rows_of(tmp_path, environment, f"{words} --input-size 32 --color rgb")
    assert row["weights"] == "moths"
    [record] = (tmp_path / "r" / "runs").glob("*/record.json")
    seen = json.loads(record.read_text())["environment"]
    assert seen["weights"]["new"] == ["fc.weight", "fc.bias"]
    assert seen["mean"] == [0.5, 0.5, 0.5]


def test_the_observer_of_the_page_of_hooks_writes_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: Callable[..., Any]
) -> None:
    module = types.ModuleType("observer")
    exec(shown("observer")["observer"], module.__dict__)
    monkeypatch.chdir(tmp_path)
    experiment(plugins=(module,))
    assert re.fullmatch(r"tiny ok [01]\.\d+\n", (tmp_path / "finished.txt").read_text())


LINES = [
    pytest.param(line, id=f"{page.stem}: {line[6:40]}")
    for page in sorted(FOLDER.glob("*.md"))
    if page.stem not in ("tutorial", "testing", "versions", "trackers", "publishing")
    for block in blocks(page.read_text("utf-8"), "")
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", LINES)
def test_the_commands_of_the_pages_are_understood(
    line: str,
    tmp_path: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Callable[..., Done],
) -> None:
    """What trains is planned only: tests above train it."""
    installed(tmp_path, shown())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line)
    assert program == "bench"
    done = cli(*words, *(["--plan"] if words[0] == "run" else []))
    for name in [name for name in sys.modules if name.startswith("shown_")]:
        del sys.modules[name]
    # A test above has the report written.
    assert done.code == 0 or "there is no folder `results`" in done.err, done.err


def test_other_blocks_of_the_pages_can_be_read() -> None:
    seen = 0
    for page in [INDEX, *sorted(FOLDER.glob("*.md"))]:
        text = page.read_text("utf-8")
        for block in blocks(text, "toml"):
            tomllib.loads(block)
            seen += 1
        for block in blocks(text, "yaml"):
            yaml.safe_load(block)
            seen += 1
    assert seen >= 4
