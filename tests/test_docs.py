"""The documents say what the code does."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import install
from PIL import Image

from bench import hookspecs
from bench.cli import COMMANDS
from bench.config import defaults_table
from bench.registry import HOOKS
from bench.specs import KINDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_table_of_defaults_is_made_from_the_config() -> None:
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    table = text.split("defaults_table() -->\n")[1].split("\n<!-- end")[0]
    assert table == defaults_table()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"bench {command}" in (ROOT / "docs/cli.md").read_text("utf-8")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"`{hook}({arguments})`" in (ROOT / "docs/plugins.md").read_text("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_component_is_documented(kind: str) -> None:
    assert f"`bench.{KINDS[kind].__name__}`" in (ROOT / "docs/plugins.md").read_text("utf-8")


def test_the_readmes_plugin_is_the_one_of_the_plugin_page() -> None:
    blocks = [
        re.search(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
        for page in ("README.md", "docs/plugins.md")
    ]
    assert blocks[0] is not None
    assert blocks[1] is not None
    assert blocks[0][1] == blocks[1][1]
    assert len([line for line in blocks[0][1].splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_file_of_the_core_is_in_the_tree_of_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    modules = [path.name for path in (ROOT / "bench").glob("*.py") if path.name != "__main__.py"]
    modules += [path.name for path in (ROOT / "bench/engine").glob("*.py")]
    assert [name for name in modules if name not in text] == []


def installed(site: Path, blocks: dict[str, str]) -> dict[str, str]:
    """Install each block of code as a plugin; return the environment that has them."""
    for name, code in blocks.items():
        install(site, f"bench-{name}", {f"bench_{name}": f"bench_{name}"})
        (site / f"bench_{name}.py").write_text(code)
    paths = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    return {**os.environ, "PYTHONPATH": paths}


def printed(site: Path, environment: dict[str, str], words: str) -> str:
    """Run a command line on the results of a folder and return what it prints."""
    line = [sys.executable, "-m", "bench", *shlex.split(words), "--results", str(site / "r")]
    done = subprocess.run(line, env=environment, cwd=site, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_with(site: Path, blocks: dict[str, str], words: str) -> dict[str, Any]:
    """Install each block of code as a plugin, run a command line and return what it prints."""
    result: dict[str, Any] = json.loads(printed(site, installed(site, blocks), f"{words} --json"))
    return result


def code_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def test_the_readmes_plugin_trains_once_it_is_installed(tmp_path: Path) -> None:
    words = "run --datasets tiny --models tiny --optimizers adamw,amsgrad"
    rows = run_with(tmp_path, {"amsgrad": code_blocks("README.md")[0]}, words)["rows"]
    assert {row["optimizer"] for row in rows} == {"adamw", "amsgrad"}
    assert all(row["metrics"]["accuracy"]["mean"] > 0.5 for row in rows)


def test_what_the_plugin_page_shows_trains(tmp_path: Path) -> None:
    _, prefixed, invert, halve, sure, *_ = code_blocks("docs/plugins.md")
    (tmp_path / "pictures").mkdir()
    for number in range(60):
        picture = Image.new("L", (12, 12), number + (0 if number % 2 else 190))
        picture.save(tmp_path / "pictures" / f"{'dark' if number % 2 else 'light'}_{number}.png")
    blocks = {"prefixed": prefixed, "invert": invert, "halve": halve, "sure": sure}
    words = "run --datasets prefixed:pictures --models tiny --augmentation invert --epochs 2"
    words += " --schedule halve --metrics sure,sure:least=0.001"
    [row] = run_with(tmp_path, blocks, words)["rows"]
    assert row["dataset"] == "prefixed:pictures"
    assert row["protocol"]["augmentation"] == "invert"
    assert row["metrics"]["accuracy"]["n"] == 12
    assert row["metrics"]["sure"]["low"] <= row["metrics"]["sure"]["mean"] <= 1
    assert row["metrics"]["sure:least=0.001"]["mean"] == 1


def test_the_plugin_pages_report_is_printed(tmp_path: Path) -> None:
    _, _, _, _, _, brief, *_ = code_blocks("docs/plugins.md")
    words = "run --datasets tiny --models tiny --optimizers adamw,sgd"
    environment = installed(tmp_path, {"brief": brief})
    printed(tmp_path, environment, words)
    words = "report --format brief:rows=1 -o -"
    answer, row = printed(tmp_path, environment, words).splitlines()
    assert "sgd is ahead of adamw by" in answer
    assert row == "  1  sgd"


def test_the_plugin_pages_weights_are_started_from(tmp_path: Path) -> None:
    import timm

    given = timm.create_model("resnet18", num_classes=7).state_dict()
    torch.save({f"encoder.{name}": t for name, t in given.items()}, tmp_path / "moths.pth")
    words = "run --datasets digits --models resnet18 --weights moths --limit 40 --epochs 1"
    blocks = {"moths": code_blocks("docs/plugins.md")[-1]}
    [row] = run_with(tmp_path, blocks, f"{words} --input-size 32 --color rgb")["rows"]
    assert row["weights"] == "moths"
    [record] = (tmp_path / "r" / "runs").glob("*/record.json")
    seen = json.loads(record.read_text())["environment"]
    assert seen["weights"]["new"] == ["fc.weight", "fc.bias"]
    assert seen["mean"] == [0.5, 0.5, 0.5]
