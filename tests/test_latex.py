from __future__ import annotations

import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import make_record, make_spec

from bench import latex
from bench.leaderboard import build
from bench.records import RunStatus
from bench.store import Store
from bench.text import latex_cell

HOSTILE = r"\input{/etc/passwd} a_b & 50% $x^2$ #1 {~} \\ <b> | [red] " + "\nnext"


@pytest.fixture
def text(tmp_path: Path) -> str:
    """Two blocks: one of hostile names with a failure, one plain."""
    records = [
        make_record(make_spec(HOSTILE, optimizer="a&b", dataset=HOSTILE), 0.9),
        make_record(make_spec("bad", dataset=HOSTILE), status=RunStatus.CRASHED, error=HOSTILE),
        make_record(make_spec("plain"), 0.5),
        make_record(make_spec("other"), 0.5),
    ]
    return latex.to_latex(build(records, Store(tmp_path)))


def test_each_block_is_a_table_whose_lines_have_all_cells(text: str) -> None:
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tables) == 2
    for layout, body in tables:
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(lines) == 3
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(layout) - 1}


def test_no_name_can_be_a_command(text: str) -> None:
    assert r"\input" not in text
    assert r"\textbackslash{}input\{/etc/passwd\}" in text


def test_what_one_may_type_is_set_as_such(text: str) -> None:
    assert r"\texttt{-{}-seeds 5}" in text
    assert "`" not in text


@given(st.text(string.printable + "äß–…"))
def test_every_special_character_is_escaped(name: str) -> None:
    rest = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]", "", latex_cell(name))
    assert not set(rest) & set('\\&%$#_{}~^<>|"\n\t')


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_takes_it(text: str, tmp_path: Path) -> None:
    preamble = r"\documentclass{article}\usepackage{booktabs}\usepackage[T1]{fontenc}"
    document = f"{preamble}\\begin{{document}}\n{text}\\end{{document}}\n"
    (tmp_path / "board.tex").write_text(document, "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "board.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
