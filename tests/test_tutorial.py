"""The tutorial, followed as a reader would: every block, in a clean folder and environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
from environments import Environment, Workshop

from bench.conformance.checking import check
from bench.registry import Offer, Plugin, Registry

PAGE = Path(__file__).parent.parent / "docs" / "plugins" / "tutorial.md"


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        language: empty for a shell.
        before: the paragraph above it, which names the file of a block of Python.
    """

    language: str
    text: str
    before: str

    @property
    def file(self) -> str:
        return re.findall(r"`([\w/.-]+\.py)`", self.before)[-1]


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found = []
    for each in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        before = text[: each.start()].rstrip().rpartition("\n\n")[2]
        found.append(Block(each[1], each[2], before))
    return found


@dataclass
class Reader:
    """Somebody at a terminal of a clean environment, who does what a page says."""

    environment: Environment
    workshop: Workshop
    place: Path

    def __post_init__(self) -> None:
        # What an environment that sees the packages of another one has no scripts for.
        python = self.environment.python
        pip = self.workshop.folder / "pip" / "bin" / "python"
        for name, words in {
            "pip": f"{pip} -m pip --python {python}",
            "pytest": f"{python} -m pytest",
        }.items():
            script = self.environment.folder / "bin" / name
            script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            script.chmod(0o755)

    def follow(self, page: Path) -> str:
        """Do all that a page says, see what it shows, and return what was printed."""
        printed = []
        for block in blocks(page):
            if block.language == "python":
                file = self.place / block.file
                assert file.is_file(), f"{file} is to be replaced, and is not there"
                file.write_text(block.text, "utf-8")
            elif not block.language:
                printed.append(self.shell(block.text))
            else:
                assert block.text in printed[-1]
        return "\n".join(printed)

    def shell(self, lines: str) -> str:
        """Run lines in a shell, which stands where the one before them ended."""
        where = self.environment.folder / "where"
        start = time.perf_counter()
        done = subprocess.run(
            ["bash", "-e", "-c", f"{lines}\npwd > {where}"],
            cwd=self.place,
            env=self.environment.variables(
                PIP_NO_INDEX="1",
                PIP_NO_BUILD_ISOLATION="0",
                PIP_DISABLE_PIP_VERSION_CHECK="1",
                PIP_FIND_LINKS=str(self.workshop.harness.parent),
            ),
            capture_output=True,
            text=True,
            timeout=900,
            stdin=subprocess.DEVNULL,
        )
        told = done.stdout + done.stderr
        print(f"$ {lines}{told}\n[{time.perf_counter() - start:.1f} s]")
        assert done.returncode == ("# exits with 1" in lines), f"{lines}\n{told}"
        if done.returncode == 0:
            self.place = Path(where.read_text().strip())
        self._share_packages()
        return told

    def _share_packages(self) -> None:
        """Let environments that the reader has made see torch and the like, as an index would."""
        for config in self.place.glob("*/pyvenv.cfg"):
            [site] = config.parent.glob("lib/*/site-packages")
            (site / "packages.pth").write_text(f"{self.workshop.folder / 'packages'}\n")
            # Python 3.11 puts in a setuptools that is too old for torch; an index has a newer one.
            for path in (*site.glob("setuptools*"), *site.glob("*distutils*")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_does_what_it_says(tmp_path: Path, workshop: Workshop) -> None:
    (tmp_path / "empty").mkdir()
    environment = workshop.environment(tmp_path / "environment")
    reader = Reader(environment, workshop, tmp_path / "empty")
    start = time.perf_counter()
    printed = reader.follow(PAGE)
    print(f"followed in {time.perf_counter() - start:.0f} s")
    assert "fix:" in printed
    assert "rules checked here: 0 of 1\n" in printed
    assert "rules checked here: 3 of 3\n" in printed
    assert (tmp_path / "empty" / "my-plugins" / "patches.png").stat().st_size > 1000
    assert len(list((tmp_path / "empty" / "my-plugins" / "wheels").glob("*.whl"))) == 3
    there = tmp_path / "empty" / "my-plugins" / "there"
    assert len(list(there.glob("runs/*/record.json"))) == 2


def test_the_plugins_of_the_tutorial_keep_the_rules_of_their_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    offers = []
    for block in blocks(PAGE):
        if block.language != "python":
            continue
        name = Path(block.file).stem
        (tmp_path / f"{name}.py").write_text(block.text, "utf-8")
        module = types.ModuleType(name)
        exec(compile(block.text, name, "exec"), module.__dict__)
        plugin = Plugin(name, name, "1.0", name)
        Registry().add(plugin, lambda module=module: module)  # type: ignore[misc]
        assert plugin.error is None
        offers += [Offer(component, plugin) for component in plugin.components]
    assert [offer.component.kind for offer in offers] == ["dataset", "model", "optimizer"]
    # That of datasets starts further processes: the test above has it.
    for verdict in check(offers[1:], 100):
        assert verdict.failures == ()


def test_the_plugins_of_the_tutorial_are_short() -> None:
    for block in blocks(PAGE):
        if block.language == "python":
            lines = [line for line in block.text.splitlines() if line.strip()]
            assert len(lines) <= 25
