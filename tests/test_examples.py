"""The experiment files in `examples/` run as they stand, and as their head comments say."""

from __future__ import annotations

import json
import re
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Done
from PIL import Image

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "examples").glob("*.toml"))
Cli = Callable[..., Done]


def plan(cli: Cli, *words: Any) -> list[dict[str, Any]]:
    done = cli("run", *words, "--plan", "--json")
    assert done.code == 0, done.err
    runs: list[dict[str, Any]] = json.loads(done.out)["runs"]
    return runs


def commands(file: Path) -> list[str]:
    """Return the command lines of a file's head comment."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line.startswith("#     ")]
    return [line[6:] for line in lines]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder and an archive of colour images, called as the comments call them."""
    generator = np.random.default_rng(0)
    for number in range(90):
        kind = ("daisy", "rose", "tulip")[number % 3]
        path = tmp_path / "flowers" / kind / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    with tarfile.open(tmp_path / "flowers.tar", "w") as archive:
        archive.add(tmp_path / "flowers", "flowers")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_optimizers_are_compared_on_one_network_and_one_split(cli: Cli) -> None:
    runs = plan(cli, "-c", ROOT / "examples/optimizers.toml")
    assert {run["model"]["name"] for run in runs} == {"cnn"}
    optimizers = ("sgd-vanilla", "sgd", "momentum", "adam")
    cells = [(run["optimizer"]["name"], run["seed"]) for run in runs]
    assert cells == [(name, seed) for name in optimizers for seed in range(3)]
    for run in runs:
        assert run["protocol"]["fractions"] == [0.63, 0.07, 0.3]
        vanilla = run["optimizer"]["name"] == "sgd-vanilla"
        assert (run["protocol"]["batch_size"] == 1) is vanilla


def test_the_flowers_are_learnt_with_and_without_augmentation_and_dropout(cli: Cli) -> None:
    runs = plan(cli, "-c", ROOT / "examples/flowers.toml")
    cells = {
        (run["augmentation"]["name"], run["model"]["params"]["dropout"], run["seed"])
        for run in runs
    }
    grid = [(a, d, s) for a in ("none", "standard") for d in (0.0, 0.2) for s in range(3)]
    assert cells == {*grid}
    assert len(runs) == len(grid)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_command_of_a_head_comment_is_understood(
    file: Path, cli: Cli, photographs: Path
) -> None:
    found = [words for words in map(shlex.split, commands(file)) if words[1] == "run"]
    assert found
    for words in found:
        assert words[:4] == ["bench", "run", "-c", f"examples/{file.name}"]
        assert plan(cli, "-c", file, *words[4:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizers", "flowers"])
def test_an_example_runs_and_is_drawn(name: str, cli: Cli, tmp_path: Path) -> None:
    words = ("-c", ROOT / f"examples/{name}.toml", "--limit", "200", "--epochs", "1")
    done = cli("run", *words, "--results", tmp_path, "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)["rows"]
    assert [row["seeds"] for row in rows] == [3] * 4
    assert cli("leaderboard", "--results", tmp_path, "--figures", tmp_path / "pictures").code == 0
    drawn = [path.name for path in (tmp_path / "pictures").iterdir()]
    # A block, or two and both side by side; curves and ranking of each as PNG and SVG.
    assert len(drawn) == {"optimizers": 4, "flowers": 12}[name]


@pytest.mark.slow
def test_the_flowers_example_runs_on_photographs(cli: Cli, photographs: Path) -> None:
    words = shlex.split(commands(ROOT / "examples/flowers.toml")[-1])[4:]
    done = cli("run", "-c", ROOT / "examples/flowers.toml", *words, "--epochs", "1", "--seeds", "1")
    assert done.code == 0, done.err


def test_the_pictures_of_the_examples_are_small_and_whole() -> None:
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
    shown = re.findall(r"!\[.+?\]\((.+?)\)", pages)
    pictures = [*(ROOT / "docs/pictures").iterdir()]
    assert {ROOT / "docs" / each for each in shown} == {*pictures}
    for path in pictures:
        assert path.stat().st_size < 120_000
        with Image.open(path) as picture:
            picture.verify()
