"""How much room stored datasets may take, and what goes first."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench import cache, datastore
from bench.errors import ConfigError, StoreError
from bench.geometry import Request
from bench.records import ComponentRef
from bench.registry import Offer, Plugin
from bench.stored import StoredDataset, open_stored

PLUGIN = Plugin("acme", "acme-dist", "1.0", "acme")
DAY = 24 * 3600.0


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep stored datasets in a folder of the test's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)
    return tmp_path / "cache"


def store(name: str, size: int | None = None) -> StoredDataset:
    """Store a dataset of 8 images of 10,000 bytes each, its content named after it."""
    generator = np.random.default_rng([*name.encode()])
    images = generator.integers(0, 256, (4, 100, 100), np.uint8)
    if size is not None:
        images = np.concatenate([images, images], 2)
    labels = np.arange(4) % 2
    splits = bench.Splits(train=(images, labels), test=(images, labels))
    offer = Offer(bench.Dataset(name=name, load=lambda data_dir: splits), PLUGIN)
    return datastore.prepare(offer, ComponentRef(name, "acme", {}), Request(size=size))


def age(folder: Path, days: float) -> None:
    """Make a folder look as if it was used so many days ago."""
    stamp = time.time() - days * DAY
    marker = folder / "used"
    for path in (marker, folder):
        if path.exists():
            os.utime(path, (stamp, stamp))


def variant(stored: StoredDataset) -> Path:
    return stored.folder / stored.variant


def is_whole(stored: StoredDataset) -> bool:
    try:
        return open_stored(stored.fingerprint, stored.variant) == stored
    except StoreError:
        return False


# The limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 50e9),
        ("  ", 50e9),
        ("0", 0),
        ("1000", 1000),
        ("20GB", 20e9),
        ("20 gb", 20e9),
        ("500MB", 5e8),
        ("1.5T", 1.5e12),
        ("2K", 2000),
        ("7B", 7),
    ],
)
def test_a_limit_is_read_in_the_units_people_write(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: float
) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, text)
    assert cache.limit() == expected


def test_without_a_limit_it_is_50_gigabytes() -> None:
    assert cache.limit() == 50e9


@pytest.mark.parametrize("text", ["much", "-1", "20 PB", "1e9", "GB", "1,5GB", "20GB!"])
def test_a_limit_that_is_no_size_is_an_error_that_says_how_to_write_one(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, text)
    with pytest.raises(ConfigError) as caught:
        cache.limit()
    expected = f"`{cache.LIMIT_VARIABLE}` is `{text}`, which is no size; write 20GB or 500MB"
    assert str(caught.value) == expected


def test_what_is_larger_than_the_limit_or_half_the_disk_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "1000")
    assert cache.fits(1000)
    assert not cache.fits(1001)
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "1000000T")
    assert not cache.fits(1e18)


def test_a_dataset_that_does_not_fit_is_refused_with_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "70KB")
    with pytest.raises(bench.DataError, match=r"takes .* more than the cache may .*--input-size"):
        store("a")


# What goes first


def test_what_was_used_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    old, older, fresh = store("old"), store("older"), store("fresh")
    age(variant(old), 3)
    age(variant(older), 5)
    sizes = {entry.path: entry.size for entry in cache.entries()}
    assert {*sizes} == {variant(each) for each in (old, older, fresh)}
    monkeypatch.setenv(cache.LIMIT_VARIABLE, str(sum(sizes.values())))
    cache.make_room(1)
    assert not older.folder.exists()
    assert is_whole(fresh)
    age(variant(old), 3)
    cache.make_room(sizes[variant(older)] + 1)
    assert not old.folder.exists()
    assert is_whole(fresh)


def test_nothing_goes_where_there_is_room() -> None:
    old = store("old")
    age(variant(old), 300)
    cache.make_room(1e9)
    assert is_whole(old)


def test_what_was_used_within_a_day_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = store("first"), store("second")
    age(variant(first), 0.9)
    age(variant(second), 1.1)
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "0")
    cache.make_room(1)
    assert is_whole(first)
    assert not second.folder.exists()


def test_opening_a_dataset_counts_as_use(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = store("a")
    age(variant(stored), 3)
    assert is_whole(stored)
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "0")
    cache.make_room(1)
    assert is_whole(stored)


def test_storing_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    old = store("old")
    age(variant(old), 3)
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "100KB")
    new = store("new")
    assert is_whole(new)
    assert not old.folder.exists()
    assert is_whole(store("old"))  # it can always be made again


def test_a_workers_view_outlives_the_files() -> None:
    stored = store("a")
    images: Any = stored.images("train")
    before = np.array(images)
    [entry] = cache.entries()
    cache.remove(entry)
    assert np.array_equal(images, before)
    assert not stored.folder.exists()


# Entries


def test_entries_say_what_they_are_how_large_and_how_old() -> None:
    stored = store("a")
    age(variant(stored), 2)
    [entry] = cache.entries()
    assert entry.path == variant(stored)
    files = sum(path.stat().st_size for path in variant(stored).iterdir())
    assert entry.size == files >= 80_000
    assert entry.used == pytest.approx(2 * DAY, abs=60)
    assert entry.what == f"dataset {stored.fingerprint[:12]} at 100x100x1"


def test_each_size_of_a_dataset_is_an_entry_and_can_go_alone() -> None:
    small, large = store("a", size=8), store("a", size=16)
    assert small.fingerprint == large.fingerprint
    found = {entry.path: entry for entry in cache.entries()}
    assert {*found} == {variant(small), variant(large)}
    cache.remove(found[variant(small)])
    assert not is_whole(small)
    assert is_whole(large)
    cache.remove(found[variant(large)])
    assert not large.folder.exists()


def test_downloads_archives_and_leftovers_are_entries(root: Path) -> None:
    for name in ("extracted/pets", "data/flowers", "datasets/.writing-x"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_bytes(b"12345")
    found = {entry.what: entry.size for entry in cache.entries()}
    assert found == {"unfinished dataset": 5, "unpacked archive pets": 5, "download flowers": 5}


def test_an_empty_cache_has_no_entries() -> None:
    assert [*cache.entries()] == []
    cache.make_room(10)
