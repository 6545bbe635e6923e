"""What a person sees: tables that fit."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console as RichConsole
from samples import make_record, make_spec

from bench import leaderboard, ranking_table
from bench.store import Store


@pytest.mark.parametrize("width", [72, 80, 100, 120, 160])
def test_a_leaderboard_fits_the_terminal_and_cuts_no_name(tmp_path: Path, width: int) -> None:
    records = [
        make_record(make_spec("mobilenetv3_large_100", seed=seed), 0.7 + seed / 100, 1000)
        for seed in range(3)
    ]
    records += [make_record(make_spec("resnet50"), 0.9, 1000)]
    (block,) = leaderboard.build(records, Store(tmp_path)).blocks
    out = io.StringIO()
    RichConsole(file=out, width=width).print(ranking_table._block_table(block, width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len([line for line in lines if "mobilenetv3_large_100" in line]) == 1
    assert "…" not in out.getvalue()
    optional = [
        name for name in ranking_table.OPTIONAL_COLUMNS if name != "tuning"
    ]  # none was tuned
    shown = [name for name in optional if any(name in line for line in lines)]
    assert shown == optional[len(optional) - len(shown) :]


def test_rows_of_different_sizes_say_so_on_a_narrow_terminal() -> None:
    def columns(*sizes: int) -> list[str]:
        records = [
            make_record(make_spec(f"net{size}{place}"), profile={"input_size": size})
            for place, size in enumerate(sizes)
        ]
        [block] = leaderboard.build(records, Store(Path())).blocks
        return [str(column.header) for column in ranking_table._block_table(block, 80).columns]

    assert "input" in columns(8, 28)
    assert "input" not in columns(28, 28)
