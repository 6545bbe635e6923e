"""What a person sees: tables that fit."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console as RichConsole
from samples import make_record, make_spec

from bench import leaderboard, ranking_table, stats
from bench.records import RunStatus
from bench.scoring import Measured
from bench.specs import Metric
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
    RichConsole(file=out, width=width).print(*ranking_table._block_tables(block, width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len([line for line in lines if "mobilenetv3_large_100" in line]) == 1
    assert "…" not in out.getvalue()
    optional = [n for n in ranking_table.OPTIONAL_COLUMNS if n != "tuning"]  # none was tuned
    shown = [name for name in optional if any(name in line for line in lines)]
    assert shown == optional[len(optional) - len(shown) :]


def test_rows_of_different_sizes_say_so_on_a_narrow_terminal() -> None:
    def columns(*sizes: int) -> list[str]:
        records = [
            make_record(make_spec(f"net{size}{place}"), profile={"input_size": size})
            for place, size in enumerate(sizes)
        ]
        [block] = leaderboard.build(records, Store(Path())).blocks
        [table] = ranking_table._block_tables(block, 80)
        return [str(column.header) for column in table.columns]

    assert "input" in columns(8, 28)
    assert "input" not in columns(28, 28)


def test_the_first_rows_are_shown_and_the_others_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [make_record(make_spec(f"net{n}"), 0.9 - n / 100, 1000) for n in range(9)]
    records.append(make_record(make_spec("broken"), status=RunStatus.CRASHED, error="signal 11"))
    board = leaderboard.build(records, Store(tmp_path))
    ranking_table.print_leaderboard(board, 4)
    shown = capsys.readouterr().out
    assert [f"net{n}" in shown.split("and 6 more")[0] for n in range(5)] == [True] * 4 + [False]
    assert "and 6 more, 1 of them without a score; `--top 0` shows all" in shown
    ranking_table.print_leaderboard(board, 0)
    shown = capsys.readouterr().out
    assert "broken" in shown
    assert "more" not in shown


def test_metrics_that_leave_no_room_follow_in_tables_of_the_same_rows(tmp_path: Path) -> None:
    records = [make_record(make_spec(f"mobilenetv3_large_{n}"), 0.7, 1000) for n in range(2)]
    [block] = leaderboard.build(records, Store(tmp_path)).blocks
    metric = Metric(name="m", compute=lambda answers: 0.5, bounds=(0, 1))
    for row in block.rows:
        known = Measured(stats.Interval(0.5, 0.4, 0.6), "items", metric, 1)
        row.asked = {f"a_metric_of_a_long_name_{n}": known for n in range(6)}
    out = io.StringIO()
    RichConsole(file=out, width=100).print(*ranking_table._block_tables(block, 100))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert all(f"a_metric_of_a_long_name_{n}" in out.getvalue() for n in range(6))
    assert len([line for line in lines if "mobilenetv3_large_0" in line]) > 1
