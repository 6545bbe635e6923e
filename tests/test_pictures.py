"""Which items a run leaves pictures of, and what its file withstands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers_samples import NAMES, sets, single
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import arrays, confusion, pictures, thumbnails
from bench.pictures import Pictures
from bench.specs import Answers, Task

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """Return answers of any task, with ids that have gaps, with or without probabilities."""
    count, classes = draw(st.integers(1, 120)), draw(st.integers(2, 6))
    seed = draw(st.integers(0, 10_000))
    if draw(st.booleans()):
        found = sets(count, classes, seed)
    else:
        found = single(count, classes, seed, coarse=draw(st.booleans()))
    ids = np.sort(np.random.default_rng(seed).choice(10 * count, count, replace=False))
    if draw(st.booleans()):
        found = dataclasses.replace(found, probabilities=None)
    return dataclasses.replace(found, ids=ids.astype(np.int64))


def places(found: Answers, ids: Any) -> Any:
    """Return where items are among the answers; each must be there."""
    where = np.searchsorted(found.ids, ids)
    np.testing.assert_array_equal(found.ids[where], ids)
    return where


# What is chosen


@given(answers())
@QUIET
def test_chosen_items_are_few_each_once_and_always_the_same(found: Answers) -> None:
    ids = pictures.chosen(found)
    assert ids.dtype == np.int64
    assert len(ids) <= pictures.MOST
    assert (np.diff(ids) > 0).all()
    places(found, ids)
    np.testing.assert_array_equal(ids, pictures.chosen(found))
    # In whatever order the answers are.
    order = np.random.default_rng(0).permutation(len(found.ids))
    mixed = dataclasses.replace(
        found,
        **{name: getattr(found, name)[order] for name in ("ids", "labels", "predicted")},
        probabilities=None if found.probabilities is None else found.probabilities[order],
    )
    np.testing.assert_array_equal(ids, pictures.chosen(mixed))


@given(answers())
@QUIET
def test_readers_find_pictures_of_what_they_ask_for(found: Answers) -> None:
    ids = pictures.chosen(found)
    assert np.isin(pictures.worst(found, 32), ids).all()
    assert np.isin(pictures.most_doubtful(found, 32), ids).all()
    assert np.isin(pictures.with_maps(found, 12), ids).all()
    assert len(pictures.with_maps(found, 12)) <= 12
    # Each confusion, and each class of which anything was right.
    wrong, right = ~found.right[places(found, ids)], found.right[places(found, ids)]
    if found.task is not Task.MULTI_LABEL:
        shown = np.zeros((len(found.names),) * 2, int)
        where = places(found, ids)[wrong]
        np.add.at(shown, (found.labels[where], found.predicted[where]), 1)
        expected = confusion.matrix(found)
        np.fill_diagonal(expected, 0)
        assert ((shown > 0) == (expected > 0)).all()
        assert (shown >= np.minimum(expected, 4)).all()
        kinds = {*found.labels[places(found, ids)[right]].tolist()}
        assert kinds == {*found.labels[found.right].tolist()}


@given(answers(), st.integers(0, 40))
@QUIET
def test_the_worst_are_wrong_and_sorted(found: Answers, limit: int) -> None:
    ids = pictures.worst(found, limit)
    assert len(ids) == min(limit, int((~found.right).sum()))
    where = places(found, ids)
    assert not found.right[where].any()
    if found.probabilities is None:
        assert (np.diff(ids) > 0).all()
        return
    shares = found.probabilities.astype(np.float64)
    if found.task is Task.MULTI_LABEL:
        likely = np.where(found.labels == 1, shares, 1 - shares).prod(1)
    else:
        likely = shares[np.arange(len(shares)), found.labels]
    assert (np.diff(likely[where]) >= -1e-12).all()
    others = np.setdiff1d(np.flatnonzero(~found.right), where)
    if limit and len(others):
        assert likely[others].min() >= likely[where].max() - 1e-12


@given(answers(), st.integers(0, 40))
@QUIET
def test_the_most_doubtful_nearly_tie(found: Answers, limit: int) -> None:
    ids = pictures.most_doubtful(found, limit)
    where = places(found, ids)
    if found.probabilities is None:
        np.testing.assert_array_equal(ids, pictures.worst(found, limit))
        return
    assert len(ids) == min(limit, len(found.ids))
    shares = found.probabilities.astype(np.float64)
    if found.task is Task.MULTI_LABEL:
        margin = np.abs(shares - 0.5).min(1)
    else:
        ordered = np.sort(shares, 1)
        margin = ordered[:, -1] - ordered[:, -2]
    np.testing.assert_array_equal(margin[where], np.sort(margin)[: len(where)])


@given(answers(), st.integers(1, 5), st.integers(0, 60))
@QUIET
def test_confusions_share_what_room_there_is(found: Answers, each: int, limit: int) -> None:
    ids = pictures.of_confusions(found, each, limit)
    assert len(ids) <= limit
    assert len({*ids.tolist()}) == len(ids)
    where = places(found, ids)
    assert not found.right[where].any()
    if found.task is Task.MULTI_LABEL:
        return
    taken = list(zip(found.labels[where].tolist(), found.predicted[where].tolist(), strict=True))
    counts = confusion.matrix(found)
    by_cell = {cell: taken.count(cell) for cell in taken}
    assert max(by_cell.values(), default=0) <= each
    # Cells come one after the other, the most frequent first.
    assert [counts[cell] for cell in dict.fromkeys(taken)] == sorted(
        (counts[cell] for cell in by_cell), reverse=True
    )
    assert taken == [cell for cell in dict.fromkeys(taken) for _ in range(by_cell[cell])]
    # None has two while another has none.
    np.fill_diagonal(counts, 0)
    if max(by_cell.values(), default=0) > 1:
        assert len(by_cell) == (counts > 0).sum()


def test_a_sure_mistake_is_worse_than_an_unsure_one() -> None:
    shares = np.array([[0.45, 0.55], [0.01, 0.99], [0.9, 0.1], [0.2, 0.8]], np.float16)
    labels = np.array([0, 0, 0, 0])
    found = Answers(
        Task.BINARY, NAMES[:2], np.array([3, 5, 7, 9]), labels, shares.argmax(1), shares
    )
    assert pictures.worst(found, 9).tolist() == [5, 9, 3]
    assert pictures.most_doubtful(found, 1).tolist() == [3]
    assert pictures.of_confusions(found, 2, 9).tolist() == [5, 9]


def test_a_label_that_is_missed_and_one_that_is_said_wrongly_are_two_confusions() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 1], [0, 1]], np.uint8)
    said = np.array([[0, 0], [0, 1], [1, 1], [0, 0]], np.uint8)
    found = Answers(Task.MULTI_LABEL, NAMES[:2], np.arange(4), labels, said, None)
    assert sorted(pictures.of_confusions(found, 1, 9).tolist()) == [0, 1, 3]


def test_of_many_classes_and_mistakes_there_are_no_more_than_fit() -> None:
    generator = np.random.default_rng(0)
    shares = generator.dirichlet(np.ones(300), 5000).astype(np.float16)
    labels = generator.integers(0, 300, 5000)
    names = tuple(map(str, range(300)))
    found = Answers(Task.MULTI_CLASS, names, np.arange(5000), labels, shares.argmax(1), shares)
    assert 150 < len(pictures.chosen(found)) <= pictures.MOST


# What is stored


def some(count: int = 30, height: int = 20, width: int = 28, channels: int = 3) -> Pictures:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (count, 4, 4, channels), np.uint8)
    repeats = (-(-height // 4), -(-width // 4))
    images = coarse.repeat(repeats[0], 1).repeat(repeats[1], 2)[:, :height, :width]
    ids = np.arange(count, dtype=np.int64) * 3
    return Pictures("test", ids, images, ids[:2], images[:2, :, :, 0], "layer4.1")


def noise(count: int, edge: int = 96, channels: int = 3) -> Pictures:
    images = np.random.default_rng(0).integers(0, 255, (count, edge, edge, channels), np.uint8)
    ids = np.arange(count, dtype=np.int64)
    return Pictures("test", ids, images, ids[:12], images[:12, :, :, 0] // 255 * 9, "conv")


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_come_back_as_they_were(channels: int, tmp_path: Path) -> None:
    stored = some(channels=channels)
    pictures.write(tmp_path, stored)
    found = pictures.read(tmp_path)
    assert found is not None
    for name in ("ids", "images", "map_ids", "maps"):
        np.testing.assert_array_equal(getattr(found, name), getattr(stored, name))
        assert getattr(found, name).dtype == getattr(stored, name).dtype
    assert (found.split, found.layer) == ("test", "layer4.1")


@pytest.mark.parametrize(("count", "channels"), [(200, 3), (200, 1), (60, 3), (1, 3)])
def test_a_file_stays_small_whatever_the_pictures_show(
    count: int, channels: int, tmp_path: Path
) -> None:
    pictures.write(tmp_path, noise(count, channels=channels))
    assert (tmp_path / pictures.NAME).stat().st_size <= 500_000
    found = pictures.read(tmp_path)
    assert found is not None
    assert len(found.ids) == len(found.images) == count
    assert found.maps.shape == (min(count, 12), *found.images.shape[1:3])


def test_pictures_made_smaller_come_back_where_there_are_no_maps(tmp_path: Path) -> None:
    stored = noise(200)
    pictures.write(
        tmp_path, dataclasses.replace(stored, map_ids=stored.ids[:0], maps=stored.maps[:0])
    )
    found = pictures.read(tmp_path)
    assert found is not None
    assert found.images.shape[1] < stored.images.shape[1]
    assert found.maps.shape == (0, *found.images.shape[1:3])


@pytest.mark.parametrize("channels", [1, 3])
def test_photographs_are_hardly_changed_and_keep_to_their_tiles(
    channels: int, tmp_path: Path
) -> None:
    down, right = np.mgrid[0:72, 0:96]
    smooth = 90 + 60 * np.sin(down / 9)[..., None] * np.cos(right / 11)[..., None]
    level = np.linspace(-60, 60, 150)[:, None, None, None]
    generator = np.random.default_rng(0)
    images = (smooth + level + generator.normal(0, 3, (150, 72, 96, channels))).clip(0, 255)
    ids = np.arange(150, dtype=np.int64)
    stored = Pictures(
        "test", ids, images.astype(np.uint8), ids[:0], np.zeros((0, 72, 96), np.uint8)
    )
    pictures.write(tmp_path, stored)
    found = pictures.read(tmp_path)
    assert found is not None
    assert found.images.shape == (150, 72, 96, channels)
    assert len(found.maps) == 0
    assert found.layer == ""
    away = np.abs(found.images.astype(float) - stored.images)
    assert 0 < away.mean() < 4  # it was a JPEG, and the noise is some of it
    edges = np.concatenate([away[:, :2].ravel(), away[:, :, -2:].ravel()])
    assert edges.mean() < 6


def test_a_run_without_pictures_has_none(tmp_path: Path) -> None:
    assert pictures.read(tmp_path) is None
    assert pictures.read(tmp_path / "gone") is None


def stored_parts(found: Pictures) -> tuple[dict[str, Any], dict[str, Any]]:
    _, stored, about = thumbnails.pack(found.images, pictures.ROOM)
    stored |= {"ids": found.ids, "map_ids": found.map_ids, "maps": found.maps}
    return stored, {"schema": 1, "split": "test", "layer": found.layer, **about}


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ids that are too few": ({"ids": np.arange(3)}, {}),
    "ids that repeat": ({"ids": np.zeros(30, np.int64)}, {}),
    "ids below zero": ({"ids": np.arange(-5, 25)}, {}),
    "ids of another kind": ({"ids": np.arange(30, dtype=np.uint8)}, {}),
    "ids in a table": ({"ids": np.arange(30).reshape(5, 6)}, {}),
    "maps of other items": ({"map_ids": np.array([1, 2])}, {}),
    "maps that are too many": ({"maps": np.zeros((3, 20, 28), np.uint8)}, {}),
    "maps of another size": ({"maps": np.zeros((2, 20, 27), np.uint8)}, {}),
    "maps of another kind": ({"maps": np.zeros((2, 20, 28), np.int64)}, {}),
    "images of another size": ({"images": np.zeros((30, 20, 20, 3), np.uint8)}, {}),
    "images of another kind": ({"images": np.zeros((30, 20, 28, 3), np.int64)}, {}),
    "another version": ({}, {"schema": 2}),
    "no split": ({}, {"split": None}),
    "no layer": ({}, {"layer": 3}),
    "no shape": ({}, {"shape": None}),
    "a shape in words": ({}, {"shape": "30,20,28,3"}),
    "a shape of truths": ({}, {"shape": [True, True, True, True]}),
    "a huge shape": ({}, {"shape": [2**40, 96, 96, 3]}),
    "two channels": ({}, {"shape": [30, 20, 28, 2]}),
}


@pytest.mark.parametrize(("parts", "told"), WRONG.values(), ids=[*WRONG])
def test_a_file_that_does_not_fit_together_is_no_file(
    parts: dict[str, Any], told: dict[str, Any], tmp_path: Path
) -> None:
    stored, about = stored_parts(some())
    (tmp_path / pictures.NAME).write_bytes(arrays.packed(stored, about))
    assert pictures.read(tmp_path) is not None
    (tmp_path / pictures.NAME).write_bytes(arrays.packed({**stored, **parts}, {**about, **told}))
    assert pictures.read(tmp_path) is None


@pytest.mark.parametrize("name", ["ids", "map_ids", "maps", "images"])
def test_a_file_that_lacks_something_is_no_file(name: str, tmp_path: Path) -> None:
    stored, about = stored_parts(some())
    del stored[name]
    (tmp_path / pictures.NAME).write_bytes(arrays.packed(stored, about))
    assert pictures.read(tmp_path) is None


@given(st.data())
@settings(QUIET, max_examples=20)
def test_a_sheet_that_is_damaged_breaks_nothing(tmp_path: Path, data: st.DataObject) -> None:
    stored, about = stored_parts(noise(60))
    sheet = stored["sheet"].copy()
    for _ in range(data.draw(st.integers(0, 5))):
        sheet[data.draw(st.integers(0, 700))] = data.draw(st.integers(0, 255))
    stored["sheet"] = sheet[: data.draw(st.integers(0, len(sheet)))]
    stored["maps"] = stored["maps"][:, : about["shape"][1], : about["shape"][2]]
    (tmp_path / pictures.NAME).write_bytes(arrays.packed(stored, about))
    found = pictures.read(tmp_path)
    assert found is None or len(found.images) == 60


# Made small


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([1, 3]), st.integers(8, 96))
@QUIET
def test_thumbnails_keep_proportions_and_channels(
    height: int, width: int, channels: int, edge: int
) -> None:
    images = np.full((2, height, width, channels), 77, np.uint8)
    small = thumbnails.shrunk(images, edge)
    assert small.dtype == np.uint8
    assert small.shape[0] == 2
    assert small.shape[3] == channels
    assert max(small.shape[1:3]) == min(edge, max(height, width))
    assert (small == 77).all()
    scale = max(small.shape[1:3]) / max(height, width)
    assert abs(small.shape[1] - height * scale) <= 1
    assert abs(small.shape[2] - width * scale) <= 1
