from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import make_record, make_spec

from bench.index import NAME, Entry
from bench.records import Purpose, RunRecord, RunStatus
from bench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A results directory with three runs, the third of them the newest."""
    store = Store(tmp_path / "results")
    for seed in range(3):
        store.write(make_record(make_spec(seed=seed), 0.5 + seed / 10, finished_at=f"2026-0{seed}"))
    return store


def record_path(store: Store, seed: int) -> Path:
    return store.folder(make_spec(seed=seed).id) / "record.json"


def ids(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def of_seeds(*seeds: int) -> list[str]:
    return [make_spec(seed=seed).id for seed in seeds]


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


def test_an_entry_says_of_a_run_what_grouping_needs(store: Store) -> None:
    spec = make_spec(
        "late", seed=5, purpose=Purpose.TRIAL, origin={"files": ["/results/runs/abc/model.st"]}
    )
    store.write(make_record(spec, status=RunStatus.DIVERGED, error="nan", finished_at="2027"))
    entry = store.entries()[-1]
    assert entry.id == spec.id
    assert (entry.status, entry.purpose, entry.finished_at) == ("diverged", "trial", "2027")
    assert (entry.method, entry.contest) == (spec.method, spec.contest)
    assert entry.content == spec.fingerprint
    assert entry.needs == "abc"


def test_runs_that_are_ranked_together_share_a_contest() -> None:
    plain = make_spec("a", protocol={"epochs": 3, "batch_size": 64})
    other = make_spec("b", "sgd", seed=4, protocol={"epochs": 3, "batch_size": 64})
    pinning = make_spec("c", protocol={"epochs": 3, "batch_size": 1}, pinned={"batch_size": 64})
    longer = make_spec("a", protocol={"epochs": 4, "batch_size": 64})
    assert plain.contest == other.contest == pinning.contest
    assert len({plain.contest, longer.contest, make_spec("a", dataset="else").contest}) == 3


def test_what_has_not_changed_is_not_read_again(store: Store, read: list[str]) -> None:
    first = store.entries()
    assert ids(first) == of_seeds(0, 1, 2)
    assert len(read) == 3
    assert Store(store.root).entries() == first
    assert len(read) == 3
    store.write(make_record(make_spec(seed=1), 0.9, finished_at="2026-07"))
    assert ids(Store(store.root).entries()) == of_seeds(0, 2, 1)
    assert read[3:] == of_seeds(1)


def test_a_deleted_record_is_gone_and_a_new_one_there(store: Store) -> None:
    store.entries()
    other = Store(store.root)
    record_path(store, 1).unlink()
    store.write(make_record(make_spec(seed=7), finished_at="2026-09"))
    assert ids(other.entries()) == of_seeds(0, 2, 7)


def test_a_record_that_cannot_be_used_is_named_each_time(store: Store, read: list[str]) -> None:
    path = record_path(store, 1)
    path.write_text("{}")
    for _ in range(2):
        assert ids(store.entries()) == of_seeds(0, 2)
        (warning,) = store.warnings
        assert f"skipped `{path}`: its schema is None, this version reads 1; " in warning
    assert len(read) == 3


def test_a_record_that_could_not_be_read_once_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda *_: (_ for _ in ()).throw(OSError("no answer")))
        assert store.entries() == []
        assert [warning.endswith("no answer") for warning in store.warnings] == [True] * 3
    assert ids(store.entries()) == of_seeds(0, 1, 2)
    assert store.warnings == []


def damage_with_text(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def damage_by_cutting(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def damage_schema(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def damage_table(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE runs")
    database.close()


def damage_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        damage_with_text,
        damage_by_cutting,
        damage_schema,
        damage_table,
        damage_by_a_folder,
    ],
)
def test_a_damaged_index_is_made_again(store: Store, damage: Callable[[Path], None]) -> None:
    expected = store.entries()
    damage(store.root / NAME)
    for _ in range(3):
        assert Store(store.root).entries() == expected


@pytest.mark.parametrize("cut", [1, 40, 400, 4000])
def test_a_cut_index_is_not_believed(store: Store, cut: int) -> None:
    """SQLite takes what is missing at the end of its file for zeros."""
    for seed in range(3, 40):
        store.write(make_record(make_spec(seed=seed), finished_at=f"2027-{seed}"))
    expected = store.entries()
    store.remember({"a": "1" * 9000})
    index = store.root / NAME
    os.truncate(index, index.stat().st_size - cut)
    for _ in range(3):
        assert store.entries() == expected
        assert store.warnings == []
        assert store.recall(["a"]) in ({}, {"a": "1" * 9000})


def test_an_index_that_another_process_writes_is_waited_for_and_stays(store: Store) -> None:
    expected = store.entries()
    with sqlite3.connect(store.root / NAME) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert store.entries() == expected
        writer.rollback()
    assert (store.root / NAME).exists()
    writer.close()


def read_only_index(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sqlite3.connect

    def connect(path: Path, timeout: float) -> sqlite3.Connection:
        return real(f"file:{path}?mode=ro", timeout=timeout, uri=True)

    monkeypatch.setattr(sqlite3, "connect", connect)


@pytest.mark.parametrize("indexed", [False, True])
def test_a_directory_without_write_access_is_read(
    store: Store, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if indexed:
        store.entries()
        store.write(make_record(make_spec(seed=3), finished_at="2026-03"))
    read_only_index(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError()))
        for _ in range(2):
            assert len(store.entries()) == 3 + indexed
            store.remember({"a": "1"})
            assert store.recall(["a"]) == {}


# What was computed


def test_what_was_computed_is_remembered_across_stores(tmp_path: Path) -> None:
    Store(tmp_path).remember({"a": "1", "b": "2"})
    Store(tmp_path).remember({"b": json.dumps({"c": None})})
    assert Store(tmp_path).recall(["a", "b", "c"]) == {"a": "1", "b": '{"c": null}'}


def test_thousands_of_keys_are_recalled_at_once(tmp_path: Path) -> None:
    values = {str(number): str(-number) for number in range(3000)}
    Store(tmp_path).remember(values)
    assert Store(tmp_path).recall(values) == values


def test_nothing_is_recalled_from_a_damaged_index(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database at all, " * 100)
    Store(tmp_path).remember({"a": "1"})
    assert Store(tmp_path).recall(["a"]) == {}


def test_recalling_creates_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path / "nowhere").recall(["a"]) == {}
    assert Store(tmp_path).recall(["a"]) == {}
    assert list(tmp_path.iterdir()) == []
