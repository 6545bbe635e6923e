"""The notebook in `examples/` runs as it stands, and shows what its text says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="pip install nbclient ipykernel")
nbclient = pytest.importorskip("nbclient", reason="pip install nbclient ipykernel")
pytest.importorskip("ipykernel", reason="pip install nbclient ipykernel")

NOTEBOOK = Path(__file__).parent.parent / "examples" / "results.ipynb"


def texts(cell: Any) -> str:
    """Return what a cell shows, as text."""
    shown = [output.get("text", "") for output in cell.outputs]
    shown += [each for o in cell.outputs for each in o.get("data", {}).values()]
    return "\n".join(shown)


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    """The notebook's cells of code, run in a kernel of their own."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}


def test_it_runs_and_shows_a_leaderboard_a_table_and_a_verdict(cells: list[Any]) -> None:
    ranked, table, summary, _, verdict = cells
    assert "| model | optimizer |" in texts(ranked)
    assert "metrics.test.accuracy" in texts(table)
    assert len(re.findall(r"<th>\d+</th>", texts(table))) == 6  # two optimizers, three seeds
    assert "momentum" in texts(summary)
    found = re.search(r"ahead by ([+-][\d.]+)% .* p = ([\d.e-]+), \S+", texts(verdict))
    assert found is not None
    assert 0 <= float(found[2]) <= 1
