from __future__ import annotations

import json
from pathlib import Path

import pytest
from samples import make_record, make_spec

from bench import figures, latex, ranking_table, tables
from bench.leaderboard import Leaderboard, build
from bench.records import RunRecord, RunStatus
from bench.store import Store

SCORES = {"best": 0.9, "close": 0.89, "middle": 0.8, "worst": 0.6}


def records(datasets: int, **scores: float) -> list[RunRecord]:
    """Return one run of each method on each dataset; `close` is ahead on every other one."""
    found = []
    for number in range(datasets):
        for name, score in (scores or SCORES).items():
            up = 0.02 if name == "close" and number % 2 else 0.0
            spec = make_spec(name, dataset=f"set{number}", fingerprint=f"{number:064d}")
            found.append(make_record(spec, score + up - number / 100, 500))
    return found


def board(found: list[RunRecord], tmp_path: Path) -> Leaderboard:
    return build(found, Store(tmp_path))


def test_mean_ranks_of_five_datasets_are_told_in_all_forms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = board(records(5), tmp_path)
    [standings] = whole.standings
    assert standings.methods == ("best", "close", "middle", "worst")
    assert list(standings.standing.ranks) == [1.4, 1.6, 3.0, 4.0]
    said = "mean ranks over 5 datasets by test accuracy: best 1.4, close 1.6, middle 3.0, worst 4.0"
    assert said in tables.to_markdown(whole)
    assert said in latex.to_latex(whole)
    ranking_table.print_leaderboard(whole)
    assert said in " ".join(capsys.readouterr().out.split())
    [plain] = json.loads(json.dumps(whole.to_dict()))["standings"]
    assert plain["methods"][0] == {"name": "best", "mean_rank": 1.4}
    # Demšar's table: 2.569 for four methods, times the root of 4 * 5 / (6 * 5).
    assert plain["critical_difference"] == pytest.approx(2.569 * (20 / 30) ** 0.5, abs=2e-3)
    assert ["best", "close", "middle"] in plain["cliques"]


@pytest.mark.parametrize(
    "found",
    [
        records(4),
        records(5, alone=0.9),
        [record for record in records(5) if record.spec.dataset.name[-1] in record.spec.model.name],
        records(5)
        + [make_record(make_spec(m, dataset="set0", protocol={"epochs": 9}), 0.5) for m in "ab"],
    ],
    ids=["four datasets", "one method", "nothing in common", "two blocks of one dataset"],
)
def test_too_little_in_common_has_no_mean_ranks(found: list[RunRecord], tmp_path: Path) -> None:
    assert board(found, tmp_path).standings == []


def test_a_method_without_a_score_somewhere_is_left_out_and_counted(tmp_path: Path) -> None:
    found = records(5)
    failed = make_spec("fails", dataset="set0", fingerprint=f"{0:064d}")
    found.append(make_record(failed, status=RunStatus.CRASHED, error="signal 11"))
    others = [make_spec("fails", dataset=f"set{n}", fingerprint=f"{n:064d}") for n in range(1, 5)]
    found += [make_record(spec, 0.99) for spec in others]
    [standings] = board(found, tmp_path).standings
    assert standings.left_out == 1
    assert "fails" not in standings.methods
    assert "1 without a score on each of them are left out" in str(standings)


def test_the_diagram_names_every_method(tmp_path: Path) -> None:
    whole = board(records(6, **SCORES, **{"<b>$x$": 0.7}), tmp_path)
    written = figures.write_standings(whole.standings, tmp_path / "pictures")
    assert [path.suffix for path in written] == [".png", ".svg"]
    [axes] = [
        axes for part in figures.draw_standings(whole.standings[0]).subfigs for axes in part.axes
    ]
    shown = [text.get_text() for text in axes.texts]
    for name in (*SCORES, "<b>$x$"):
        assert [text for text in shown if name in text]
    assert [text for text in shown if text.startswith("critical difference")]
