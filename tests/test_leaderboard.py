from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import make_record, make_spec, write_predictions
from simulated import answers

from bench import leaderboard, metrics, stats, tables
from bench.answers import AnswerBook
from bench.leaderboard import Block, Leaderboard, build
from bench.records import Mode, Purpose, RunRecord, RunStatus
from bench.rows import SORTS, Row, in_order
from bench.specs import Task
from bench.store import Store

HOSTILE = "<script>alert(1)</script>|*x*_[red]`$&#\n=cmd"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def seeded(
    model: str, accuracies: Iterable[float], *, n: int = 1000, seconds: float = 2.0, **spec: Any
) -> list[RunRecord]:
    """Return one record for each seed."""
    timing = {"train_seconds": seconds, "images_per_second": 100 / seconds}
    return [
        make_record(make_spec(model, seed=seed, **spec), accuracy, n, timing=timing)
        for seed, accuracy in enumerate(accuracies)
    ]


def only_block(board: Leaderboard) -> Block:
    (block,) = board.blocks
    return block


def summary(board: Leaderboard) -> list[tuple[str, int | None, int | None]]:
    return [(row.name, row.rank, row.tie_group) for row in board.rows]


# Ranks


def test_rows_that_differ_clearly_are_ranked_one_by_one(store: Store) -> None:
    records = seeded("c", [0.5]) + seeded("a", [0.9]) + seeded("b", [0.7])
    assert summary(build(records, store)) == [("a", 1, 1), ("b", 2, 2), ("c", 3, 3)]


def test_rows_that_cannot_be_told_apart_share_a_rank(store: Store) -> None:
    records = seeded("a", [0.900]) + seeded("b", [0.895]) + seeded("c", [0.5]) + seeded("d", [0.49])
    expected = [("a", 1, 1), ("b", 1, 1), ("c", 3, 2), ("d", 3, 2)]
    assert summary(build(records, store)) == expected


def test_a_noisy_row_ties_with_the_best_over_a_steadier_one_between(store: Store) -> None:
    records = (
        seeded("best", [0.900, 0.901, 0.902])
        + seeded("steady", [0.800, 0.801, 0.802])
        + seeded("noisy", [0.60, 0.78, 0.95])
    )
    # It stands with its group; rows are never shown out of the order of their ranks.
    expected = [("best", 1, 1), ("noisy", 1, 1), ("steady", 3, 2)]
    assert summary(build(records, store)) == expected


def test_a_single_row_is_first(store: Store) -> None:
    assert summary(build(seeded("a", [0.9]), store)) == [("a", 1, 1)]


def test_no_records_make_an_empty_leaderboard(store: Store) -> None:
    board = build([], store)
    assert board.rows == []
    assert board.to_dict() == {"schema": 1, "blocks": [], "rows": [], "standings": []}


# Failures


def failed(model: str, seed: int, status: RunStatus, error: str | None, **spec: Any) -> RunRecord:
    return make_record(make_spec(model, seed=seed, **spec), status=status, error=error)


def test_failures_are_shown_and_not_ranked(store: Store) -> None:
    records = [
        *seeded("good", [0.5]),
        failed("bad", 0, RunStatus.DIVERGED, "the loss is nan"),
        failed("bad", 1, RunStatus.DIVERGED, "the loss is nan"),
        failed("bad", 2, RunStatus.OOM, None),
    ]
    good, bad = build(records, store).rows
    assert (good.rank, bad.rank, bad.tie_group) == (1, None, None)
    assert (bad.seeds, bad.failed, bad.score) == (0, 3, None)
    assert bad.errors == ["2 × diverged: the loss is nan", "oom"]
    assert tables.cells(bad)["rank"] == "–"
    assert tables.cells(bad)["status"] == "2 × diverged: the loss is nan; oom"
    assert "diverged" in tables.to_markdown(build(records, store))


def test_a_row_with_some_failed_seeds_is_ranked_by_the_others(store: Store) -> None:
    records = [*seeded("mixed", [0.5, 0.6]), failed("mixed", 2, RunStatus.CRASHED, "signal 11")]
    (row,) = build(records, store).rows
    assert (row.rank, row.seeds, row.failed, row.errors) == (1, 2, 1, ["crashed: signal 11"])
    assert row.score == stats.Interval(0.55, 0.0, 1.0)  # cut to what a proportion can be


def test_where_everything_failed_the_answer_says_so(store: Store) -> None:
    board = build([failed("bad", 0, RunStatus.TIMEOUT, "over 5 s")], store)
    assert only_block(board).answer == "no run succeeded; its rows say why"
    assert only_block(board).gap is None
    assert tables.footnote(only_block(board)) == ""


# Blocks


def test_datasets_and_protocols_are_ranked_apart(store: Store) -> None:
    records = (
        seeded("a", [0.9])
        + seeded("b", [0.5], dataset="letters")
        + seeded("a", [0.8], protocol={"epochs": 3})
        + seeded("a", [0.7], mode=Mode.DETERMINISTIC)
        + seeded("a", [0.6], fingerprint="beef")
        + seeded("a", [0.6], params={"dataset": {"side": 9}}, fingerprint="cafe")
    )
    board = build(records, store)
    assert [len(block.rows) for block in board.blocks] == [1] * 6
    assert {row.rank for row in board.rows} == {1}
    titles = [block.title for block in board.blocks]
    assert titles == sorted(titles)
    assert titles[0] == "letters · epochs 10, batch size 64"
    assert len([title for title in titles if "epochs 3" in title]) == 1
    assert len([title for title in titles if "mode deterministic" in title]) == 1
    assert len([title for title in titles if "dataset side 9" in title]) == 1


def test_what_a_dataset_was_loaded_from_does_not_split_a_block(store: Store) -> None:
    records = seeded("a", [0.9]) + seeded("b", [0.5], params={"dataset": {"path": "/elsewhere"}})
    rows = only_block(build(records, store)).rows
    assert [(row.model, row.rank) for row in rows] == [("a", 1), ("b", 2)]


def test_pinned_fields_do_not_split_a_block(store: Store) -> None:
    pinned = {"protocol": {"batch_size": 1}, "pinned": {"batch_size": 64}}
    records = seeded("a", [0.9]) + seeded("a", [0.8], optimizer="sgd-one", **pinned)
    block = only_block(build(records, store))
    assert block.title == "shapes · epochs 10, batch size 64"
    assert [row.name for row in block.rows] == ["a", "a (batch_size=1)"]
    assert block.rows[1].to_dict()["pinned"] == ["batch_size"]


def test_plugins_loss_and_schedule_are_part_of_the_protocol(store: Store) -> None:
    records = seeded("a", [0.9]) + seeded("a", [0.8], protocol={"loss": "mse"})
    titles = [block.title for block in build(records, store).blocks]
    assert [title.rpartition(", ")[2] for title in titles] == ["loss cross-entropy", "loss mse"]


def test_rows_are_told_apart_by_the_params_in_which_they_differ(store: Store) -> None:
    records = [
        record
        for lr, depth in ((0.1, 2), (0.01, 2), (0.1, 3))
        for record in seeded(
            "net", [0.5 + lr], params={"optimizer": {"lr": lr, "eps": 1}, "model": {"depth": depth}}
        )
    ]
    names = {(row.name, row.optimizer_name) for row in build(records, store).rows}
    assert names == {
        ("net (depth=2)", "adamw (lr=0.1)"),
        ("net (depth=2)", "adamw (lr=0.01)"),
        ("net (depth=3)", "adamw (lr=0.1)"),
    }


def test_seeds_of_two_versions_are_not_averaged(store: Store) -> None:
    old = seeded("a", [0.5, 0.6, 0.7], version="1.0")
    new = seeded("a", [0.9], version="2.0")
    (row,) = build([*old, *new], store).rows
    assert (row.seeds, row.score) == (1, stats.wilson(900, 1000))


def test_a_dataset_that_failed_once_leaves_no_row_behind(store: Store) -> None:
    lost = failed("a", 0, RunStatus.FAILED, "offline", fingerprint=None)
    (row,) = build([lost, *seeded("a", [0.9])], store).rows
    assert row.errors == []
    (row,) = build([lost], store).rows
    assert row.errors == ["failed: offline"]


def test_devices_are_rows_of_their_own(store: Store) -> None:
    records = seeded("a", [0.9]) + seeded("a", [0.9], device_name="another processor")
    rows = build(records, store).rows
    assert {row.device for row in rows} == {"a processor", "another processor"}


# Which records count


def test_the_newest_record_of_a_cell_and_seed_counts(store: Store) -> None:
    older = make_record(make_spec(version="1.0"), 0.9)
    newer = make_record(make_spec(version="2.0"), 0.5)
    (row,) = build([older, newer], store).rows
    assert (row.score.mean, row.seeds) == (0.5, 1)  # type: ignore[union-attr]
    assert row.to_dict()["runs"] == [newer.id]


def test_a_newer_failure_counts_but_an_interruption_does_not(store: Store) -> None:
    older = make_record(make_spec(version="1.0"), 0.9)
    crashed = make_record(make_spec(version="2.0"), status=RunStatus.CRASHED)
    stopped = make_record(make_spec(version="2.0"), status=RunStatus.INTERRUPTED)
    assert build([older, crashed], store).rows[0].rank is None
    assert build([older, stopped], store).rows[0].rank == 1
    assert build([stopped], store).rows[0].errors == ["interrupted"]


def test_tuning_trials_are_left_out(store: Store) -> None:
    assert build([make_record(make_spec(purpose=Purpose.TRIAL))], store).rows == []


def test_seeds_are_aggregated(store: Store) -> None:
    records = seeded("a", [0.8, 0.82, 0.78], n=500)
    records[0] = dataclasses.replace(
        records[0], timing={"train_seconds": 5.0, "images_per_second": None}
    )
    (row,) = build(records, store).rows
    assert (row.seeds, row.n, row.val_n) == (3, 500, 200)
    assert row.score == stats.t_interval([0.8, 0.82, 0.78])
    assert row.noise == "seeds"
    assert row.train_seconds == pytest.approx(3.0)
    assert row.images_per_second == pytest.approx(50.0)


def test_one_seed_shows_the_noise_of_items(store: Store) -> None:
    (row,) = build(seeded("a", [0.8], n=500), store).rows
    assert (row.score, row.noise) == (stats.wilson(400, 500), "items")
    assert "Wilson" in tables.footnote(only_block(build(seeded("a", [0.8]), store)))


def test_a_row_below_one_of_a_lower_mean_is_explained(store: Store) -> None:
    records = [*seeded("a", [0.9, 0.91, 0.9]), *seeded("b", [0.6, 0.89, 0.3])]
    plain = only_block(build(records, store))
    assert [row.rank for row in plain.rows] == [1, 1]
    assert "above some of a better mean" not in tables.footnote(plain)
    mixed = only_block(build([*records, *seeded("c", [0.8, 0.81, 0.8])], store))
    assert [row.rank for row in mixed.rows] == [1, 1, 3]
    assert "above some of a better mean" in tables.footnote(mixed)


def test_seeds_that_agree_fall_back_to_the_noise_of_items(store: Store) -> None:
    (row,) = build(seeded("a", [0.8, 0.8], n=500), store).rows
    assert (row.score, row.noise) == (stats.wilson(400, 500), "items")


# Comparisons


def compare(store: Store, records: list[RunRecord]) -> stats.Difference:
    rows = build(records, store).rows
    return leaderboard.compare(rows[0], rows[1], AnswerBook(store))


def correlated(generator: np.random.Generator, n: int = 1000) -> tuple[Any, Any]:
    """Return two networks that mostly err on the same items, a few points apart."""
    a = generator.random(n) < 0.9
    return a, a & (generator.random(n) > 0.03)


def test_single_seeds_are_compared_item_by_item(store: Store) -> None:
    a, b = correlated(np.random.default_rng(0))
    records = seeded("a", [a.mean()]) + seeded("b", [b.mean()])
    for record, right in zip(records, (a, b), strict=True):
        write_predictions(store, record, right)
    assert compare(store, records) == stats.mcnemar(a, b)
    assert summary(build(records, store)) == [("a", 1, 1), ("b", 2, 2)]


def test_without_predictions_the_proportions_are_compared(store: Store) -> None:
    a, b = correlated(np.random.default_rng(0))
    records = seeded("a", [a.mean()]) + seeded("b", [b.mean()])
    write_predictions(store, records[0], a)
    expected = stats.proportions(int(a.sum()), 1000, int(b.sum()), 1000)
    assert compare(store, records) == expected
    folder = store.folder(records[1].id)
    folder.mkdir()
    (folder / "predictions.npz").write_bytes(b"cut")
    assert compare(store, records) == expected
    write_predictions(store, records[1], b[:500])
    assert compare(store, records) == expected


def test_items_are_paired_by_their_ids(store: Store) -> None:
    a, b = correlated(np.random.default_rng(0))
    records = seeded("a", [a.mean()]) + seeded("b", [b.mean()])
    write_predictions(store, records[0], a)
    order = np.random.default_rng(1).permutation(len(b))
    folder = store.folder(records[1].id)
    folder.mkdir()
    np.savez(
        folder / "predictions.npz",
        test_ids=order,
        test_labels=np.zeros(len(b), np.int64),
        test_predicted=np.where(b, 0, 1)[order],
    )
    assert compare(store, records) == stats.mcnemar(a, b)


def test_several_seeds_without_predictions_are_compared_by_their_means(store: Store) -> None:
    records = seeded("a", [0.90, 0.91, 0.92]) + seeded("b", [0.80, 0.82, 0.83])
    assert compare(store, records) == stats.welch([0.90, 0.91, 0.92], [0.80, 0.82, 0.83])


def test_seed_noise_is_not_taken_for_a_difference(store: Store) -> None:
    # Ten thousand items tell these networks apart with ease; their seeds do not.
    generator = np.random.default_rng(0)
    records = seeded("a", [0.85, 0.90], n=10_000) + seeded("b", [0.84, 0.88], n=10_000)
    for record in records:
        accuracy = record.metrics["test"]["accuracy"]
        write_predictions(store, record, generator.random(10_000) < accuracy)
    assert summary(build(records, store)) == [("a", 1, 1), ("b", 1, 1)]


def test_one_seed_against_several_is_compared_item_by_item(store: Store) -> None:
    a, b = correlated(np.random.default_rng(0))
    records = seeded("a", [a.mean(), 0.95]) + seeded("b", [b.mean()])
    write_predictions(store, records[0], a)
    write_predictions(store, records[2], b)
    assert compare(store, records).test == "exact McNemar"


# Answers


def answer(records: list[RunRecord], store: Store) -> str:
    return only_block(build(records, store)).answer


def test_one_row_is_described(store: Store) -> None:
    expected = "a reaches 80.0% (77.4 to 82.4) on 1,000 test images with one seed"
    assert answer(seeded("a", [0.8]), store) == expected


def test_a_leader_is_named_with_its_lead(store: Store) -> None:
    text = answer(seeded("a", [0.90, 0.91, 0.92]) + seeded("b", [0.80, 0.81, 0.82]), store)
    lead = stats.welch([0.90, 0.91, 0.92], [0.80, 0.81, 0.82])
    points = f"10.0 points ({100 * lead.low:.1f} to {100 * lead.high:.1f})"
    assert text == (
        f"a is ahead of b by {points} on 1,000 test images with 3 seeds; of other test images "
        "this says nothing, since predictions are missing"
    )


def test_a_leader_by_one_seed_is_said_to_be_a_network(store: Store) -> None:
    text = answer(seeded("a", [0.9]) + seeded("b", [0.5]), store)
    assert text.startswith("a is ahead of b by 40.0 points (36.3 to 43.5)")
    assert text.endswith("this compares two networks, `--seeds 5` compares the methods")


def test_a_tie_names_the_quickest_and_what_to_try(store: Store) -> None:
    records = (
        seeded("a", [0.90], seconds=9)
        + seeded("b", [0.89], seconds=3)
        + seeded("c", [0.89], seconds=5)
        + seeded("d", [0.5], seconds=1)
    )
    assert answer(records, store) == (
        "a, b and c cannot be told apart on 1,000 test images with one seed; "
        "b trains fastest; this compares networks, `--seeds 5` compares the methods"
    )


def stored(
    store: Store, truths: dict[str, float], seeds: int, *, n: int = 1000, **noise: float
) -> list[RunRecord]:
    """Return runs of methods with simulated predictions."""
    drawn = answers(np.random.default_rng(0), [*truths.values()], seeds, n, **noise)
    records = []
    for model, networks in zip(truths, drawn, strict=True):
        own = seeded(model, networks.mean(1), n=n)
        for record, right in zip(own, networks, strict=True):
            write_predictions(store, record, right)
        records += own
    return records


def test_a_lead_with_predictions_counts_both_noises(store: Store) -> None:
    records = stored(store, {"a": 0.9, "b": 0.7}, 3)
    found = compare(store, records)
    assert found.test == "seeds and items crossed"
    text = answer(records, store)
    points = f"{100 * found.estimate:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"
    assert text == (
        f"a is ahead of b by {points} on 1,000 test images with 3 seeds, the noise of both counted"
    )
    block = only_block(build(records, store))
    assert block.gap_of_methods == pytest.approx((found.high - found.low) / 2)
    assert f"under about {100 * block.gap_of_methods:.1f} with theirs" in tables.footnote(block)


def test_a_tie_says_how_many_seeds_it_takes(store: Store) -> None:
    records = stored(store, {"a": 0.88, "b": 0.85}, 3, seed_noise=0.03)
    found = compare(store, records)
    need = stats.needed(found, 3, 1)
    text = answer(records, store)
    assert "cannot be told apart on 1,000 test images with 3 seeds" in text
    assert f"`--seeds {need.seeds}`" in text
    assert f"since {need.share:.0%} of the noise is of seeds" in text


def test_a_tie_says_when_it_is_test_images_that_lack(store: Store) -> None:
    records = stored(store, {"a": 0.88, "b": 0.85}, 5, n=300, seed_noise=0.0, taste=2.0)
    found = compare(store, records)
    need = stats.needed(found, 5, 1)
    text = answer(records, store)
    assert f"it takes {need.items:g} times the test images" in text
    assert f"since {1 - need.share:.0%} of the noise is of test images" in text


def test_a_tie_of_nothing_is_not_worth_more_seeds(store: Store) -> None:
    records = seeded("a", [0.7, 0.8, 0.9] * 2) + seeded("b", [0.69, 0.81, 0.9] * 2)
    text = answer(records, store)
    assert "with 6 seeds" in text
    assert "too few to be told from nothing by 100 seeds" in text


def test_a_tie_of_many_names_some(store: Store) -> None:
    records = [record for name in "abcdefgh" for record in seeded(name, [0.9])]
    assert answer(records, store).startswith("a, b, c, d and 4 more cannot be told apart")


def test_seeds_that_differ_are_all_told(store: Store) -> None:
    records = seeded("a", [0.9, 0.91, 0.92]) + seeded("b", [0.5, 0.51])
    assert "with 2 and 3 seeds" in answer(records, store)


def test_rows_are_called_by_what_tells_them_apart(store: Store) -> None:
    text = answer(seeded("a", [0.9], optimizer="sgd") + seeded("a", [0.5]), store)
    assert text.startswith("sgd is ahead of adamw")
    both = seeded("a", [0.9], optimizer="sgd") + seeded("b", [0.5])
    assert answer(both, store).startswith("a with sgd is ahead of b with adamw")


def test_the_gap_is_that_of_the_best_row(store: Store) -> None:
    block = only_block(build(seeded("a", [0.8]) + seeded("b", [0.5]), store))
    assert block.gap == stats.resolvable_gap(0.8, 1000)
    assert f"{100 * block.gap:.1f} points" in tables.footnote(block)


def test_a_shared_device_is_noted(store: Store) -> None:
    (record,) = seeded("a", [0.8])
    shared = dataclasses.replace(record, environment={"shared_device": True})
    block = only_block(build([shared], store))
    assert "shared their device" in tables.footnote(block)
    [row] = block.rows
    assert tables.cells(row)["train s"] == "~2.0"
    assert row.to_dict()["shared_device"] is True
    by_time, _ = SORTS["train_seconds"]
    assert by_time(row) is None
    assert "shared" not in tables.footnote(only_block(build([record], store)))


# Formats


def test_json_has_the_documented_fields(store: Store) -> None:
    records = [*seeded("a", [0.9]), failed("bad", 0, RunStatus.FAILED, "no")]
    board = build(records, store)
    content = json.loads(json.dumps(board.to_dict(), allow_nan=False))
    assert content["schema"] == 1
    documented = (
        "rank tie_group dataset model optimizer params protocol tuned trials seeds failed metrics "
        "train_seconds images_per_second latency_ms parameters flops device mode"
    )
    for row in content["rows"]:
        assert {*documented.split()} <= {*row}
    good, bad = content["rows"]
    assert {*good["metrics"]["accuracy"]} >= {"mean", "low", "high", "n"}
    assert good["metrics"]["accuracy"]["n"] == 1000
    assert (good["tuned"], good["trials"], good["block"]) == (False, 0, 0)
    assert (good["latency_ms"], good["parameters"], good["flops"]) == (1.5, 1234, 5678)
    assert (bad["rank"], bad["metrics"], bad["errors"]) == (None, {}, ["failed: no"])
    assert content["blocks"][0]["answer"] == only_block(board).answer


def test_the_files_say_the_same(store: Store) -> None:
    board = build(seeded("a", [0.9]) + seeded("b", [0.5]), store)
    tables.write(board, store)
    assert (store.root / "leaderboard.md").read_text() == tables.to_markdown(board)
    assert (store.root / "leaderboard.csv").read_text() == tables.to_csv(board)
    assert json.loads((store.root / "leaderboard.json").read_text()) == board.to_dict()


def hostile_board(store: Store) -> Leaderboard:
    hostile = make_spec(HOSTILE, optimizer="=HYPERLINK(1)", dataset=f"@{HOSTILE}")
    broken = make_spec("+bad", dataset=f"@{HOSTILE}")
    crash = make_record(broken, status=RunStatus.CRASHED, error=HOSTILE)
    return build([make_record(hostile), crash], store)


def test_markdown_is_escaped(store: Store) -> None:
    text = tables.to_markdown(hostile_board(store))
    assert "<script" not in text
    widths = {
        line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")
    }
    assert widths == {len(tables.HEADINGS)}  # that of tuning is left out where nothing was tuned
    assert "\\[red\\]" in text


def test_csv_is_neutralised(store: Store) -> None:
    text = tables.to_csv(hostile_board(store))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == list(tables.CSV_COLUMNS)
    assert len(rows) == 3
    for row in rows[1:]:
        assert len(row) == len(tables.CSV_COLUMNS)
        assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@", "\t")]
    first = dict(zip(*rows[:2], strict=True))
    assert (first["metric"], float(first["score"])) == ("accuracy", 0.8)
    assert float(first["score_low"]) < 0.8 < float(first["score_high"])
    assert first["rank"] == "1"
    assert first["optimizer"] == "'=HYPERLINK(1)"
    assert json.loads(first["params"])["optimizer"] == {}


def test_cells_fit_the_headings(store: Store) -> None:
    block = only_block(hostile_board(store))
    for row in block.rows:
        assert [*tables.cells(row)] == [*tables.HEADINGS]
        assert [*tables.headings(block)] == [name for name in tables.HEADINGS if name != "tuning"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (25_557_032, "25.6M"), (2.7e9, "2.7G")],
)
def test_large_numbers_are_shortened(number: int, text: str) -> None:
    assert tables.count(number) == text


# Sorting

BETTER_IS_MORE = {
    "score": True,
    "val_score": True,
    "log_loss": False,
    "train_seconds": False,
    "images_per_second": True,
    "latency_ms": False,
    "parameters": False,
}


def row_with(by: str, value: float | None) -> Row:
    row = Row(
        dataset="d",
        model=str(value),
        optimizer="o",
        params={},
        protocol={},
        pinned={},
        seeds=1,
        failed=0,
        device="cpu",
        mode="fast",
    )
    if by == "score":
        row.score = None if value is None else stats.Interval(value, value, value)
    else:
        setattr(row, by, value)
    return row


def test_every_sort_is_tried_here() -> None:
    assert {*BETTER_IS_MORE} == {*SORTS}


@pytest.mark.parametrize("by", BETTER_IS_MORE)
@given(values=st.lists(st.none() | st.floats(), max_size=6))
@settings(deadline=None)
def test_the_best_comes_first_and_nan_last(by: str, values: list[float | None]) -> None:
    value_of = SORTS[by][0]
    ordered = [value_of(row) for row in in_order([row_with(by, value) for value in values], by)]
    numbers = [value for value in ordered if value is not None and not math.isnan(value)]
    assert len(ordered) == len(values)
    assert ordered[: len(numbers)] == sorted(numbers, reverse=BETTER_IS_MORE[by])


@pytest.mark.parametrize("by", BETTER_IS_MORE)
def test_sorting_moves_rows_and_not_ranks(store: Store, by: str) -> None:
    records = seeded("a", [0.9], seconds=9) + seeded("b", [0.5], seconds=1)
    records.append(failed("bad", 0, RunStatus.FAILED, "no"))
    rows = build(records, store, by).rows
    assert {row.model: row.rank for row in rows} == {"a": 1, "b": 2, "bad": None}
    assert rows[-1].model == "bad"
    assert rows[0].model == ("b" if by in ("train_seconds", "images_per_second") else "a")


def test_a_metric_that_is_no_number_is_shown_and_not_ranked(store: Store) -> None:
    odd = seeded("odd", [math.nan])[0]
    store.write(odd)
    records = [*seeded("a", [0.9]), *store.records()]
    assert records[1].metrics["test"]["accuracy"] is None
    good, bad = build(records, store).rows
    assert (good.model, bad.rank) == ("a", None)
    assert bad.errors
    assert tables.to_csv(build(records, store))


# Tasks of several labels, and trees


def tagged(
    store: Store, model: str, lean: float, *, seed: int = 0, stored: bool = True
) -> RunRecord:
    """Return a multi-label run whose probabilities lean so much towards the labels."""
    labels = (np.random.default_rng(0).random((400, 3)) < 0.4).astype(np.uint8)
    noise = np.random.default_rng([*model.encode(), seed]).random(labels.shape)
    probabilities = (lean * labels + (1 - lean) * noise).astype(np.float16)
    said = (probabilities >= 0.5).astype(np.uint8)
    found = metrics.compute(Task.MULTI_LABEL, labels, said, probabilities, "abc")
    record = dataclasses.replace(
        make_record(make_spec(model, seed=seed)),
        metrics={"val": {**found, "mean_average_precision": 0.25}, "test": found},
        environment={"task": "multi-label"},
    )
    if stored:
        folder = store.folder(record.id)
        folder.mkdir(parents=True)
        order = np.random.default_rng(seed).permutation(len(labels))
        np.savez(
            folder / "predictions.npz",
            test_ids=order,
            test_labels=labels[order],
            test_predicted=said[order],
            test_probabilities=probabilities[order],
        )
    return record


def exact(store: Store, record: RunRecord) -> Any:
    """Return a run's stored labels and probabilities in the order of the ids."""
    answers = AnswerBook(store).of(record)
    assert answers is not None
    return answers.labels, answers.probabilities


def test_a_multi_label_task_is_ranked_by_mean_average_precision(store: Store) -> None:
    records = [tagged(store, "good", 0.4), tagged(store, "bad", 0.1)]
    block = only_block(build(records, store))
    assert block.metric == "mean_average_precision"
    good, bad = block.rows
    assert [(row.name, row.rank) for row in block.rows] == [("good", 1), ("bad", 2)]
    test = records[0].metrics["test"]
    assert good.metric == "mean_average_precision"
    assert (good.score.mean, good.val_score) == (test["mean_average_precision"], 0.25)
    assert good.others == {name: test[name] for name in ("accuracy", "f1_macro", "f1_micro")}
    labels, probabilities = exact(store, records[0])
    samples = stats.bootstrap_average_precision(labels, probabilities)
    assert good.score == stats.percentile_interval(good.score.mean, samples)
    assert bad.score.high < good.score.low
    assert block.gap == pytest.approx(math.sqrt(2) * (good.score.high - good.score.low) / 2)


def test_two_multi_label_networks_are_compared_by_a_paired_bootstrap(store: Store) -> None:
    records = [tagged(store, "good", 0.4), tagged(store, "bad", 0.1)]
    labels, first = exact(store, records[0])
    _, second = exact(store, records[1])
    samples = [stats.bootstrap_average_precision(labels, each) for each in (first, second)]
    scores = [record.metrics["test"]["mean_average_precision"] for record in records]
    found = compare(store, records)
    assert found.test == "paired bootstrap over items"
    assert found.estimate == pytest.approx(scores[0] - scores[1])
    half = 1.959963984540054 * (samples[0] - samples[1]).std(ddof=1)
    assert found.high - found.estimate == pytest.approx(half, rel=1e-4)
    assert found.p < 0.05


def test_several_seeds_of_multi_label_methods_are_compared_by_both_noises(store: Store) -> None:
    leans = {"good": (0.4, 0.42, 0.44), "bad": (0.1, 0.12, 0.14)}
    records = [
        tagged(store, model, lean, seed=seed)
        for model, each in leans.items()
        for seed, lean in enumerate(each)
    ]
    scores = [record.metrics["test"]["mean_average_precision"] for record in records]
    found, welch = compare(store, records), stats.welch(scores[:3], scores[3:])
    assert found.test == "seeds and items crossed"
    assert found.estimate == pytest.approx(welch.estimate)
    assert found.seed_variance == pytest.approx(welch.seed_variance)
    assert found.item_variance >= 0


def test_without_predictions_nothing_tells_multi_label_networks_apart(store: Store) -> None:
    records = [tagged(store, "good", 0.4), tagged(store, "bad", 0.1, stored=False)]
    found = compare(store, records)
    assert found.test == "none"
    assert math.isnan(found.p)
    assert summary(build(records, store)) == [("good", 1, 1), ("bad", 1, 1)]
    bad = build(records, store).rows[1]
    assert (bad.score.low, bad.score.high) == (0, 1)  # type: ignore[union-attr]


def test_every_table_of_a_multi_label_task_shows_its_metrics(store: Store) -> None:
    board = build([tagged(store, "good", 0.4), failed("b", 0, RunStatus.FAILED, "no")], store)
    block = only_block(board)
    columns = tables.headings(block)
    assert (columns["test"], columns["val"]) == ("test mAP", "val mAP")
    names = {"accuracy": "exact match", "f1_macro": "macro F1", "f1_micro": "micro F1"}
    assert {name: columns[name] for name in names} == names
    head, line, *rows = [x for x in tables.to_markdown(board).splitlines() if x[:1] == "|"]
    assert {row.count("|") for row in (head, line, *rows)} == {len(columns) + 1}
    assert "| macro F1 |" in head
    assert "bootstrap interval" in tables.footnote(block)
    first = next(csv.DictReader(io.StringIO(tables.to_csv(board))))
    assert first["metric"] == "mean_average_precision"
    plain = json.loads(json.dumps(board.to_dict(), allow_nan=False))
    assert plain["blocks"][0]["metric"] == plain["rows"][0]["metric"] == "mean_average_precision"
    shown = plain["rows"][0]["metrics"]
    assert {"mean_average_precision", "val_mean_average_precision", "f1_macro"} <= {*shown}


def test_levels_of_a_tree_are_columns(store: Store) -> None:
    record = make_record()
    levels = {"accuracy_level_1": 0.9, "accuracy_level_2": 0.8}
    test = {**record.metrics["test"], **levels}
    deep = dataclasses.replace(
        record,
        metrics={**record.metrics, "test": test},
        environment={"task": "hierarchical"},
    )
    block = only_block(build([deep], store))
    assert block.rows[0].others == levels
    columns = tables.headings(block)
    assert (columns["accuracy_level_1"], columns["test"]) == ("level 1", "test accuracy")
    assert tables.cells(block.rows[0])["accuracy_level_1"] == "90.0%"
