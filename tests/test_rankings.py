from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from samples import make_record, make_spec, write_predictions

from bench import leaderboard, rankings, studies, tables
from bench.answers import AnswerBook
from bench.index import NAME
from bench.leaderboard import Leaderboard
from bench.records import Purpose, RunRecord, RunStatus
from bench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two datasets and two protocols; rows that tie, that fail, and a trial."""
    store = Store(tmp_path / "results")
    generator = np.random.default_rng(0)
    for dataset in ("shapes", "sounds"):
        for epochs in (1, 2):
            for model, accuracy in (("a", 0.9), ("b", 0.89), ("c", 0.5)):
                for seed in range(3):
                    spec = make_spec(
                        model,
                        seed=seed,
                        dataset=dataset,
                        protocol={"epochs": epochs, "batch_size": 8},
                        params={"model": {"width": 8}, "optimizer": {"lr": 0.1 * epochs}},
                    )
                    right = generator.random(200) < accuracy
                    record = make_record(spec, float(right.mean()), 200)
                    store.write(record)
                    write_predictions(store, record, right)
    store.write(make_record(make_spec("d"), status=RunStatus.CRASHED, error="<b>&|"))
    store.write(make_record(make_spec("e", purpose=Purpose.TRIAL), 0.99))
    return store


def texts(board: Leaderboard) -> tuple[str, ...]:
    return (json.dumps(board.to_dict()), tables.to_csv(board), tables.to_markdown(board))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the records that were read from their files."""
    found: list[str] = []
    real = Store._record

    def note(self: Store, run_id: str) -> RunRecord:
        found.append(run_id)
        return real(self, run_id)

    monkeypatch.setattr(Store, "_record", note)
    return found


@pytest.mark.parametrize("sort", ["score", "val_score", "train_seconds", "parameters"])
def test_what_the_index_keeps_is_what_the_records_give(store: Store, sort: str) -> None:
    expected = leaderboard.build(store.records(), store, sort)
    for _ in range(2):
        found = rankings.stored(store, sort)
        assert texts(found) == texts(expected)
        assert found == expected


def test_an_empty_directory_has_no_blocks(tmp_path: Path) -> None:
    assert rankings.stored(Store(tmp_path)).blocks == []


def test_what_has_not_changed_is_not_ranked_again(store: Store, read: list[str]) -> None:
    first = rankings.stored(store)
    read.clear()
    assert rankings.stored(Store(store.root)) == first
    assert read == []


def test_only_the_contest_that_has_changed_is_ranked_again(store: Store, read: list[str]) -> None:
    rankings.stored(store)
    read.clear()
    later = make_spec("a", seed=3, dataset="sounds", protocol={"epochs": 2, "batch_size": 8})
    store.write(make_record(later, 0.1, 200))
    board = rankings.stored(store)
    # It is read for the index and for the ranking, its nine neighbours for the ranking.
    assert len(read) == 11
    expected = leaderboard.build(store.records(), store)
    assert texts(board) == texts(expected)


def test_the_index_does_not_grow_with_every_run(store: Store) -> None:
    def kept() -> int:
        database = sqlite3.connect(store.root / NAME)
        [(count,)] = database.execute("SELECT COUNT(*) FROM derived")
        database.close()
        return int(count)

    rankings.stored(store)
    before = kept()
    for seed in range(3, 6):
        store.write(make_record(make_spec("a", seed=seed), 0.5))
        rankings.stored(store)
    # What was made before has given way; the runs are of one contest, which may be new.
    assert 0 < before <= kept() <= before + 1


def test_a_study_that_is_new_is_seen(store: Store) -> None:
    spec = make_spec("t", tuned={"study": "abcd", "trial": 3})
    store.write(make_record(spec, 0.7))
    assert "its study is lost" in texts(rankings.stored(store))[2]
    folder = studies.folder_of(store.root)
    folder.mkdir(exist_ok=True)
    (folder / "abcd.json").write_text("{")
    rankings.stored(store)
    assert [warning for warning in store.warnings if "abcd.json" in warning]


def test_blocks_that_other_code_has_made_are_not_taken(
    store: Store, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    rankings.stored(store)
    read.clear()
    monkeypatch.setattr(rankings, "source", lambda: "another version")
    rankings.stored(store)
    assert read != []


@pytest.mark.parametrize("text", ["", "{", "[{}]", "null", '[{"rows": 3}]'])
def test_what_was_kept_and_is_damaged_is_made_again(store: Store, text: str) -> None:
    expected = rankings.stored(store)
    with sqlite3.connect(store.root / NAME) as database:
        database.execute("UPDATE derived SET value = ?", (text,))
    database.close()
    for _ in range(2):
        assert rankings.stored(store) == expected


def test_a_damaged_record_is_named_each_time(store: Store) -> None:
    run_id = store.ids()[0]
    (store.folder(run_id) / "record.json").write_text("{}")
    for _ in range(2):
        rankings.stored(store)
        assert [warning for warning in store.warnings if run_id in warning]


def test_predictions_that_cannot_be_used_are_named_until_they_are_back(store: Store) -> None:
    whole = texts(rankings.stored(store))
    run_id = next(row for row in rankings.stored(store).rows if row.name == "b").runs[1]
    path = store.folder(run_id) / "predictions.npz"
    content = path.read_bytes()
    path.write_bytes(content[:100])
    for _ in range(2):
        board = rankings.stored(store)
        (warning,) = store.warnings
        assert f"run `{run_id}`" in warning
        assert f"`{path}` cannot be read" in warning
        assert "`--rerun`" in warning
        assert [*board.unusable] == [run_id]
        assert "predictions of 1 run cannot be used" in tables.to_markdown(board)
    path.write_bytes(content)
    assert texts(rankings.stored(store)) == whole
    assert store.warnings == []


def test_missing_predictions_are_named_of_runs_that_have_left_some(store: Store) -> None:
    records = [record for record in store.records() if record.spec.model.name == "b"]
    for record in records:
        (store.folder(record.id) / "predictions.npz").unlink()
    rankings.stored(store)
    assert store.warnings == []
    booked = {"train_seconds": 2.0, "images_per_second": 500.0, "saving_seconds": 0.1}
    for record in records:
        store.write(dataclasses.replace(record, timing=booked))
    board = rankings.stored(store)
    assert {*board.unusable} == {record.id for record in records}
    assert len(store.warnings) == 11
    assert "is missing; restore" in store.warnings[0]
    assert store.warnings[-1] == "nor are those of 2 more runs"


def stored_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda found: {name: each[:50] for name, each in found.items()}, "50 test items, the re"),
        (lambda found: {**found, "test_labels": found["test_labels"] + 9}, "none of"),
        (lambda found: {**found, "test_labels": found["test_labels"][:9]}, ""),
        (lambda found: {n: each for n, each in found.items() if n != "test_ids"}, "test_ids"),
        (lambda found: {**found, "test_probabilities": np.full((200, 2), np.nan)}, "no numbers"),
        (lambda found: {**found, "test_probabilities": np.ones((200, 5))}, "shape (200, 5)"),
    ],
)
def test_predictions_that_do_not_fit_the_record_are_not_used(
    store: Store, damage: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], why: str
) -> None:
    (record,) = [
        dataclasses.replace(each, environment={"classes": ["x", "y"]})
        for each in store.records()
        if each.spec.model.name == "a"
        and each.spec.seed == 0
        and each.spec.dataset.name == "shapes"
        and each.spec.protocol["epochs"] == 1
    ]
    path = store.folder(record.id) / "predictions.npz"
    book = AnswerBook(store)
    assert book.read(record, "test") is not None
    assert book.unusable == {}
    np.savez(path, **damage(stored_arrays(path)))
    assert book.read(record, "test") is None
    assert why in book.unusable[record.id]
