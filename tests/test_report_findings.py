"""Pairs that can be told apart, settings, and what holds over several blocks."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_folders import prepare, seeded, write
from samples import make_record, make_spec, write_predictions
from study_samples import make_study, make_trial

from bench import comparison, rankings, stats, studies
from bench.answers import AnswerBook
from bench.charts import Cell, Dot, Line
from bench.records import RunRecord, RunStatus
from bench.report import choice, pairs, settings
from bench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def correlated(store: Store, model: str, share: float, seeds: int) -> list[RunRecord]:
    """Write runs with predictions that are right on about a share of 400 items."""
    records = []
    for seed in range(seeds):
        draw = np.random.default_rng([*model.encode(), seed])
        right = draw.random(400) < share
        record = make_record(make_spec(model, seed=seed), float(right.mean()), 400)
        write_predictions(store, record, right.tolist())
        record = dataclasses.replace(record, environment={"classes": ["x", "y"]})
        store.write(record)
        records.append(record)
    return records


def test_pairs_are_those_of_the_comparison_corrected_together(store: Store) -> None:
    runs = [
        correlated(store, name, share, 3)
        for name, share in zip("abc", (0.9, 0.8, 0.79), strict=True)
    ]
    content = prepare(store)
    (block,) = content.blocks
    assert block.significance is not None
    book = AnswerBook(store)
    found = [comparison.compare(x, y, book) for x, y in itertools.combinations(runs, 2)]
    assert [row[2].sort for row in block.significance.table.rows] == [d.estimate for d in found]
    assert [row[3].sort for row in block.significance.table.rows] == stats.correct(found)
    cells = {(mark.x, mark.y): mark for mark in block.significance.chart.marks}
    assert len(cells) == 6
    for (x, y), cell in cells.items():
        assert isinstance(cell, Cell)
        assert cell.depth == -cells[y, x].depth
    assert cells[1, 0].depth > 0  # the row is ahead of the column
    assert cells[2, 1].depth == 0
    assert cells[2, 1].text.startswith("(")
    assert "seeds and items crossed" in cells[1, 0].hover
    assert "networks" not in block.significance.note


def test_one_seed_is_said_to_compare_networks(store: Store) -> None:
    correlated(store, "a", 0.9, 1)
    correlated(store, "b", 0.6, 1)
    (block,) = prepare(store).blocks
    assert block.significance is not None
    assert "these are networks, not methods" in block.significance.note
    assert "of two networks" in block.significance.chart.marks[0].hover


def test_comparisons_are_kept_until_a_run_or_the_code_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = correlated(store, "a", 0.9, 2)
    correlated(store, "b", 0.6, 2)
    before = prepare(store).blocks[0].significance
    made: list[int] = []
    compare = comparison.compare

    def counted(*args: Any) -> stats.Difference:
        made.append(1)
        return compare(*args)

    monkeypatch.setattr(pairs.comparison, "compare", counted)
    assert prepare(store).blocks[0].significance == before
    assert made == []
    store.remember({pairs._place(choice.sections_of(rankings.stored(store))[0].rows): '{"key": 3}'})
    assert prepare(store).blocks[0].significance == before
    assert made == [1]
    store.write(dataclasses.replace(first[0], finished_at="2026-03-01T00:00:00+00:00", error="x"))
    prepare(store)
    assert len(made) > 1


def test_a_difference_that_nothing_tests_is_shown_as_such(store: Store) -> None:
    for model, score in (("a", 0.6), ("b", 0.3)):
        metrics = {"mean_average_precision": score, "n": 50}
        store.write(
            dataclasses.replace(
                make_record(make_spec(model)),
                metrics={"val": metrics, "test": metrics},
                environment={"task": "multi-label"},
            )
        )
    (block,) = prepare(store).blocks
    assert block.significance is not None
    ((_, _, difference, p, *_, apart),) = block.significance.table.rows
    assert (difference.text, p.text, apart.text) == ("+30.0 points", "–", "no")
    assert prepare(store).blocks[0].significance == block.significance  # as the index keeps it


# Settings and findings


def test_settings_tell_in_what_rows_differ(store: Store) -> None:
    write(store, seeded("a", [0.9], params={"optimizer": {"lr": 0.1}, "model": {"depth": 2}}))
    write(store, seeded("b", [0.5], params={"optimizer": {"lr": 0.2}}, version="2.0"))
    settings = prepare(store).settings
    first, second = (settings.own[row] for row, _ in settings.rows)
    assert (first["model"], first["model.depth"], first["optimizer.lr"]) == ("a", "2", "0.1")
    assert (second["model"], second["optimizer.lr"]) == ("b", "0.2")
    assert "model.depth" not in second
    common = dict(settings.common)
    assert (common["optimizer"], common["protocol.epochs"]) == ("adamw", "10")
    assert "optimizer.lr" not in common


def test_what_all_have_alike_is_of_all_rows_and_not_of_those_that_are_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MOST", 2)
    params = {"optimizer": {"lr": 0.1}}
    write(store, [*seeded("a", [0.9], params=params), *seeded("b", [0.8], params=params)])
    write(store, seeded("c", [0.5], params={"optimizer": {"lr": 0.2}}, version="2.0"))
    found = prepare(store).settings
    assert ([row for row, _ in found.rows], found.left_out) == (["b0-r0", "b0-r1"], 1)
    assert {own["optimizer.lr"] for own in found.own.values()} == {"0.1"}
    assert "optimizer.lr" not in dict(found.common)
    assert "protocol.epochs" in dict(found.common)


def test_learning_rates_of_a_grid_are_a_line_an_optimizer(store: Store) -> None:
    for optimizer, best in (("sgd", 0.1), ("adamw", 0.01)):
        for rate in (0.001, 0.01, 0.1):
            score = 0.8 - 0.1 * abs(math.log10(rate / best))
            fields = {"optimizer": optimizer, "params": {"optimizer": {"lr": rate}}}
            write(store, seeded("net", [score], **fields))
    bad = make_spec(optimizer="sgd", params={"optimizer": {"lr": 1.0}})
    store.write(make_record(bad, status=RunStatus.DIVERGED, error="the loss is not finite"))
    (finding,) = prepare(store).findings
    assert finding.chart is not None
    assert {*finding.chart.series} == {"sgd", "adamw"}
    lines = [mark for mark in finding.chart.marks if isinstance(mark, Line)]
    assert all(line.x == (0.001, 0.01, 0.1) for line in lines)
    assert "adamw is best at 0.01" in finding.sentence
    assert "sgd is best at 0.1, and failed at 1" in finding.sentence
    assert finding.chart.x.log


def at_rate(rate: float, **fields: Any) -> dict[str, Any]:
    return {"params": {"optimizer": {"lr": rate}}, **fields}


def test_learning_rates_tell_of_seeds_that_failed_and_not_of_interrupted_ones(
    store: Store,
) -> None:
    for rate, score in ((0.001, 0.7), (0.01, 0.8), (0.1, 0.9)):
        write(store, seeded("net", [score], **at_rate(rate)))
    for seed in (1, 2):
        store.write(
            make_record(make_spec("net", seed=seed, **at_rate(0.1)), status=RunStatus.DIVERGED)
        )
    for seed in range(3):
        spec = make_spec("net", seed=seed, **at_rate(0.3))
        store.write(make_record(spec, status=RunStatus.INTERRUPTED))
    store.write(
        make_record(make_spec("net", seed=1, **at_rate(0.01)), status=RunStatus.INTERRUPTED)
    )
    (finding,) = prepare(store).findings
    assert finding.sentence == "adamw is best at 0.1, and 2 of 3 seeds failed at 0.1"
    assert finding.chart is not None
    hollow = [m for m in finding.chart.marks if isinstance(m, Dot) and m.hollow]
    assert [dot.hover for dot in hollow] == ["adamw: 2 of 3 seeds failed at a learning rate of 0.1"]
    assert "Hollow" in finding.chart.note


def test_what_is_near_the_best_rate_ends_at_the_first_that_is_not(store: Store) -> None:
    scores = {0.0001: 0.9, 0.001: 0.2, 0.01: 0.895, 0.1: 0.9001, 1.0: None, 10.0: 0.9}
    for rate, score in scores.items():
        if score is None:
            store.write(make_record(make_spec("net", **at_rate(rate)), status=RunStatus.DIVERGED))
        else:
            write(store, seeded("net", [score], **at_rate(rate)))
    (finding,) = prepare(store).findings
    assert finding.sentence == (
        "adamw is best at 0.1, within a point of it from 0.01 to 0.1, and failed at 1"
    )


def test_rows_that_differ_by_more_than_the_rate_are_no_line(store: Store) -> None:
    for rate, decay in ((0.001, 0.1), (0.01, 0.2), (0.1, 0.3)):
        params = {"optimizer": {"lr": rate, "weight_decay": decay}}
        write(store, seeded("net", [0.8], params=params))
    assert prepare(store).findings == ()


def test_rates_that_a_study_searched_are_a_finding(store: Store) -> None:
    rates = {0: 0.01, 1: 0.001, 2: 0.1}
    trials = [make_trial(n, 0.7 + n / 10, params={"adamw.lr": rate}) for n, rate in rates.items()]
    store.root.mkdir()
    studies.write(store.root, make_study(trials))
    (finding,) = prepare(store).findings
    assert finding.title == "shapes · net: learning rates"
    assert "adamw is best at 0.1" in finding.sentence


def test_mean_ranks_over_datasets_are_drawn_with_their_critical_difference(store: Store) -> None:
    for number in range(5):
        for place, model in enumerate("abc"):
            fields = {"dataset": f"set{number}", "fingerprint": f"content{number}"}
            write(store, seeded(model, [0.9 - 0.1 * place], **fields))
    content = prepare(store)
    (finding,) = content.findings
    assert finding.title == "Mean ranks over 5 datasets"
    assert finding.chart is not None
    assert finding.chart.y.categories == ("a", "b", "c")
    dots = [mark for mark in finding.chart.marks if isinstance(mark, Dot)]
    assert [dot.x for dot in dots] == [1, 2, 3]
    (standings,) = rankings.stored(store).standings
    assert dots[0].x_high - dots[0].x_low == pytest.approx(standings.standing.critical)
