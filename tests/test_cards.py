"""What is kept of datasets: counts, samples, findings; and what may go wrong with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Watcher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import FINGERPRINT, make_spec
from test_data_runs import class_folders, only, pictures

from bench import cards, census, datastore
from bench.api import Result
from bench.cards import Card
from bench.config import ExperimentConfig
from bench.describing import Describing
from bench.dispatch import Claim, Task
from bench.errors import DataError
from bench.jobs import Job, JobKind
from bench.records import RunRecord, RunStatus
from bench.registry import Offer, load_registry

Experiment = Callable[..., Result]
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HOSTILE = ("<script>", "$x$", "=cmd", "\udce9", "", "x" * 300, "عرب", "[red]")


def make_card(**fields: Any) -> Card:
    generator = np.random.default_rng(0)
    given: dict[str, Any] = {
        "fingerprint": FINGERPRINT,
        "name": "folder:shapes",
        "task": "multi-class",
        "classes": HOSTILE,
        "counts": {"train": tuple(range(8)), "test": (1,) * 8},
        "items": {"train": 28, "test": 8},
        "image_shape": (20, 30, 3),
        "ids": np.arange(5, dtype=np.int64),
        "labels": np.array([0, 0, 3, 3, 7], np.int64),
        "images": generator.integers(0, 255, (5, 20, 30, 3), np.uint8),
        "findings": {"schema": 1, "warnings": [{"message": "<b>"}]},
        **fields,
    }
    return Card(**given)


def same(one: Card | None, another: Card) -> None:
    assert one is not None
    for field in dataclasses.fields(Card):
        first, second = getattr(one, field.name), getattr(another, field.name)
        if isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second)
            assert first.dtype == second.dtype
        else:
            assert first == second, field.name


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    assert cards.fingerprints(tmp_path) == []
    cards.write(tmp_path, make_card())
    same(cards.read(tmp_path, FINGERPRINT), make_card())
    assert cards.fingerprints(tmp_path) == [FINGERPRINT]
    bare = make_card(
        fingerprint="ab" * 16,
        classes=("a",) * 8,
        ids=np.zeros(0, np.int64),
        labels=np.zeros(0, np.int64),
        images=np.zeros((0, 0, 0, 3), np.uint8),
        findings=None,
        why_not="too many",
    )
    cards.write(tmp_path, bare)
    same(cards.read(tmp_path, "ab" * 16), bare)
    assert not (tmp_path / "datasets" / f"{'ab' * 16}.npz").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "None", "AB" * 16, "ab/../cd", "a\0b"])
def test_no_fingerprint_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    assert cards.read(tmp_path, name) is None
    with pytest.raises(ValueError, match="no fingerprint"):
        cards.write(tmp_path, make_card(fingerprint=name))
    assert [*tmp_path.iterdir()] == []


WRONG: dict[str, Any] = {
    "another version": {"schema": 2},
    "another dataset": {"fingerprint": "cd" * 16},
    "a task that nobody knows": {"task": "segmentation"},
    "classes that are no list": {"classes": "abcdefgh"},
    "classes that are no text": {"classes": [1] * 8},
    "counts of fewer classes": {"counts": {"train": [1], "test": [1] * 8}},
    "counts below zero": {"counts": {"train": [-1] * 8, "test": [1] * 8}},
    "counts with fractions": {"counts": {"train": [1.5] * 8, "test": [1] * 8}},
    "counts of another split": {"counts": {"val": [1] * 8}},
    "counts that are no table": {"counts": [1, 2]},
    "an image without channels": {"image_shape": [20, 30]},
    "a huge image": {"image_shape": [20, 30, 10**30]},
    "findings that are no table": {"findings": ["nothing"]},
    "a reason that is no text": {"why_not": None},
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=[*WRONG])
def test_what_is_no_card_is_not_read(fields: dict[str, Any], tmp_path: Path) -> None:
    cards.write(tmp_path, make_card())
    path, _ = cards.paths(tmp_path, FINGERPRINT)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    assert cards.read(tmp_path, FINGERPRINT) is None


def test_a_card_that_lacks_a_field_or_is_cut_is_not_read(tmp_path: Path) -> None:
    cards.write(tmp_path, make_card())
    path, _ = cards.paths(tmp_path, FINGERPRINT)
    text = path.read_text()
    for name in json.loads(text):
        path.write_text(json.dumps({k: v for k, v in json.loads(text).items() if k != name}))
        assert cards.read(tmp_path, FINGERPRINT) is None, name
    for cut in ("", "[]", "3", "null", "[" * 100_000, text[: len(text) // 2], '{"schema": NaN}'):
        path.write_text(cut)
        assert cards.read(tmp_path, FINGERPRINT) is None
    path.write_bytes(b"\xff\xfe")
    assert cards.read(tmp_path, FINGERPRINT) is None


@given(st.data())
@QUIET
def test_samples_that_are_damaged_cost_the_samples(tmp_path: Path, data: st.DataObject) -> None:
    cards.write(tmp_path, make_card())
    _, path = cards.paths(tmp_path, FINGERPRINT)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    found = cards.read(tmp_path, FINGERPRINT)
    assert found is not None
    assert len(found.ids) == len(found.labels) == len(found.images)
    assert len(found.ids) in (0, 5)
    assert found.counts == make_card().counts


def test_samples_of_classes_that_there_are_not_are_none(tmp_path: Path) -> None:
    cards.write(tmp_path, make_card(labels=np.array([0, 0, 3, 3, 8], np.int64)))
    found = cards.read(tmp_path, FINGERPRINT)
    assert found is not None
    assert len(found.images) == 0


# Made by workers


def offer_of(record: RunRecord) -> Offer:
    return load_registry().of("dataset", record.spec.dataset)


def test_a_dataset_is_counted_sampled_and_checked_once(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    source = class_folders(tmp_path / "digits", (0, 1, 7), 20)
    for number in (0, 1):  # the same image under two labels
        image, _ = pictures(1, (0,))[0]
        image.save(tmp_path / "digits" / f"digit {number}" / "again.png")
    record = only(experiment("tiny", datasets=source))
    results = tmp_path / "results"
    card = cards.read(results, record.spec.fingerprint)
    assert card is not None
    assert card.name == record.spec.dataset.name
    assert card.task == "multi-class"
    assert card.classes == ("digit 0", "digit 1", "digit 7")
    assert card.counts == {"train": (21, 21, 20)}
    assert card.items == {"train": 62}
    assert card.image_shape == (32, 24, 1)
    assert card.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert card.images.shape == (12, 32, 24, 1)
    assert len({image.tobytes() for image in card.images}) == 12
    assert card.findings is not None
    assert card.why_not == ""
    assert len(card.findings["conflicts"]) == 1
    told = [text for text in watcher.messages if text.startswith("checking")]
    assert told == [f"checking the images of `{card.name}`"]
    # Other runs on the same content find it done.
    path, samples = cards.paths(results, card.fingerprint)
    stamps = [each.stat().st_mtime_ns for each in (path, samples)]
    experiment("dropout", datasets=source)
    assert [each.stat().st_mtime_ns for each in (path, samples)] == stamps
    assert len([text for text in watcher.messages if text.startswith("checking")]) == 1


def test_counts_come_first_and_findings_are_added(experiment: Experiment, tmp_path: Path) -> None:
    record = only(experiment("tiny"))
    spec, offer = record.spec, offer_of(record)
    elsewhere = tmp_path / "elsewhere"
    card = census.describe(spec, offer, elsewhere, samples=True)
    assert card.why_not == cards.PENDING
    same(cards.read(elsewhere, spec.fingerprint), card)
    census.check(spec, offer, elsewhere)
    checked = cards.read(elsewhere, spec.fingerprint)
    assert checked is not None
    assert checked.findings is not None
    assert checked.findings["files"] == sum(card.items.values())


def test_large_sets_and_slow_ones_are_not_checked_unasked(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = class_folders(tmp_path / "some digits")
    record = only(experiment("tiny", datasets=source))
    spec, offer = record.spec, offer_of(record)
    monkeypatch.setattr(census, "CHECKED_IMAGES", 119)
    card = census.describe(spec, offer, tmp_path / "large", samples=False)
    command = f"`bench data check '{source}'` checks it"
    assert card.why_not == f"120 images are more than 119; {command}"
    monkeypatch.undo()
    census.describe(spec, offer, tmp_path / "slow", samples=False)
    monkeypatch.setattr(census, "CHECKED_SECONDS", -1.0)
    census.check(spec, offer, tmp_path / "slow")
    found = cards.read(tmp_path / "slow", spec.fingerprint)
    assert found is not None
    assert found.findings is None
    assert found.why_not == f"reading its images takes longer than -1 s; {command}"
    # What was given up is not begun again.
    monkeypatch.undo()
    census.check(spec, offer, tmp_path / "slow")
    same(cards.read(tmp_path / "slow", spec.fingerprint), found)


def test_a_source_that_has_gone_is_why_it_was_not_checked(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = only(experiment("tiny"))
    spec, offer = record.spec, offer_of(record)
    census.describe(spec, offer, tmp_path / "here", samples=False)

    def gone(*arguments: Any) -> Any:
        raise DataError("it has gone")

    monkeypatch.setattr(datastore, "load", gone)
    census.check(spec, offer, tmp_path / "here")
    found = cards.read(tmp_path / "here", spec.fingerprint)
    assert found is not None
    assert found.why_not == "it has gone; `bench data check tiny` checks it"


def test_of_many_classes_some_are_shown(experiment: Experiment, tmp_path: Path) -> None:
    record = only(experiment("tiny"))
    stored = census.open_stored(record.spec.fingerprint, record.spec.variant)
    labels = np.arange(len(stored.labels("train"))) % 300
    card = make_card(classes=tuple(map(str, range(300))))
    found = census._with_samples(card, stored, labels.astype(np.int64))
    assert 0 < len(found.ids) <= census.SAMPLES
    assert len({*found.labels.tolist()}) == len(found.ids)
    np.testing.assert_array_equal(labels[found.ids], found.labels)


# When a worker is lost


def check_task(results: Path, said: list[str]) -> Task:
    spec = make_spec(dataset="tiny", fingerprint=FINGERPRINT)
    reference = dataclasses.replace(spec.dataset, plugin="faults")
    spec = dataclasses.replace(spec, dataset=reference)
    config = ExperimentConfig.create({"datasets": "tiny", "models": "tiny"})
    describing = Describing(config, results, said.append)

    def job(kind: JobKind, payload: dict[str, Any], log: Path) -> Job:
        return Job("check-1", kind, payload, log)

    supply = describing.checks([spec, spec], job)
    task = supply.next()
    assert task is not None
    assert supply.next() is None
    return task


def test_a_check_that_its_worker_does_not_survive_is_not_tried_for_ever(tmp_path: Path) -> None:
    cards.write(tmp_path, make_card(findings=None, why_not=cards.PENDING))
    task = check_task(tmp_path, [])
    assert task.acquire() is Claim.TAKEN
    # Meanwhile another process leaves it alone.
    assert check_task(tmp_path, []).acquire() is Claim.DONE
    task.ended(RunStatus.CRASHED, "its worker was killed by SIGKILL", {})
    task.release()
    found = cards.read(tmp_path, FINGERPRINT)
    assert found is not None
    assert found.why_not == (
        "its check failed (its worker was killed by SIGKILL); `bench data check tiny` checks it"
    )
    assert len(found.images) == 5


def test_a_check_that_was_interrupted_is_still_to_come(tmp_path: Path) -> None:
    pending = make_card(findings=None, why_not=cards.PENDING, classes=("a",) * 8)
    cards.write(tmp_path, pending)
    task = check_task(tmp_path, [])
    assert task.acquire() is Claim.TAKEN
    task.ended(RunStatus.INTERRUPTED, "stopped", {})
    task.release()
    same(cards.read(tmp_path, FINGERPRINT), pending)
    assert check_task(tmp_path, []).acquire() is Claim.TAKEN
