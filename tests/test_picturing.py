"""What workers leave to be looked at when a run has ended, and that it costs the run nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers_samples import sets, single
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_runs import class_folders, only

from bench import cards, pictures
from bench.answers import AnswerBook
from bench.api import Result
from bench.decoding import Resize
from bench.engine import picturing, pipeline
from bench.records import RunRecord
from bench.specs import Answers
from bench.store import Store
from bench.stored import open_stored

Experiment = Callable[..., Result]


def left(record: RunRecord, results: Path) -> pictures.Pictures:
    found = pictures.read(results / "runs" / record.id)
    assert found is not None
    return found


def same_results(one: RunRecord, another: RunRecord, *results: Path) -> None:
    """Compare metrics, predictions and weights of two runs, bit by bit."""
    assert one.metrics == another.metrics
    folders = [root / "runs" / run.id for root, run in zip(results, (one, another), strict=True)]
    for name in ("model.safetensors", "predictions.npz"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        if name.endswith("npz"):  # whose archive tells the time
            with np.load(folders[0] / name) as a, np.load(folders[1] / name) as b:
                assert {*a} == {*b}
                assert all(np.array_equal(a[key], b[key]) for key in a)
        else:
            assert first == second


def test_a_run_leaves_pictures_of_its_test_items_and_maps_of_some(
    experiment: Experiment, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    source = class_folders(tmp_path / "digits")
    record = only(experiment("cnn3", datasets=source, epochs=2, batch_size=16))
    assert "pictures_error" not in record.environment
    found = left(record, results)
    answers = AnswerBook(Store(results)).of(record)
    assert answers is not None
    assert found.split == "test"
    np.testing.assert_array_equal(found.ids, pictures.chosen(answers))
    # They are the stored images themselves, which are small, in their own shape.
    spec = record.spec
    stored = open_stored(spec.fingerprint, spec.variant)
    split = "test" if "test" in stored.counts else "train"
    np.testing.assert_array_equal(found.images, stored.images(split)[found.ids])
    assert found.layer
    assert found.map_ids.tolist() == sorted(pictures.with_maps(answers, 12).tolist())
    assert found.maps.shape == (len(found.map_ids), *found.images.shape[1:3])
    assert found.maps.max() > 200  # the highest place of a layer is between pixels
    # What was cut off from an image of 32 by 24 says nothing.
    height, width = found.images.shape[1:3]
    assert height != width


def test_the_seconds_it_takes_are_booked_and_add_up(experiment: Experiment, tmp_path: Path) -> None:
    timing = only(experiment("cnn3", epochs=1)).timing
    parts = {name: each for name, each in timing.items() if name.endswith("_seconds")}
    assert 0 < parts["pictures_seconds"] < 5
    assert sum(parts.values()) == pytest.approx(2 * timing["wall_seconds"], rel=0.1)


@pytest.mark.parametrize("how", ["raises", "exits", "draws", "changed"])
def test_whatever_a_network_does_when_it_is_explained_the_result_is_the_same(
    how: str, experiment: Experiment, tmp_path: Path
) -> None:
    values: dict[str, Any] = {"set": {"never-explained.how": how}, "deterministic": True}
    values["keep"] = "all"
    private = tmp_path / "private"
    with_pictures, again = experiment("never-explained", seeds=2, **values).records
    without, after = experiment(
        "never-explained", seeds=2, results=private, pictures="none", **values
    ).records
    results = tmp_path / "results"
    assert with_pictures.error is None
    assert with_pictures.id == without.id  # no part of what a run is
    same_results(with_pictures, without, results, private)
    same_results(again, after, results, private)
    assert not (private / "runs" / without.id / pictures.NAME).exists()
    found = left(with_pictures, results)
    assert len(found.ids)
    told = with_pictures.environment.get("pictures_error")
    if how in ("raises", "exits"):
        expected = {"raises": "RuntimeError: <b>no $gradient$</b>", "exits": "SystemExit: 3"}
        assert told == f"no maps: {expected[how]}"
        assert len(found.maps) == 0
        assert found.layer == ""
    else:
        assert told is None
        assert found.layer == "features"


def test_pictures_that_cannot_be_kept_cost_the_run_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    # No file may be longer than predictions are.
    record = only(experiment("short-files", keep="none", set={"short-files.longest": 3_000}))
    told = record.environment["pictures_error"]
    assert told.startswith("no pictures: StoreError: cannot write `")
    assert pictures.read(tmp_path / "results" / "runs" / record.id) is None
    assert record.metrics["test"]["n"]


def test_nobody_keeps_pictures_who_does_not_want_to(experiment: Experiment, tmp_path: Path) -> None:
    source = class_folders(tmp_path / "digits")
    record = only(experiment("tiny", datasets=source, pictures="none"))
    results = tmp_path / "results"
    assert "pictures_seconds" not in record.timing
    assert [*results.rglob("*.npz")] == [results / "runs" / record.id / "predictions.npz"]
    card = cards.read(results, record.spec.fingerprint)
    assert card is not None
    assert card.items == {"train": 120}
    assert len(card.images) == len(card.ids) == 0
    # Nor does asking for them afterwards train anything again.
    assert only(experiment("tiny", datasets=source)) == record
    assert not (results / "runs" / record.id / pictures.NAME).exists()


@pytest.mark.slow
def test_all_ranks_together_leave_the_pictures_of_one(
    experiment: Experiment, tmp_path: Path
) -> None:
    record = only(experiment("cnn3", epochs=1, devices=2, batch_size=16))
    assert len(left(record, tmp_path / "results").ids)


# Where maps lie


@given(
    st.integers(20, 60),
    st.integers(20, 60),
    st.integers(24, 48),
    st.sampled_from(["crop", "pad", "squash"]),
    st.floats(0.2, 0.8),
    st.floats(0.2, 0.8),
)
@settings(deadline=None)
def test_a_map_lies_on_a_thumbnail_where_the_network_saw_what_it_shows(
    height: int, width: int, size: int, resize: Resize, down: float, right: float
) -> None:
    # A bright spot in the middle of what no way of resizing cuts off.
    edge = min(height, width)
    top = int((height - edge) // 2 + down * (edge - 1))
    left = int((width - edge) // 2 + right * (edge - 1))
    image = torch.zeros(1, 1, height, width, dtype=torch.uint8)
    image[..., max(0, top - 1) : top + 2, max(0, left - 1) : left + 2] = 255
    seen = pipeline.resize(image, size, resize)[:, 0].float() / 255
    laid = picturing._laid(seen, size, (height, width), resize, (height, width))
    assert laid.shape == (1, height, width)
    assert laid.dtype == np.uint8
    weight = laid[0].astype(float)
    centre = [
        (weight.sum(axis) * np.arange(n)).sum() / weight.sum()
        for axis, n in ((1, height), (0, width))
    ]
    assert abs(centre[0] - top) < 1.5
    assert abs(centre[1] - left) < 1.5


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_what_the_network_never_saw_says_nothing(resize: Resize) -> None:
    everything = torch.ones(1, 4, 4)
    laid = picturing._laid(everything, 32, (30, 60), resize, (15, 30))
    if resize != "crop":
        assert (laid == 255).all()
    else:
        assert (laid[0, :, 9:21] == 255).all()
        assert (laid[0, :, :6] == 0).all()
        assert (laid[0, :, 24:] == 0).all()


# What is explained


def test_what_was_said_is_explained() -> None:
    answers = single(20, 4)
    said = picturing._said(answers, np.arange(20))
    np.testing.assert_array_equal(said.argmax(1), answers.predicted)
    assert (said.sum(1) == 1).all()


def test_of_several_labels_all_that_were_said_are_explained_or_else_the_likeliest() -> None:
    answers = sets(40, 3)
    silent = dataclasses.replace(answers, predicted=answers.predicted * (answers.ids % 2)[:, None])
    said = picturing._said(silent, np.arange(40))
    for place in range(40):
        assert silent.probabilities is not None
        if silent.predicted[place].any():
            np.testing.assert_array_equal(said[place], silent.predicted[place])
        else:
            expected = np.eye(3)[silent.probabilities[place].argmax()]
            np.testing.assert_array_equal(said[place], expected)


def test_labels_of_a_table_leave_pictures_too(experiment: Experiment, tmp_path: Path) -> None:
    class_folders(tmp_path / "digits", (0, 1, 8))
    of = {"0": "round", "1": "", "8": "round|double"}
    lines = ["image,labels"]
    for path in sorted((tmp_path / "digits").rglob("*.png")):
        lines.append(f"{path.relative_to(tmp_path)},{of[path.parent.name[-1]]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    source = f"csv:{tmp_path / 'labels.csv'}"
    record = only(experiment("cnn3", datasets=source, epochs=2, batch_size=16, placement="stream"))
    found = left(record, tmp_path / "results")
    answers: Answers | None = AnswerBook(Store(tmp_path / "results")).of(record)
    assert answers is not None
    np.testing.assert_array_equal(found.ids, pictures.chosen(answers))
    assert len(found.maps) == len(found.map_ids) > 3
    card = cards.read(tmp_path / "results", record.spec.fingerprint)
    assert card is not None
    assert card.counts == {"train": (40, 80)}
    assert len(card.ids) == 8
