"""What a report tells of datasets: by their cards, and by records where there is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import HOSTILE
from samples import FINGERPRINT, make_record, make_spec

from bench import cards
from bench.cards import Card
from bench.inspection import telling
from bench.records import RunRecord
from bench.report.content import DatasetPart
from bench.report.datasets import MOST_CLASSES, card_of, dataset_part
from bench.report.shelf import Shelf
from bench.store import Store

SOUND: dict[str, Any] = {
    "schema": 1,
    "files": 20,
    "unreadable": [],
    "duplicates": [],
    "leaks": [],
    "conflicts": [],
    "warnings": [],
}
LEAK = {"a": "train/1.png", "b": "test/1.png", "kind": "exact"}
BROKEN: dict[str, Any] = {
    **SOUND,
    "unreadable": [{"path": "train/cut.jpg", "why": "is damaged"}],
    "duplicates": [LEAK, *({"a": f"{n}", "b": f"{n}b", "kind": "near"} for n in range(5))],
    "leaks": [LEAK],
    "conflicts": [{"a": "x", "b": "y", "labels": ["cat", ""]}],
    "warnings": [
        {"kind": "imbalance", "count": 1, "message": "cats are many", "examples": ["cat"]},
        {"kind": "small images", "count": 20, "message": "all are small", "examples": ["a"]},
    ],
}


def make_card(classes: tuple[str, ...] = ("cat", "dog"), **fields: Any) -> Card:
    width = len(classes)
    values: dict[str, Any] = {
        "fingerprint": FINGERPRINT,
        "name": "shapes",
        "task": "multi-class",
        "classes": classes,
        "counts": {"train": tuple(range(1, width + 1)), "test": (2,) * width},
        "items": {"train": width * (width + 1) // 2, "test": 2 * width},
        "image_shape": (8, 8, 1),
        "ids": np.arange(width),
        "labels": np.arange(width),
        "images": np.random.default_rng(0).integers(0, 256, (width, 8, 8, 1), np.uint8),
        "findings": SOUND,
    }
    return Card(**{**values, **fields})


def make_run(**fields: Any) -> RunRecord:
    return make_record(
        make_spec(**fields),
        environment={
            "task": "multi-class",
            "classes": ["cat", "dog"],
            "train_items": 80,
            "val_split": "0.2 of train, stratified, seed 0",
            "test_split": "official",
        },
    )


def told(tmp_path: Path, card: Card | None, room: Shelf | None = None) -> DatasetPart:
    if card is not None:
        cards.write(tmp_path, card)
    return part_of(make_run(), tmp_path, room)


def part_of(record: RunRecord, tmp_path: Path, room: Shelf | None = None) -> DatasetPart:
    card, damaged = card_of(record, Store(tmp_path))
    return dataset_part(record, card, room or Shelf(), "d3", damaged=damaged)


def test_a_card_gives_counts_and_samples(tmp_path: Path) -> None:
    room = Shelf()
    part = told(tmp_path, make_card(), room)
    assert (part.id, part.name) == ("d3", "shapes")
    assert part.counts is not None
    assert [column.heading for column in part.counts.columns] == ["class", "train", "test", "all"]
    assert [[cell.text for cell in row] for row in part.counts.rows] == [
        ["cat", "1", "2", "3"],
        ["dog", "2", "2", "4"],
    ]
    assert [picture.caption for picture in part.samples] == ["cat", "dog"]
    assert all(picture.image in room.images for picture in part.samples)
    assert part.warnings == ("Sound: 20 images, all of them readable, none twice.",)


def test_facts_say_what_runs_were_trained_on(tmp_path: Path) -> None:
    facts = dict(told(tmp_path, make_card()).facts)
    assert facts == {
        "content": FINGERPRINT,
        "stored as": "8 × 8 × 1 (height, width, channels)",
        "task": "multi-class, 2 classes",
        "train as stored": "3 images",
        "test as stored": "4 images",
        "train of its runs": "80 images",
        "val of its runs": "200 images, 0.2 of train, stratified, seed 0",
        "test of its runs": "1,000 images, official",
    }


def test_what_the_check_found_is_told_in_sentences(tmp_path: Path) -> None:
    lines = told(tmp_path, make_card(findings=BROKEN)).warnings
    assert lines == (
        "Broken: of 20 images, 1 cannot be read; 1 under another label than a copy; 1 in another "
        "split as well; 5 nearly the same as another.",
        "Unreadable: 1; `train/cut.jpg` is damaged.",
        "Conflicting labels: 1; `x` (cat) and `y` (none).",
        "Leaks between splits: 1; `train/1.png` and `test/1.png`, exact.",
        "Other near duplicates: 5; `0` and `0b`; `1` and `1b`; `2` and `2b`; and more.",
        "Cats are many; `cat`.",
        "All are small.",
    )


@pytest.mark.parametrize(
    "findings",
    [
        {},
        {**SOUND, "files": "many"},
        {**SOUND, "leaks": [{"a": 1}]},
        {**SOUND, "conflicts": [{"a": "x", "b": "y", "labels": ["one"]}]},
        {**SOUND, "warnings": None},
        {**SOUND, "duplicates": [7]},
    ],
)
def test_findings_that_cannot_be_read_cost_no_report(tmp_path: Path, findings: Any) -> None:
    part = told(tmp_path, make_card(findings=findings))
    [line] = part.warnings
    assert "cannot be read" in line
    assert "bench data check shapes" in line
    assert part.counts is not None


def test_a_set_that_was_not_checked_says_why(tmp_path: Path) -> None:
    part = told(tmp_path, make_card(findings=None, why_not="there are too many images"))
    assert part.warnings == ("Not checked: there are too many images.",)


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"schema": 1}'])
def test_without_a_card_the_record_tells_what_it_knows(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        path, _ = cards.paths(tmp_path, FINGERPRINT)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    part = told(tmp_path, None)
    facts = dict(part.facts)
    assert facts["2 classes"] == "cat, dog"
    assert facts["val of its runs"] == "200 images, 0.2 of train, stratified, seed 0"
    assert part.counts is None
    assert "`bench data check shapes`" in part.warnings[0]


def test_a_source_is_checked_by_its_path(tmp_path: Path) -> None:
    record = make_run(dataset="folder:flowers", params={"dataset": {"path": "/data/my flowers"}})
    record = dataclasses.replace(record, spec=dataclasses.replace(record.spec, data_dir="/d"))
    part = part_of(record, tmp_path)
    assert "bench data check 'folder:/data/my flowers' --data-dir /d" in part.warnings[0]


def test_of_many_classes_those_with_the_fewest_images_are_listed(tmp_path: Path) -> None:
    classes = tuple(f"c{number}" for number in range(100))
    part = told(tmp_path, make_card(classes))
    assert part.counts is not None
    assert [row[0].text for row in part.counts.rows] == [f"c{n}" for n in range(MOST_CLASSES)]
    assert "60 of 100" in part.counts.note


def test_samples_without_room_are_left_out(tmp_path: Path) -> None:
    part = told(tmp_path, make_card(), Shelf(budget=0))
    assert part.samples == ()
    assert part.counts is not None


def test_a_dataset_that_could_not_be_loaded_has_no_content(tmp_path: Path) -> None:
    record = make_run(fingerprint=None)
    part = part_of(record, tmp_path)
    assert dict(part.facts)["content"] == "not known"


def test_hostile_names_stand_in_one_line_each(tmp_path: Path) -> None:
    names = tuple(name.encode("utf-8", "replace").decode() for name in HOSTILE)
    findings = {**BROKEN, "unreadable": [{"path": name, "why": name} for name in names]}
    part = told(tmp_path, make_card(names, findings=json.loads(json.dumps(findings))))
    assert part.counts is not None
    texts = [row[0].text for row in part.counts.rows]
    texts += [picture.caption for picture in part.samples]
    assert len(texts) == 2 * len(names)
    assert all(len(text) <= 60 and "\x00" not in text for text in texts)
    assert all("\n" not in line and "\x00" not in line for line in part.warnings)


@pytest.mark.parametrize("kind", ["unreadable", "leaks", "conflicts"])
def test_what_makes_numbers_wrong_is_broken(kind: str) -> None:
    assert telling.answer(SOUND).startswith("sound")
    assert telling.answer({**SOUND, kind: BROKEN[kind]}).startswith("broken")
    twice = {**SOUND, "duplicates": BROKEN["duplicates"]}
    assert telling.answer(twice).startswith("sound: of 20 images")
