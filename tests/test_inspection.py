from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_digits, load_sample_images

import bench
from bench import decoding
from bench.decoding import read_image
from bench.errors import EnvironmentFailure, PluginError, StoreError
from bench.inspection import Inspection, inspect, matching, scan, scanning
from bench.specs import Task
from bench.text import one_line

Change = Callable[[Image.Image], Image.Image]


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    """Return 22 different photographs: parts of two that do not overlap, without the sky."""
    parts = []
    for pixels in load_sample_images().images:
        for top in range(0, 420, 140):
            for left in range(0, 640, 160):
                part = pixels[top : top + 140, left : left + 160]
                parts.append(Image.fromarray(np.ascontiguousarray(part)))
    del parts[2:4]
    return parts


def textures(count: int, size: int = 64, seed: int = 0) -> list[Image.Image]:
    """Return different pictures, cheap to make."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), np.uint8)
    return [Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC) for c in coarse]


def jpeg(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def scaled(factor: float) -> Change:
    return lambda image: image.resize((int(image.width * factor), int(image.height * factor)))


def brighter(factor: float) -> Change:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


class Folder:
    """Writes images into a folder and makes splits of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: dict[str, list[tuple[str, Any]]] = {}

    def add(self, split: str, name: str, label: Any, image: Image.Image, **options: Any) -> Path:
        path = self.root / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        self.entries.setdefault(split, []).append((name, label))
        return path

    def files(self, split: str) -> bench.Files:
        names, labels = zip(*self.entries[split], strict=True)
        paths = [self.root / split / name for name in names]
        return bench.Files(paths, np.asarray(labels), [f"{split}/{name}" for name in names])

    def splits(self, **fields: Any) -> bench.Splits:
        return bench.Splits(**{split: self.files(split) for split in self.entries}, **fields)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


@pytest.fixture
def planted(folder: Folder, photographs: list[Image.Image]) -> Inspection:
    """Return what is found in a folder with one planted fault of each kind."""
    for index, image in enumerate(photographs[:8]):
        folder.add("train", f"{index}.png", index % 2, image)
    for index, image in enumerate(photographs[8:14]):
        folder.add("test", f"{index}.png", index % 2, image)
    folder.add("train", "copy of 0.bmp", 0, photographs[0])
    folder.add("train", "contradicts 1.png", 0, photographs[1])
    folder.add("test", "leak of 2.png", 0, photographs[2])
    folder.add("test", "near leak of 3.jpg", 1, photographs[3], quality=60)
    folder.add("train", "near 4.jpg", 0, scaled(0.7)(photographs[4]), quality=80)
    cut = folder.add("train", "cut.jpg", 0, photographs[20])
    cut.write_bytes(cut.read_bytes()[:2000])
    folder.add("train", "empty.png", 1, photographs[21]).write_bytes(b"")
    return inspect(folder.splits(classes=["cat", "dog"]))


def kinds(found: Inspection) -> list[str]:
    return [warning.kind for warning in found.warnings]


def warning(found: Inspection, kind: str) -> Any:
    return next(warning for warning in found.warnings if warning.kind == kind)


def test_planted_faults_are_found_and_nothing_else(planted: Inspection) -> None:
    found = planted.to_dict()
    assert found["schema"] == 1
    assert found["files"] == 21
    assert [bad["path"] for bad in found["unreadable"]] == ["train/cut.jpg", "train/empty.png"]
    assert "damaged" in found["unreadable"][0]["why"]
    assert found["unreadable"][1]["why"] == "is empty"
    leaks = [
        {"a": "train/2.png", "b": "test/leak of 2.png", "kind": "exact"},
        {"a": "train/3.png", "b": "test/near leak of 3.jpg", "kind": "near"},
    ]
    assert found["leaks"] == leaks
    assert found["duplicates"] == [
        {"a": "train/0.png", "b": "train/copy of 0.bmp", "kind": "exact"},
        {"a": "train/1.png", "b": "train/contradicts 1.png", "kind": "exact"},
        *leaks,
        {"a": "train/4.png", "b": "train/near 4.jpg", "kind": "near"},
    ]
    assert found["conflicts"] == [
        {"a": "train/1.png", "b": "train/contradicts 1.png", "labels": ["dog", "cat"]}
    ]
    assert planted.broken


def test_the_result_has_the_keys_of_its_schema(planted: Inspection) -> None:
    found = json.loads(json.dumps(planted.to_dict()))
    assert list(found) == [
        "schema",
        "files",
        "unreadable",
        "duplicates",
        "leaks",
        "conflicts",
        "warnings",
    ]
    for row in found["warnings"]:
        assert set(row) == {"kind", "count", "message", "examples"}


def test_the_summary_has_a_row_for_each_kind_of_finding(planted: Inspection) -> None:
    rows = planted.summary()
    assert [(name, count) for name, count, _ in rows[:5]] == [
        ("unreadable", 2),
        ("conflicting labels", 1),
        ("leaks between splits", 2),
        ("other exact duplicates", 1),
        ("other near duplicates", 1),
    ]
    assert rows[1][2] == ["`train/1.png` (dog) and `train/contradicts 1.png` (cat)"]
    assert rows[3][2] == ["`train/0.png` and `train/copy of 0.bmp`"]
    assert all(name.startswith("warning: ") for name, _, _ in rows[5:])


@pytest.mark.parametrize(
    ("train", "test", "answer"),
    [
        ("abc", "de", "sound: 5 images, all of them readable, none twice"),
        ("a", "", "sound: 1 image, all of them readable, none twice"),
        ("abb", "", "sound: of 3 images, 1 comes twice"),
        ("aabbb", "", "sound: of 5 images, 2 come more than once"),
        ("aAb", "", "broken: of 3 images, 1 comes twice, under two labels"),
        ("aAbB", "", "broken: of 4 images, 2 come twice, all of them under two labels"),
        ("abcc", "a", "broken: of 5 images, 2 come twice, 1 of them in more than one split"),
        ("ab!", "!", "broken: of 4 images, 2 cannot be read"),
    ],
)
def test_the_answer_is_one_line(train: str, test: str, answer: str) -> None:
    """A letter is an image, a capital the same image under another label, `!` is no image."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)

    def split(letters: str) -> Any:
        images = [None if x == "!" else pixels["abcde".index(x.lower())] for x in letters]
        return [(image, int(x.isupper())) for image, x in zip(images, letters, strict=True)]

    assert inspect(bench.Splits(split(train), split(test) or None)).answer() == answer


def test_the_answer_counts_near_duplicates(planted: Inspection) -> None:
    assert planted.answer() == (
        "broken: of 21 images, 2 cannot be read; "
        "3 come twice, 1 of them under two labels, 1 of them in more than one split; "
        "2 nearly repeat another, 1 of them in another split"
    )


def test_without_the_fix_list_nothing_is_broken(planted: Inspection) -> None:
    out = planted.fix_list()
    assert out == [
        "train/1.png",
        "train/2.png",  # the copy in train goes, so that test stays what it was
        "train/3.png",
        "train/copy of 0.bmp",
        "train/contradicts 1.png",
        "train/near 4.jpg",
        "train/cut.jpg",
        "train/empty.png",
    ]

    def kept(files: bench.Files) -> bench.Files:
        chosen = [i for i, name in enumerate(files.names) if name not in out]
        return bench.Files(
            [files.paths[i] for i in chosen],
            files.labels[chosen],
            [files.names[i] for i in chosen],
        )

    splits = planted.scan.splits
    again = inspect(bench.Splits(kept(splits.train), kept(splits.test)))
    assert not again.broken
    assert not again.duplicates
    assert again.fix_list() == []


def test_pictures_show_both_copies(planted: Inspection, tmp_path: Path) -> None:
    written = planted.write_pictures(tmp_path / "new" / "pictures", limit=1)
    assert [path.name for path in written] == [
        "conflicts.png",
        "leaks.png",
        "near-duplicates.png",
        "exact-duplicates.png",
    ]
    shown = read_image(written[1])
    assert read_image(planted.write_pictures(tmp_path, limit=2)[1]).size > shown.size
    leaked = planted.scan.pixels(planted.leaks[0].a)
    patch = leaked[:20, :20]
    places = np.lib.stride_tricks.sliding_window_view(shown[:, :, 0], (20, 20))
    hits = np.argwhere((places == patch[..., 0]).all(axis=(2, 3)))
    assert len(hits) == 2
    (top, left), (other_top, other_left) = hits
    assert top == other_top
    assert other_left > left


def test_pictures_that_cannot_be_written_are_one_line(planted: Inspection, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.*name another folder"):
        planted.write_pictures(tmp_path / "file")


def test_a_picture_that_went_away_leaves_an_empty_place(
    planted: Inspection, tmp_path: Path
) -> None:
    path = planted.leaks[0].a.path
    assert path is not None
    path.unlink()
    assert len(planted.write_pictures(tmp_path)) == 4


@pytest.mark.parametrize(
    "change",
    [
        jpeg(90),
        jpeg(30),
        scaled(0.5),
        scaled(2),
        brighter(1.15),
        brighter(0.8),
        ImageOps.grayscale,
        lambda image: jpeg(60)(brighter(1.1)(scaled(0.75)(image))),
    ],
    ids=["fine", "coarse", "half", "double", "bright", "dark", "gray", "all"],
)
def test_changed_copies_of_photographs_are_near_duplicates(
    photographs: list[Image.Image], change: Change
) -> None:
    items = [(image, i) for i, image in enumerate(photographs)]
    copies = [(change(image), i) for i, image in enumerate(photographs)]
    found = inspect(bench.Splits(items, copies))
    pairs = {(pair.a.index, pair.b.index, pair.kind) for pair in found.leaks}
    assert pairs == {(i, i, "near") for i in range(len(photographs))}


def test_different_photographs_are_no_near_duplicates(photographs: list[Image.Image]) -> None:
    mirrored = [ImageOps.mirror(image) for image in photographs]
    turned = [image.rotate(180) for image in photographs]
    images = [*photographs, *mirrored, *turned]
    found = inspect(bench.Splits([(image, 0) for image in images]))
    assert not found.groups


@pytest.mark.parametrize("size", [8, 28, 47])
def test_small_images_are_duplicates_only_if_they_are_equal(size: int) -> None:
    digits = load_digits()
    small = np.stack(
        [
            np.asarray(Image.fromarray((d * 15).astype(np.uint8)).resize((size, size)))
            for d in digits.images[:500]
        ]
    )
    small[7] = small[3]
    found = inspect(bench.Splits((small, digits.target[:500])))
    assert [(p.a.index, p.b.index, p.kind) for p in found.duplicates] == [(3, 7, "exact")]


def test_blank_pages_are_no_near_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paper of one make, scanned again and again, a little darker each time."""
    grain = np.random.default_rng(0).integers(244, 250, (16, 16), np.uint8)
    pages = np.stack([grain.repeat(4, 0).repeat(4, 1) - np.uint8(shade) for shade in range(6)])
    splits = bench.Splits((pages, np.zeros(6, int)))
    assert not inspect(splits).groups
    monkeypatch.setattr(matching, "_LEAST_CONTRAST", 0)
    assert inspect(splits).groups


def test_the_same_light_on_different_details_is_no_near_duplicate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shirts of one cut with different prints."""
    rng = np.random.default_rng(0)
    cut = rng.integers(40, 216, (1, 8, 8)).repeat(8, 1).repeat(8, 2)
    prints = rng.integers(-25, 26, (4, 32, 32)).repeat(2, 1).repeat(2, 2)
    splits = bench.Splits(((cut + prints).astype(np.uint8), np.zeros(4, int)))
    assert not inspect(splits).groups
    monkeypatch.setattr(matching, "LEAST_DETAIL", 0)
    assert len(inspect(splits).groups) == 1


def test_pixels_of_another_shape_are_another_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, 36, np.uint8)
    found = inspect(bench.Splits([(pixels.reshape(4, 9), 0), (pixels.reshape(9, 4), 0)]))
    assert not found.groups


@pytest.mark.parametrize("fault", ["unreadable", "leak", "conflict"])
def test_one_fault_is_enough_to_be_broken(fault: str) -> None:
    train: list[Any] = [(image, 0) for image in textures(3)]
    test: list[Any] = [(image, 0) for image in textures(2, seed=1)]
    assert not inspect(bench.Splits(train, test)).broken
    if fault == "unreadable":
        train.append((None, 0))
    elif fault == "leak":
        train.append(test[0])
    else:
        train.append((train[0][0], 1))
    assert inspect(bench.Splits(train, test)).broken


def test_near_duplicates_can_be_left_alone(planted: Inspection) -> None:
    found = inspect(planted.scan.splits, scanned=planted.scan, near=False)
    assert {pair.kind for pair in found.duplicates} == {"exact"}


def test_candidates_are_all_pairs_of_close_hashes() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, np.uint64)
    flips = rng.integers(0, 64, (300, 9))
    copies = hashes.copy()
    for i, bits in enumerate(flips):
        for bit in bits[: i % 10]:
            copies[i] ^= np.uint64(1 << int(bit))
    hashes = np.concatenate([hashes, copies, hashes[:40]])
    found = [
        (int(min(pair)), int(max(pair)))
        for block in matching._candidates(hashes)
        for pair in zip(*block, strict=True)
    ]
    differing = np.bitwise_count(hashes[:, None] ^ hashes)
    expected = np.argwhere(np.triu(differing <= matching.MOST_BITS, 1))
    assert sorted(found) == [(int(a), int(b)) for a, b in expected]


def test_candidates_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.zeros(40, np.uint64)
    monkeypatch.setattr(matching, "_BLOCK", 100)
    pairs = [pair for a, b in matching._candidates(hashes) for pair in zip(a, b, strict=True)]
    assert len(set(pairs)) == len(pairs) == 40 * 39 // 2


def test_a_group_of_many_copies_is_listed_against_its_first() -> None:
    (image,) = textures(1)
    images = [(brighter(1 - i / 100)(image), 0) for i in range(12)]
    found = inspect(bench.Splits(images))
    assert len(found.groups) == 1
    assert not found.groups[0].exact
    assert [(p.a.index, p.b.index) for p in found.duplicates] == [(0, i) for i in range(1, 12)]
    assert found.fix_list() == [f"train[{i}]" for i in range(1, 12)]
    assert not found.broken


def test_a_png_and_a_bmp_of_one_image_are_exact_duplicates(folder: Folder) -> None:
    gray = textures(1)[0].convert("L")
    folder.add("train", "a.png", 0, gray)
    folder.add("train", "b.bmp", 0, gray)
    folder.add("train", "c.png", 0, gray.convert("RGB"))
    folder.add("train", "d.tiff", 0, gray.convert("RGBA"))
    found = inspect(folder.splits())
    assert [pair.kind for pair in found.duplicates] == ["exact"] * 3


def test_leaks_between_all_three_splits(folder: Folder) -> None:
    one, two, three = textures(3)
    folder.add("train", "a.png", 0, one)
    folder.add("val", "b.png", 0, one)
    folder.add("test", "c.png", 0, one)
    folder.add("val", "d.png", 1, two)
    folder.add("test", "e.png", 1, two)
    folder.add("train", "f.png", 1, three)
    found = inspect(folder.splits())
    assert [(p.a.name, p.b.name) for p in found.leaks] == [
        ("train/a.png", "val/b.png"),
        ("train/a.png", "test/c.png"),
        ("val/d.png", "test/e.png"),
    ]
    assert found.fix_list() == ["train/a.png", "val/b.png", "val/d.png"]


def test_an_exact_leak_is_told_from_a_near_one() -> None:
    (image,) = textures(1)
    near = jpeg(40)(image)
    found = inspect(bench.Splits([(image, 0), (near, 0)], [(near, 0)]))
    assert [(p.a.index, p.kind) for p in found.leaks] == [(1, "exact")]


def test_a_conflict_between_splits_is_a_leak_as_well(folder: Folder) -> None:
    (image,) = textures(1)
    folder.add("train", "a.png", 0, image)
    folder.add("test", "b.png", 1, image)
    found = inspect(folder.splits())
    assert len(found.leaks) == len(found.conflicts) == 1
    assert found.fix_list() == ["train/a.png", "test/b.png"]


def test_near_duplicates_with_different_labels_are_a_warning() -> None:
    (image,) = textures(1)
    found = inspect(bench.Splits([(image, 0), (jpeg(40)(image), 1)], [(textures(1, seed=9)[0], 0)]))
    assert not found.broken
    assert not found.conflicts
    assert found.fix_list() == []
    assert kinds(found)[0] == "near duplicates with different labels"


def test_labels_of_a_multi_label_task_conflict_as_sets(folder: Folder) -> None:
    one, two = textures(2)
    folder.add("train", "a.png", [1, 0, 1], one)
    folder.add("train", "b.png", [1, 0, 0], one)
    folder.add("train", "c.png", [0, 0, 0], two)
    folder.add("train", "d.png", [0, 0, 0], two)
    found = inspect(folder.splits(classes=["red", "green", "blue"]))
    assert found.to_dict()["conflicts"] == [
        {"a": "train/a.png", "b": "train/b.png", "labels": ["red|blue", "red"]}
    ]
    assert found.fix_list() == ["train/a.png", "train/b.png", "train/d.png"]
    assert found.scan.task is Task.MULTI_LABEL


@pytest.mark.parametrize("form", ["arrays", "gray arrays", "images", "rows"])
def test_every_form_of_a_split_is_inspected(form: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), np.uint8)
    pixels[4] = pixels[1]
    labels = np.array([0, 1, 0, 1, 0, 1])
    train: Any = pixels, labels
    if form == "gray arrays":
        train = pixels[..., :1], labels
    elif form == "images":
        train = [(Image.fromarray(p), int(y)) for p, y in zip(pixels, labels, strict=True)]
    elif form == "rows":
        train = [(p, np.eye(2, dtype=int)[y]) for p, y in zip(pixels, labels, strict=True)]
    found = inspect(bench.Splits(train)).to_dict()
    assert found["files"] == 6
    assert found["unreadable"] == []
    assert found["conflicts"] == [{"a": "train[1]", "b": "train[4]", "labels": ["1", "0"]}]


def test_odd_items_of_a_sequence_are_unreadable_and_the_rest_is_read() -> None:
    good = np.zeros((5, 5), np.uint8)

    class Items:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> Any:
            if index == 1:
                raise OSError("the disk\nis gone")
            odd: dict[int, Any] = {2: (good.astype(float), 0), 3: good, 4: (good[:0], 0)}
            return odd.get(index, (good, 0))

    found = inspect(bench.Splits(Items()))
    why = {item.index: item.why for item in found.unreadable}
    assert list(why) == [1, 2, 3, 4]
    assert why[1] == "cannot be read: OSError: the disk is gone"
    assert why[2] == "is float64; uint8 is needed"
    assert "no pixels" in why[4]


@pytest.mark.parametrize(
    ("train", "culprit"),
    [
        (bench.Files([Path("a"), Path("b")], [0]), "`train` has 2 images"),
        ((np.zeros((2, 4, 4), np.uint8), [0, 1, 0]), "`train` has 2 images"),
        ((np.zeros((2, 4, 4)), [0, 1]), "float64"),
        ((np.zeros((2, 4), np.uint8), [0, 1]), r"`train` images have shape \(2, 4\)"),
        (7, "`train` is int"),
    ],
)
def test_a_split_of_no_known_form_is_one_line(train: Any, culprit: str) -> None:
    with pytest.raises(PluginError, match=culprit) as caught:
        inspect(bench.Splits(train))
    assert str(caught.value) == one_line(str(caught.value))


def test_an_empty_split_has_nothing_wrong() -> None:
    found = inspect(bench.Splits(bench.Files([], [])))
    assert found.to_dict()["files"] == 0
    assert not found.broken
    assert found.summary() == []
    assert found.answer().startswith("sound: 0 images")


def test_images_to_be_predicted_must_be_readable_but_may_repeat(folder: Folder) -> None:
    (image,) = textures(1)
    folder.add("train", "a.png", 0, image)
    folder.add("new", "b.png", 0, image)
    folder.add("new", "c.png", 0, image).write_bytes(b"no image")
    unlabelled = bench.Files(folder.files("new").paths, [])
    found = inspect(bench.Splits(folder.files("train"), unlabelled=unlabelled))
    assert not found.groups
    assert [item.split for item in found.unreadable] == ["unlabelled"]


def test_odd_names_are_kept_as_they_are_and_drawn(folder: Folder, tmp_path: Path) -> None:
    (image,) = textures(1)
    names = ["naïve 日本.png", "<script>[red]`$_|.png", "line\nbreak.png", os.fsdecode(b"\xff.png")]
    for name in names:
        folder.add("train", name, 0, image)
    folder.add("train", "not\nwhole.png", 0, image).write_bytes(b"")
    found = inspect(folder.splits())
    assert [item.name for item in found.groups[0].members] == [f"train/{name}" for name in names]
    assert all("\n" not in text for _, _, examples in found.summary() for text in examples)
    assert len(found.write_pictures(tmp_path / "out")) == 1


def test_items_of_one_name_are_told_apart(folder: Folder) -> None:
    one, two = textures(2)
    a = folder.add("train", "a.png", 0, one)
    b = folder.add("test", "a.png", 0, one)
    c = folder.add("test", "c.png", 0, two)
    found = inspect(
        bench.Splits(bench.Files([a], [0], ["a.png"]), bench.Files([b, c], [0, 0], ["a.png", "c"]))
    )
    assert found.fix_list() == [str(a)]
    assert [item.name for item in found.scan.items] == [str(a), str(b), "c"]
    twice = inspect(bench.Splits(bench.Files([a, a], [0, 0])))
    assert twice.fix_list() == [f"{a} (train[1])"]


def test_a_sound_dataset_gives_no_finding() -> None:
    images = textures(64, size=256)
    items = [(image, i % 2) for i, image in enumerate(images)]
    found = inspect(bench.Splits(items[:60], items[60:]))
    assert not found.broken
    assert found.summary() == []
    assert found.fix_list() == []


def test_warnings_about_classes() -> None:
    labels = np.array([0] * 345 + [1] * 30 + [2] * 29 + [3] * 5)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4), np.uint8)
    found = inspect(bench.Splits((images, labels), classes=["a", "b", "c", "d", "none"]))
    few = warning(found, "few images")
    assert few.count == 3
    assert few.examples == ["none", "d", "c"]
    assert "fewer than 30" in few.message
    imbalance = warning(found, "imbalance")
    assert "69 images of the largest class to one" in imbalance.message
    assert imbalance.examples == ["a", "d"]
    assert imbalance.count == 3


def test_no_imbalance_up_to_ten_to_one() -> None:
    labels = np.array([0] * 300 + [1] * 30)
    images = np.random.default_rng(0).integers(0, 256, (330, 4, 4), np.uint8)
    assert "imbalance" not in kinds(inspect(bench.Splits((images, labels))))


def test_warnings_about_files(folder: Folder) -> None:
    images = textures(8)
    folder.add("train", "good.png", 0, images[0])
    folder.add("train", "upper.JPG", 0, images[1], format="JPEG")
    folder.add("train", "really a bitmap.png", 0, images[2], format="BMP")
    folder.add("train", "moves.gif", 0, images[3], save_all=True, append_images=[images[4]])
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = images[5].resize((80, 60))
    folder.add("train", "sideways.jpg", 0, wide, exif=exif)
    padded = folder.add("train", "large.bmp", 0, images[6])
    padded.write_bytes(padded.read_bytes() + bytes(6_000_000))
    found = inspect(folder.splits())
    assert not found.unreadable
    expected = {
        "wrong endings": ["really a bitmap.png"],
        "animations": ["moves.gif"],
        "large files": ["large.bmp"],
        "turned by EXIF": ["sideways.jpg"],
        "mixed modes": ["moves.gif"],
        "mixed sizes": ["sideways.jpg"],
    }
    for kind, names in expected.items():
        assert warning(found, kind).examples == [f"train/{name}" for name in names], kind
    assert next(i for i in found.scan.items if i.turned).width == 60


def test_small_images_are_measured_by_the_models_input() -> None:
    splits = bench.Splits([(image, 0) for image in textures(3, size=100)])
    scanned = scan(splits)
    by_default = warning(inspect(splits, scanned=scanned), "small images")
    assert (by_default.count, "256 pixels" in by_default.message) == (3, True)
    assert (
        "the model's input of 128 pixels"
        in warning(inspect(splits, scanned=scanned, input_size=128), "small images").message
    )
    assert "small images" not in kinds(inspect(splits, scanned=scanned, input_size=100))


def test_duplicates_in_train_are_warned_of_where_test_is_made_of_it() -> None:
    one, two = textures(2)
    kind = "near duplicates without a test split"
    train = [(one, 0), (jpeg(80)(one), 0), (two, 0)]
    assert kind in kinds(inspect(bench.Splits(train)))
    # Copies of the same pixels stay on one side of a split that is drawn.
    assert kind not in kinds(inspect(bench.Splits([(one, 0), (one, 0), (two, 0)])))
    assert kind not in kinds(inspect(bench.Splits(train, [(textures(1, seed=5)[0], 0)])))


def test_a_warning_names_a_few_of_many() -> None:
    found = inspect(bench.Splits([(image, 0) for image in textures(50)]))
    small = warning(found, "small images")
    assert small.count == 50
    assert len(small.examples) == 10
    [examples] = [each for name, _, each in found.summary() if "shorter edge" in name]
    assert examples == []  # all of them are small

    large = [(image, 0) for image in textures(3, 300, seed=1)]
    found = inspect(bench.Splits([(image, 0) for image in textures(50)], large))
    [examples] = [each for name, _, each in found.summary() if "shorter edge" in name]
    assert examples == ["`train[0]`, `train[1]`, `train[2]`, …"]


def test_pixels_are_let_go() -> None:
    """Neither arrays nor files pile up: 120 MB pass through a few of them."""

    class Items:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, index: int) -> Any:
            return np.random.default_rng(index).integers(0, 256, (500, 800, 3), np.uint8), 0

    scan(bench.Splits([(np.zeros((9, 9), np.uint8), 0)]))  # what is imported late
    tracemalloc.start()
    try:
        scan(bench.Splits(Items()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 15e6


def test_pixels_of_files_are_let_go_by_all_threads(folder: Folder) -> None:
    image = textures(1, size=600)[0]
    for index in range(60):
        folder.add("train", f"{index}.bmp", 0, image)
    splits = folder.splits()
    tracemalloc.start()
    try:
        scan(splits, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60 * 600 * 600 * 3 / 3


def test_many_thumbnails_lie_in_a_file(
    planted: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "_IN_MEMORY", 5)
    scanned = scan(planted.scan.splits)
    assert isinstance(scanned.thumbnails, np.memmap)
    assert (scanned.thumbnails == planted.scan.thumbnails).all()
    assert inspect(scanned.splits, scanned=scanned).to_dict() == planted.to_dict()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no such call on this system")
def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_IN_MEMORY", 1)

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(EnvironmentFailure, match="No space left on device; TMPDIR"):
        scan(bench.Splits((np.zeros((3, 4, 4), np.uint8), np.arange(3))))


@pytest.mark.parametrize("seed", range(20))
def test_the_fix_list_mends_whatever_is_broken(seed: int) -> None:
    """Random copies over splits and labels; what stays has no leak, no conflict, no copy."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 256, (12, 6, 6), np.uint8)

    def split() -> tuple[Any, Any]:
        count = int(rng.integers(1, 15))
        return patterns[rng.integers(0, 12, count)], rng.integers(0, 2, count)

    arrays = {name: split() for name in ("train", "val", "test")}
    found = inspect(bench.Splits(**arrays))
    out = set(found.fix_list())
    kept = {}
    for name, (images, labels) in arrays.items():
        stays = [i for i in range(len(labels)) if f"{name}[{i}]" not in out]
        kept[name] = images[stays], labels[stays]
    again = inspect(bench.Splits(**kept))
    assert not again.broken
    assert not again.groups
    contradicted = {pair.a.digest for pair in found.conflicts}
    whole = {item.digest for item in found.scan.items}
    assert {item.digest for item in again.scan.items} == whole - contradicted


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_and_order_are_the_same_with_any_number_of_threads(
    folder: Folder, threads: int
) -> None:
    for index, image in enumerate(textures(30)):
        folder.add("train", f"{index}.png", 0, image)
    seen: list[tuple[int, int]] = []
    scanned = scan(
        folder.splits(), progress=lambda done, total: seen.append((done, total)), threads=threads
    )
    assert seen == [(i, 30) for i in range(1, 31)]
    assert [item.index for item in scanned.items] == list(range(30))


def test_reading_does_not_run_far_ahead(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, image in enumerate(textures(40)):
        folder.add("train", f"{index}.png", 0, image)
    read: list[Path] = []

    def reading(path: Path) -> Any:
        read.append(path)
        return read_image(path)

    monkeypatch.setattr(decoding, "read_image", reading)
    ahead = []

    def progress(done: int, total: int) -> None:
        if done == 1:
            time.sleep(0.3)
            ahead.append(len(read))

    scan(folder.splits(), progress=progress, threads=2)
    assert ahead[0] <= 8
    assert len(read) == 40


def test_an_interruption_ends_the_pass(folder: Folder) -> None:
    for index, image in enumerate(textures(30)):
        folder.add("train", f"{index}.png", 0, image)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(folder.splits(), progress=interrupt, threads=2)


def test_nothing_here_imports_torch() -> None:
    code = "import sys, bench.inspection, bench.contact_sheet; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_known_duplicates_among_photographs_of_flowers(tmp_path: Path) -> None:
    """Of 4,317 photographs six pairs are known to be equal, four of them under two labels."""
    archive = Path(os.environ.get("BENCH_TEST_IMAGES", "")) / "flowers.tar"
    if not archive.is_file():
        pytest.skip("BENCH_TEST_IMAGES names no folder with flowers.tar")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    paths = sorted((tmp_path / "flowers").glob("*/*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    labels = [classes.index(path.parent.name) for path in paths]
    found = inspect(bench.Splits(bench.Files(paths, labels), classes=classes))
    assert len(paths) == 4317
    assert sum(group.exact for group in found.groups) == 6
    assert len(found.conflicts) == 4
    assert not found.unreadable
    # Each of these was looked at: all are the same photograph, some recoloured.
    assert sum(pair.kind == "near" for pair in found.duplicates) == pytest.approx(20, abs=2)
