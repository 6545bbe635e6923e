"""Leaderboards as tables of a report, and scores against costs."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_folders import chart_of, prepare, seeded, write
from samples import make_record, make_spec
from study_samples import make_study, make_trial

from bench import rankings, stats, studies
from bench.charts import Dot, Line
from bench.report.blocks import GAIN, limits
from bench.report.tradeoffs import front
from bench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_cells_say_what_the_leaderboard_says_and_sort_by_numbers(store: Store) -> None:
    write(store, [*seeded("a", [0.8, 0.9]), *seeded("b", [0.1, 0.3])])
    (block,) = prepare(store).blocks
    first = block.rows[0].cells
    (row,) = (row for row in rankings.stored(store).rows if row.model == "a")
    assert first["test"].sort == row.score.mean == pytest.approx(0.85)
    assert first["parameters"].text == "1.2k"
    assert first["parameters"].sort == 1234
    assert "status" not in first  # nothing failed
    numeric = {column.name for column in block.columns if column.numeric}
    assert {"rank", "test", "val", "parameters"} <= numeric
    assert not {"model", "optimizer"} & numeric


def test_times_of_a_shared_device_do_not_sort(store: Store) -> None:
    write(store, seeded("a", [0.8], environment={"shared_device": True}))
    write(store, seeded("b", [0.7], timing={"train_seconds": 5.0}))
    (block,) = prepare(store).blocks
    shared, alone = (row.cells["train s"] for row in block.rows)
    assert (shared.text, shared.sort, alone.sort) == ("~3.0", None, 5.0)
    assert "shared their device" in shared.hover
    assert [chart.name for chart in block.tradeoffs] == []  # one time, equal parameters


def test_a_tuned_row_says_what_it_won_against_its_default(store: Store) -> None:
    plain = {"optimizer": {"lr": 0.1}, "model": {"depth": 2}}
    default = seeded("net", [0.70, 0.72], params=plain)
    other = seeded("net", [0.60, 0.62], params={**plain, "model": {"depth": 3}})
    study = make_study([make_trial(0, 0.7), make_trial(1, 0.8)])
    base = {**study.base, "optimizer": {**study.base["optimizer"], "params": {"lr": 0.1}}}
    base["model"] = {**study.base["model"], "params": {"depth": 2}}
    tuned = seeded(
        "net",
        [0.80, 0.84],
        params={**plain, "optimizer": {"lr": 0.3}},
        tuned={"study": study.id, "trial": 1},
    )
    finals = [[record.id for record in tuned]]
    study = dataclasses.replace(study, base=base, best=[1], finals=finals, over=True)
    write(store, [*default, *other, *tuned])
    studies.write(store.root, study)
    (block,) = prepare(store).blocks
    gains = {row.label: row.cells[GAIN] for row in block.rows}
    (won,) = (value for value in gains.values() if value.text != "–")
    assert won.text == "+11.0"
    assert won.sort == pytest.approx(0.11)
    assert "tuned 82.0%" in won.hover
    assert "default 71.0%" in won.hover
    (row,) = (row for row in block.rows if row.id == won.link)
    assert row.interval is not None
    assert row.interval[0] == pytest.approx(0.71)
    assert GAIN in block.footnote


def test_without_a_search_no_column_speaks_of_it(store: Store) -> None:
    write(store, seeded("a", [0.8]))
    (block,) = prepare(store).blocks
    assert not {GAIN, "tuning"} & {column.name for column in block.columns}


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted), min_size=1, max_size=9)
)
def test_an_axis_holds_all_intervals_and_little_else(ends: list[list[float]]) -> None:
    scores = [stats.Interval(mean, low, high) for low, mean, high in ends]
    low, high = limits([*scores, None])
    least, greatest = min(low for low, _, _ in ends), max(high for _, _, high in ends)
    assert 0 <= low <= least + 1e-9
    assert greatest - 1e-9 <= high <= 1
    assert high > low
    assert high - low <= max(1.5 * (greatest - least), 0.003) + 0.002 or (low, high) == (0, 1)


# Trade-offs


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_nothing_beats_what_is_on_the_front_and_something_all_else(
    points: list[tuple[int, int]],
) -> None:
    kept = {*front(points)}

    def beaten(point: tuple[int, int]) -> bool:
        return any(
            other != point and other[0] <= point[0] and other[1] >= point[1] for other in points
        )

    assert {place for place, point in enumerate(points) if not beaten(point)} == kept


def test_dots_name_rows_and_lead_to_their_runs(store: Store) -> None:
    costs = {"small": (0.6, 1_000), "large": (0.9, 50_000), "waste": (0.5, 60_000)}
    for model, (score, count) in costs.items():
        profile = {"parameters": count, "latency_ms": count / 1000}
        write(store, seeded(model, [score, score + 0.02], profile=profile))
    content = prepare(store, top=2)
    (block,) = content.blocks
    chart = chart_of(block, "parameters")
    dots = {mark.hover.split(":")[0]: mark for mark in chart.marks if isinstance(mark, Dot)}
    assert {name: dot.hollow for name, dot in dots.items()} == {
        "small": False,
        "large": False,
        "waste": True,
    }
    assert "91.0%" in dots["large"].hover
    assert "50.0k parameters" in dots["large"].hover
    assert dots["large"].link == block.rows[0].part != ""
    assert dots["waste"].link == block.rows[2].id  # of which no run is told
    assert chart.x.log
    (line,) = (mark for mark in chart.marks if isinstance(mark, Line))
    assert (line.stepped, line.x[:2]) == (True, (1000.0, 50_000.0))
    assert chart_of(block, "latency").x.log


def test_colours_tell_the_fewer_of_models_and_optimizers(store: Store) -> None:
    for place, (model, optimizer) in enumerate(itertools.product("abc", ("sgd", "adamw"))):
        write(
            store,
            seeded(
                model,
                [0.9 - 0.1 * place],
                optimizer=optimizer,
                profile={
                    "parameters": 100 + place,
                    "latency_ms": 1.0,
                },
            ),
        )
    (block,) = prepare(store).blocks
    assert chart_of(block, "parameters").series == ("sgd", "adamw")


def test_of_many_rows_the_front_and_the_best_are_drawn(store: Store) -> None:
    store.root.mkdir()
    for place in range(250):
        profile = {"parameters": 10 + place, "latency_ms": 1.0}
        spec = make_spec("net", params={"model": {"width": place}})
        store.write(make_record(spec, (100 + place) / 1000, profile=profile))
    (block,) = prepare(store).blocks
    chart = chart_of(block, "parameters")
    dots = [mark for mark in chart.marks if isinstance(mark, Dot)]
    assert len(dots) == 250  # all are on the front, the cheaper the worse
    assert all(not dot.hollow for dot in dots)


def test_rows_beyond_the_best_that_are_not_on_the_front_are_counted(store: Store) -> None:
    store.root.mkdir()
    for place in range(220):
        profile = {"parameters": 10 + place, "latency_ms": 1.0}  # the dearer the worse
        spec = make_spec("net", params={"model": {"width": place}})
        store.write(make_record(spec, (900 - place) / 1000, profile=profile))
    (block,) = prepare(store).blocks
    chart = chart_of(block, "parameters")
    dots = [mark for mark in chart.marks if isinstance(mark, Dot)]
    assert [dot.hollow for dot in dots] == [True] * 59 + [False]
    assert min(dot.y for dot in dots) == pytest.approx(0.841)
    assert "160 rows with lower scores are not drawn" in chart.note


def test_times_are_compared_on_one_device_that_nobody_shared(store: Store) -> None:
    shared = {"shared_device": True}
    write(store, seeded("a", [0.9], timing={"train_seconds": 1.0}, environment=shared))
    for place, model in enumerate("bc"):
        write(store, seeded(model, [0.8], timing={"train_seconds": 2.0 + place}))
    other = {"timing": {"train_seconds": 1.0}, "device_name": "another processor"}
    write(store, seeded("d", [0.8], **other))
    (block,) = prepare(store).blocks
    chart = chart_of(block, "train-time")
    names = {mark.hover.split(" with")[0].split(":")[0] for mark in chart.marks[1:]}
    assert names == {"b", "c"}
    assert "1 row whose runs shared their device" in chart.note
    assert "Times on a processor only" in chart.note
