"""Curves of rows, times to a target, and tasks of other kinds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from report_folders import chart_of, prepare, seeded, write
from samples import make_record, make_spec

from bench.charts import Band, Dot, Line
from bench.records import EpochMetrics, RunStatus
from bench.report.learning import over_seeds
from bench.series import Trace
from bench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_curves_are_means_of_seeds_with_bands(store: Store) -> None:
    records = seeded("a", [0.8, 0.9])
    write(store, records[:1], (0.4, 0.6, 0.8))
    write(store, records[1:], (0.6, 0.8, 0.9))
    (block,) = prepare(store).blocks
    chart = chart_of(block, "learning")
    val, train = (
        next(m for m in chart.marks if isinstance(m, Line) and m.dashed is dashed)
        for dashed in (False, True)
    )
    assert (val.x, val.y) == ((1.0, 2.0, 3.0), pytest.approx((0.5, 0.7, 0.85)))
    assert train.y == pytest.approx((0.6, 0.8, 0.95))
    bands = [mark for mark in chart.marks if isinstance(mark, Band)]
    assert any(band.low == pytest.approx((0.4, 0.6, 0.8)) for band in bands)
    kept = [mark for mark in chart.marks if isinstance(mark, Dot)]
    assert {(dot.x, dot.y) for dot in kept} == {(3.0, 0.8), (3.0, 0.9)}
    gap = chart_of(block, "gap")
    (line,) = (mark for mark in gap.marks if isinstance(mark, Line))
    assert line.y == pytest.approx((0.1, 0.1, 0.1))


def test_optimizers_stand_side_by_side_in_one_colour_each(store: Store) -> None:
    for model, optimizers in {"a": ("sgd", "adamw"), "b": ("adamw", "sgd")}.items():
        for place, optimizer in enumerate(optimizers):
            write(store, seeded(model, [0.9 - 0.2 * place], optimizer=optimizer))
    (block,) = prepare(store).blocks
    pair = [chart_of(block, f"optimizers-{number}") for number in range(2)]
    assert [chart.title for chart in pair] == [
        "a: optimizers side by side",
        "b: optimizers side by side",
    ]
    assert pair[0].series == pair[1].series == ("sgd", "adamw")
    for chart in pair:
        lines = [mark for mark in chart.marks if isinstance(mark, Line)]
        assert {chart.series[line.series] for line in lines} == {"sgd", "adamw"}


def test_long_curves_are_thinned_to_their_ends() -> None:
    epochs = tuple(
        EpochMetrics(place, 300, 1.0, 0.5, 1.0, place / 300, 0.1, 1.0, 1.0)
        for place in range(1, 301)
    )
    points = over_seeds([Trace(0, epochs, 300)], lambda epoch: epoch.val_accuracy)
    assert (points[0][0], points[-1][0]) == (1, 300)
    assert len(points) <= 40


def test_the_time_to_a_target_counts_seeds_that_never_came(store: Store) -> None:
    quick, slow = seeded("quick", [0.9, 0.9]), seeded("slow", [0.8, 0.8], optimizer="sgd")
    write(store, quick, (0.6, 0.88, 0.9))
    write(store, slow[:1], (0.3, 0.5, 0.87))
    write(store, slow[1:], (0.3, 0.5, 0.7))
    (block,) = prepare(store).blocks
    assert block.reached is not None
    assert block.reached.title == "Time to a val accuracy of 85.5%"  # 95 % of 90 %
    texts = [[value.text for value in row] for row in block.reached.rows]
    assert texts == [
        ["quick with adamw", "2 of 2", "2", "20", "2.0 s"],
        [
            *("slow with sgd", "1 of 2", "never (3 to never)", "never (30 to never)"),
            "never (3.0 s to never)",
        ],
    ]
    assert block.reached.rows[1][4].sort is None
    chart = chart_of(block, "over-time")
    lines = [mark for mark in chart.marks if isinstance(mark, Line)]
    assert lines[0].x == (1.0, 2.0, 3.0)
    assert lines[1].y == pytest.approx((0.3, 0.5, 0.785))


def test_seeds_that_failed_never_reach_a_target_and_interrupted_ones_do_not_count(
    store: Store,
) -> None:
    write(store, seeded("a", [0.9]), (0.6, 0.88, 0.9))
    for seed in (1, 2):
        store.write(make_record(make_spec("a", seed=seed), status=RunStatus.DIVERGED))
    store.write(make_record(make_spec("a", seed=3), status=RunStatus.INTERRUPTED))
    (block,) = prepare(store).blocks
    assert block.reached is not None
    ((_, reached, epochs, *_),) = block.reached.rows
    assert (reached.text, epochs.text) == ("1 of 3", "never (2 to never)")
    assert "one that failed or never reached it counts as the slowest" in block.reached.note


def test_without_curves_nothing_is_said_of_learning(store: Store) -> None:
    for record in seeded("a", [0.8, 0.9]):
        store.write(record)
    (block,) = prepare(store).blocks
    assert (block.learning, block.reached) == ((), None)


# Tasks


def test_multi_label_tasks_are_told_by_their_own_metric(store: Store) -> None:
    scores = {"mean_average_precision": 0.6, "accuracy": 0.3, "f1_macro": 0.5, "f1_micro": 0.5}
    for seed, shift in enumerate((0.0, 0.1)):
        found = {name: value + shift for name, value in scores.items()} | {"n": 100}
        record = dataclasses.replace(
            make_record(make_spec(seed=seed), timing={"best_epoch": 3, "train_seconds": 1.0}),
            metrics={"val": found, "test": found},
            environment={"task": "multi-label"},
        )
        write(store, [record], val_score=0.55)
    (block,) = prepare(store).blocks
    assert block.metric == "mAP"
    headings = {column.name: column.heading for column in block.columns}
    assert (headings["test"], headings["f1_macro"]) == ("test mAP", "macro F1")
    assert block.rows[0].cells["f1_macro"].sort == pytest.approx(0.55)
    chart = chart_of(block, "learning")
    assert (chart.title, chart.y.label) == ("mAP over epochs", "mAP")
    assert not any(isinstance(mark, Line) and mark.dashed for mark in chart.marks)
    assert chart_of(block, "gap").y.label == "val less train loss"


def test_levels_of_a_tree_are_columns(store: Store) -> None:
    record = make_record(environment={"task": "hierarchical"})
    test = {**record.metrics["test"], "accuracy_level_1": 0.9}
    write(store, [dataclasses.replace(record, metrics={**record.metrics, "test": test})])
    (block,) = prepare(store).blocks
    assert block.rows[0].cells["accuracy_level_1"].text == "90.0%"


def test_ensembles_are_rows_like_others(store: Store) -> None:
    members = write(store, seeded("a", [0.8, 0.8]))
    spec = make_spec("ensemble-mean", members=tuple(record.id for record in members))
    key = {**spec.key, "members": [*spec.members]}
    write(store, [make_record(dataclasses.replace(spec, key=key), 0.9)], ())
    (block,) = prepare(store).blocks
    assert block.rows[0].label.startswith("ensemble-mean (2 members)")
    assert dict(prepare(store).settings.own["b0-r0"])["members"] == "2"
