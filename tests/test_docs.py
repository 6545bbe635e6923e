"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cli import COMMANDS
from bench.config import defaults_table

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_table_of_defaults_is_made_from_the_config() -> None:
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    table = text.split("defaults_table() -->\n")[1].split("\n<!-- end")[0]
    assert table == defaults_table()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"bench {command}" in (ROOT / "docs/cli.md").read_text("utf-8")


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
