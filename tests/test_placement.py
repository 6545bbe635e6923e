"""Where images are during a run changes no bit of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.engine import placement
from bench.engine.placement import Resident, Stored, ahead, place
from bench.errors import DataError
from bench.stored import Joined, Streamed

COUNT = 12
ROWS = torch.tensor([[3, 0, 5], [5, 5, 1], [2, 4, 3]])
IDS = np.array([1, 4, 5, 7, 8, 11])


def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (COUNT, 6, 7, 3), np.uint8)


@pytest.fixture
def mapped(tmp_path: Path) -> Any:
    np.save(tmp_path / "images.npy", pixels())
    return np.load(tmp_path / "images.npy", mmap_mode="r")


@pytest.fixture
def streamed(tmp_path: Path) -> Streamed:
    paths = [tmp_path / f"{index}.png" for index in range(COUNT)]
    for path, image in zip(paths, pixels(), strict=True):
        Image.fromarray(image).save(path)
    return Streamed(paths, (6, 7, 3), None)


@pytest.fixture
def joined(mapped: Any) -> Joined:
    return Joined([mapped[:5], mapped[5:6], mapped[6:]])


def expected(indices: Any, ids: Any = IDS) -> Tensor:
    return torch.from_numpy(pixels()[ids[np.asarray(indices)]]).permute(0, 3, 1, 2)


@pytest.fixture
def sources(mapped: Any, streamed: Streamed, joined: Joined) -> dict[str, Any]:
    return {"mapped": mapped, "streamed": streamed, "joined": joined}


@pytest.mark.parametrize(
    ("source", "wanted", "name"),
    [
        ("mapped", "auto", "memory"),
        ("mapped", "memory", "memory"),
        ("mapped", "map", "map"),
        ("joined", "memory", "memory"),
        ("joined", "map", "map"),
        ("streamed", "auto", "stream"),
        ("streamed", "memory", "stream"),
        ("streamed", "stream", "stream"),
    ],
)
def test_every_place_gives_the_same_bits(
    sources: dict[str, Any], source: str, wanted: str, name: str
) -> None:
    found = place(sources[source], IDS, "cpu", wanted)
    assert found.name == name
    assert isinstance(found, Resident if name == "memory" else Stored)
    assert found.shape == (6, 3, 6, 7)
    indices = torch.tensor([5, 0, 0, 3])
    taken = found.take(indices)
    assert taken.dtype == torch.uint8
    assert torch.equal(taken, expected(indices))
    batches = [*found.stream(ROWS)]
    assert len(batches) == len(ROWS)
    for batch, row in zip(batches, ROWS, strict=True):
        assert torch.equal(batch, expected(row))


def test_all_images_of_a_split_are_copied_in_their_order(mapped: Any) -> None:
    everything = np.arange(COUNT)
    found = place(mapped, everything, "cpu", "memory")
    assert torch.equal(found.take(torch.arange(COUNT)), expected(everything, everything))
    assert isinstance(found, Resident)
    found.images.fill_(0)
    assert np.array_equal(mapped, pixels())


def test_what_is_in_a_memory_map_is_no_writable_view_of_it(mapped: Any) -> None:
    place(mapped, IDS, "cpu", "map").take(torch.arange(6)).fill_(0)
    assert np.array_equal(mapped, pixels())


def test_images_that_would_fill_the_memory_stay_in_their_map(
    mapped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(IDS) * 6 * 7 * 3
    monkeypatch.setattr(placement, "MEMORY_LIMIT", size)
    assert place(mapped, IDS, "cpu", "auto").name == "memory"
    monkeypatch.setattr(placement, "MEMORY_LIMIT", size - 1)
    assert place(mapped, IDS, "cpu", "auto").name == "map"
    assert place(mapped, IDS, "cpu", "memory").name == "memory"


def test_splits_one_after_the_other_are_one(mapped: Any, joined: Joined) -> None:
    assert joined.shape == mapped.shape
    for ids in ([0, 4, 5, 6, 11], [11, 0, 5, 5], []):
        assert np.array_equal(joined[np.array(ids, np.int64)], mapped[np.array(ids, np.int64)])


def test_splits_with_files_among_them_are_streamed(mapped: Any, streamed: Streamed) -> None:
    both = Joined([mapped, streamed])
    ids = np.array([2, COUNT + 2, COUNT - 1, COUNT])
    found = place(both, ids, "cpu", "memory")
    assert found.name == "stream"
    taken = found.take(torch.arange(4))
    assert torch.equal(taken[0], taken[1])
    assert torch.equal(taken[2:], expected([COUNT - 1, 0], np.arange(COUNT)))


def test_a_file_that_has_gone_is_named_where_the_batch_is_waited_for(
    streamed: Streamed, tmp_path: Path
) -> None:
    (tmp_path / "8.png").unlink()
    batches = place(streamed, IDS, "cpu", "auto").stream(ROWS)
    assert torch.equal(next(batches), expected(ROWS[0]))
    assert torch.equal(next(batches), expected(ROWS[1]))
    with pytest.raises(DataError, match=r"8\.png` is not there"):
        next(batches)
    assert threads() == []


# Fetching ahead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "batches-ahead"]


def numbers(count: int, made: list[int] | None = None) -> Iterator[Tensor]:
    for number in range(count):
        if made is not None:
            made.append(number)
        yield torch.tensor(number)


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_batches_come_in_their_order_and_each_once(count: int) -> None:
    assert [int(batch) for batch in ahead(numbers(count))] == [*range(count)]
    assert threads() == []


def test_only_a_few_batches_are_made_ahead() -> None:
    made: list[int] = []
    batches = ahead(numbers(1000, made))
    next(batches)
    end = time.monotonic() + 10
    while len(made) < placement.AHEAD + 1 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.2)
    # One was taken, so many wait in the queue, and one more waits for room in it.
    assert placement.AHEAD < len(made) <= placement.AHEAD + 2
    batches.close()  # type: ignore[attr-defined]


def test_a_caller_that_stops_early_stops_the_thread() -> None:
    made: list[int] = []
    batches = ahead(numbers(10_000, made))
    next(batches)
    assert len(threads()) == 1
    batches.close()  # type: ignore[attr-defined]
    assert threads() == []
    assert len(made) < 100


def test_what_making_a_batch_raises_is_raised_in_its_place() -> None:
    def broken() -> Iterator[Tensor]:
        yield from numbers(3)
        raise DataError("the disk is gone")

    batches = ahead(broken())
    assert [int(next(batches)) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="the disk is gone"):
        next(batches)
    assert threads() == []
