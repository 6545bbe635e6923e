from __future__ import annotations

import csv
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import struct
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bench
from bench import Task, downloads
from bench_datasets.sources import SOURCES, common, detect, pixels

BY_NAME = {source.name: source for source in SOURCES}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def load(source: str, path: Path | str, **params: Any) -> bench.Splits:
    return BY_NAME[source].load(None, path=str(path), **params)


def hints(source: str, path: Path | str, **params: Any) -> bench.DatasetHints | None:
    look = BY_NAME[source].hints
    assert callable(look)
    found: bench.DatasetHints | None = look(None, path=str(path), **params)
    return found


def located(source: str, path: Path | str, **params: Any) -> Sequence[Path]:
    locate = BY_NAME[source].locate
    assert locate is not None
    return locate(None, path=str(path), **params)


def refused(source: str, path: Path | str, **params: Any) -> str:
    """Return the error of a source, which is one line; its hints know nothing then."""
    message = refused_by_load(source, path, **params)
    assert hints(source, path, **params) is None
    return message


def refused_by_load(source: str, path: Path | str, **params: Any) -> str:
    """Return the error of a source whose hints do not look so far."""
    with pytest.raises(bench.DataError) as caught:
        load(source, path, **params)
    message = str(caught.value)
    assert "\n" not in message
    assert "`" in message
    assert "; " in message
    return message


def put(root: Path, *names: str, size: tuple[int, int] = (8, 6)) -> Path:
    for index, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (index % 256, 0, 0)).save(path)
    return root


def table(path: Path, *rows: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def pairs(files: bench.Files, classes: Sequence[str]) -> dict[str, str]:
    names = [classes[label] for label in files.labels]
    return dict(zip(files.names, names, strict=True))


def test_every_source_takes_a_path() -> None:
    assert list(BY_NAME) == ["folder", "csv", "idx", "npz", "imagenet", "hf", "archive", "url"]
    for source in SOURCES:
        assert source.address is not None
        assert source.defaults["path"] == ""
        assert source.summary
        assert source.locate is not None


@pytest.mark.parametrize("name", ["folder", "csv", "idx", "npz", "imagenet", "archive"])
def test_an_address_is_an_absolute_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = BY_NAME[name].address
    assert address is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert address("sub/../images/") == str(tmp_path / "images")
    assert address("~/images") == "/home/somebody/images"
    with pytest.raises(bench.UsageError, match="a path is missing"):
        address(" ")


# Folders


def test_folders_of_classes(tmp_path: Path) -> None:
    put(
        tmp_path, "10/a.jpg", "2/b.PNG", "2/c.webp", ".hidden/x.jpg", "2/.x.jpg", "__MACOSX/2/y.png"
    )
    (tmp_path / "2" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "readme.txt").write_text("x")
    splits = load("folder", tmp_path)
    assert splits.classes == ["2", "10"]
    assert pairs(splits.train, splits.classes) == {
        "2/b.PNG": "2",
        "2/c.webp": "2",
        "10/a.jpg": "10",
    }
    assert splits.train.paths[0] == tmp_path / "2" / "b.PNG"
    assert splits.test is None
    assert splits.val is None
    assert splits.taxonomy == []
    assert sorted(located("folder", tmp_path)) == sorted(splits.train.paths)
    assert hints("folder", tmp_path) == bench.DatasetHints(
        train=3, test=0, image_size=6, task=Task.BINARY
    )


@pytest.mark.parametrize(
    ("val", "test"), [("val", "test"), ("Valid", "Testing"), ("VALIDATION", "test")]
)
def test_folders_of_splits(tmp_path: Path, val: str, test: str) -> None:
    for split in ("Train", val, test):
        put(tmp_path, *(f"{split}/{name}/1.png" for name in "cab"))
    splits = load("folder", tmp_path)
    assert splits.classes == ["a", "b", "c"]
    for part, name in ((splits.train, "Train"), (splits.val, val), (splits.test, test)):
        assert pairs(part, splits.classes) == {f"{name}/{c}/1.png": c for c in "abc"}
    found = hints("folder", tmp_path)
    assert found is not None
    assert (found.train, found.val, found.test) == (3, 3, 3)


def test_a_lone_folder_at_the_top_is_passed_through(tmp_path: Path) -> None:
    put(tmp_path, "flowers/data/train/rose/1.png", "flowers/data/train/tulip/1.png")
    splits = load("folder", tmp_path)
    assert splits.classes == ["rose", "tulip"]
    put(tmp_path, "flowers/data/test/images/rose/1.png", "flowers/data/test/images/tulip/1.png")
    assert len(load("folder", tmp_path).test) == 2
    assert splits.train.names[0] == "flowers/data/train/rose/1.png"
    assert splits.taxonomy == []


def test_train_may_be_a_vehicle(tmp_path: Path) -> None:
    put(tmp_path, "car/1.png", "train/1.png", "ship/1.png")
    assert load("folder", tmp_path).classes == ["car", "ship", "train"]


def test_images_without_classes_are_to_be_predicted(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png")
    splits = load("folder", tmp_path)
    assert splits.test is None
    assert splits.unlabelled is not None
    assert splits.unlabelled.names == ["test/1.png", "test/2.png"]
    assert len(located("folder", tmp_path)) == 4
    put(tmp_path / "two", "a/1.png", "b/1.png", "unlabelled/1.png")
    other = load("folder", tmp_path / "two")
    assert other.classes == ["a", "b"]
    assert other.unlabelled is not None
    assert len(other.unlabelled) == 1


def test_folders_in_folders_are_a_tree(tmp_path: Path) -> None:
    names = ("animals/cat/1.png", "animals/dog/1.png", "road/car/1.png", "water/1.png")
    for split in ("train", "test"):
        put(tmp_path, *(f"{split}/{name}" for name in names))
    splits = load("folder", tmp_path)
    assert splits.classes == ["animals/cat", "animals/dog", "road/car", "water"]
    assert splits.taxonomy == [
        ("animals", "animals/cat"),
        ("animals", "animals/dog"),
        ("road", "road/car"),
        ("water",),
    ]
    found = hints("folder", tmp_path)
    assert found is not None
    assert found.task is Task.HIERARCHICAL


def test_a_tree_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png", "car/1.png")
    (tmp_path / "tree.csv").write_text("class,parent\ncat,pet,animal\ndog,pet,animal\ncar,road,\n")
    expected = [("road", "car"), ("animal", "pet", "cat"), ("animal", "pet", "dog")]
    splits = load("folder", tmp_path, tree="tree.csv")
    assert splits.classes == ["car", "cat", "dog"]
    assert splits.taxonomy == expected
    assert tmp_path / "tree.csv" in located("folder", tmp_path, tree="tree.csv")
    elsewhere = tmp_path.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    nested = {"animal": {"pet": ["cat", "dog"]}, "road": {"car": None}}
    (elsewhere / "tree.json").write_text(json.dumps(nested))
    monkeypatch.chdir(elsewhere)
    assert load("folder", tmp_path, tree="tree.json").taxonomy == expected
    (tmp_path / "short.csv").write_text("cat,pet\n")
    assert "lacks 2 of 3 classes: `car`, `dog`" in refused("folder", tmp_path, tree="short.csv")
    (tmp_path / "twice.csv").write_text("cat,pet\ncat,lion\n")
    assert "has the class `cat` twice" in refused("folder", tmp_path, tree="twice.csv")
    (tmp_path / "bad.json").write_text('{"a": 3}')
    assert "is no tree of classes" in refused("folder", tmp_path, tree="bad.json")
    assert "there is no `gone.csv`" in refused("folder", tmp_path, tree="gone.csv")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    put(tmp_path / "set", "a/1.png", "b/1.png")
    put(tmp_path / "elsewhere", "2.png")
    (tmp_path / "set" / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "a" / "again").symlink_to(tmp_path / "set")
    splits = load("folder", tmp_path / "set")
    assert splits.train.names == ["a/1.png", "b/1.png", "c/2.png"]
    # Links to nothing, and to themselves, are files that cannot be read, as a check will list.
    (tmp_path / "set" / "b" / "3.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "set" / "b" / "4.png").symlink_to(tmp_path / "set" / "b" / "4.png")
    splits = load("folder", tmp_path / "set")
    assert splits.train.names == ["a/1.png", "b/1.png", "b/3.png", "b/4.png", "c/2.png"]


def test_what_lies_beside_images_and_holds_none_is_no_class(tmp_path: Path) -> None:
    put(tmp_path / "set", "a/1.png", "b/1.png")
    (tmp_path / "set" / "a" / "annotations").mkdir()
    (tmp_path / "set" / "a" / "annotations" / "1.xml").write_text("<box/>")
    (tmp_path / "set" / "@eaDir").mkdir()
    assert load("folder", tmp_path / "set").classes == ["a", "b"]


def test_folders_that_are_wrong(tmp_path: Path) -> None:
    put(tmp_path / "flowers", "a/1.png", "b/1.png")
    message = refused("folder", tmp_path / "flower")
    assert message == f"there is no `{tmp_path}/flower` (did you mean `flowers`?); check the path"
    assert "nor a folder" in refused("folder", tmp_path / "no" / "where")
    file = put(tmp_path, "image.png") / "image.png"
    assert "is a file, and `folder:` wants a folder; write `archive:`" in refused("folder", file)
    (tmp_path / "empty").mkdir()
    assert "empty` holds no images, but 0 folders and no file" in refused(
        "folder", tmp_path / "empty"
    )
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "a" / "b.txt").write_text("x")
    assert "1 folders and 1 other files, such as `b.txt`" in refused("folder", tmp_path / "texts")
    put(tmp_path / "one", "a/1.png", "a/2.png")
    assert "one` has one class, `a`, with 2 images" in refused("folder", tmp_path / "one")
    put(tmp_path / "flat", "1.png", "2.png")
    assert "flat` holds 2 images but no class folders" in refused("folder", tmp_path / "flat")
    put(tmp_path / "gap", "a/1.png", "b/1.png")
    (tmp_path / "gap" / "c").mkdir()
    assert "1 of the 3 class folders in `gap` hold no images: `c`" in refused(
        "folder", tmp_path / "gap"
    )
    put(tmp_path / "mixed", "a/1.png", "b/x/1.png", "b/2.png")
    assert "1 images lie directly in `mixed/b` beside its folders `x`, for example `b/2.png`" in (
        refused("folder", tmp_path / "mixed")
    )
    put(tmp_path / "top", "train/a/1.png", "train/b/1.png", "2.png")
    assert "1 images lie directly in `top` beside" in refused("folder", tmp_path / "top")


def test_splits_that_do_not_match(tmp_path: Path) -> None:
    put(tmp_path / "lacks", "train/a/1.png", "train/b/1.png", "val/a/1.png")
    assert "val lacks 1 of the classes of train: `b`" in refused("folder", tmp_path / "lacks")
    put(tmp_path / "more", "train/a/1.png", "train/b/1.png", *(f"test/{c}/1.png" for c in "abc"))
    assert "train lacks 1 of the classes of test: `c`" in refused("folder", tmp_path / "more")
    put(tmp_path / "none", "val/a/1.png", "test/a/1.png")
    assert "beside no folder `train`" in refused("folder", tmp_path / "none")
    put(tmp_path / "twice", "train/a/1.png", "val/a/1.png", "valid/a/1.png")
    assert "two folders for val" in refused("folder", tmp_path / "twice")
    put(tmp_path / "branch", "train/x/a/1.png", "train/y/b/1.png", "val/x/a/1.png")
    assert "val lacks 1 of the classes of train: `y/b`" in refused("folder", tmp_path / "branch")
    put(tmp_path / "mixed", "train/a/1.png", "train/b/1.png", "c/1.png")
    assert "beside `c`; put all class folders into" in refused("folder", tmp_path / "mixed")


def test_names_sort_as_people_count() -> None:
    names = ["b", "A", "a10", "a2", "10", "2", "1.5", "é", "a2b"]
    assert sorted(names, key=common.natural) == [
        "1.5",
        "2",
        "10",
        "A",
        "a2",
        "a2b",
        "a10",
        "b",
        "é",
    ]


# Tables of labels


def test_a_table_of_single_labels(tmp_path: Path) -> None:
    put(tmp_path, "images/1.png", "images/2.png", "images/3.png")
    path = table(tmp_path / "labels.csv", ("id", "breed"), (1, "10"), (2, "2"), (3, "2"))
    for address in (path, tmp_path):
        splits = load("csv", address)
        assert splits.classes == ["2", "10"]
        expected = {"images/1.png": "10", "images/2.png": "2", "images/3.png": "2"}
        assert pairs(splits.train, splits.classes) == expected
    assert located("csv", path) == [path, *splits.train.paths]
    assert hints("csv", path) == bench.DatasetHints(train=3, test=0, image_size=6, task=Task.BINARY)


def test_tables_by_split_with_joined_labels(tmp_path: Path) -> None:
    put(tmp_path, *(f"images/{index}.png" for index in range(6)))
    rows = [("image", "labels"), ("images/0.png", "RBC|WBC"), ("images/1.png", "")]
    table(tmp_path / "train.csv", *rows, ("images/2.png", "Platelets"))
    table(tmp_path / "valid.csv", ("image", "labels"), ("images/3.png", "WBC"))
    table(tmp_path / "test.csv", ("image", "labels"), ("images/4.png", " RBC | RBC"), ("5.png", ""))
    splits = load("csv", tmp_path)
    assert splits.classes == ["Platelets", "RBC", "WBC"]
    assert splits.train.labels.dtype == np.uint8
    assert splits.train.labels.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert splits.val.labels.tolist() == [[0, 0, 1]]
    assert splits.test.labels.tolist() == [[0, 1, 0], [0, 0, 0]]
    found = hints("csv", tmp_path)
    assert found is not None
    assert (found.train, found.val, found.test, found.task) == (3, 1, 2, Task.MULTI_LABEL)


def test_columns_of_zero_and_one(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png", "c.png")
    head = ("filename", "x", "y10", "y2")
    path = table(
        tmp_path / "t.csv", head, ("a.png", 1, 0, 1), ("b.png", 0, 0, 0), ("c.png", 0, 1, 0)
    )
    splits = load("csv", path)
    assert splits.classes == ["x", "y2", "y10"]
    assert splits.train.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    table(path, head, ("a.png", "1.0", "0.0", "0.0"), ("b", 0, 1, 0), ("c", 0, 0, 1))
    single = load("csv", path)
    assert single.train.labels.tolist() == [0, 2, 1]
    rows = (("0", "7", "a.png", 1, 1), ("1", "8", "b.png", 0, 1), ("2", "9", "c.png", 0, 0))
    table(tmp_path / "index.csv", ("", "id", "image", "x", "y"), *rows)
    assert load("csv", tmp_path / "index.csv").train.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert load("csv", path, multi_label=True).train.labels.shape == (3, 3)


def test_a_column_of_splits_and_chosen_columns(tmp_path: Path) -> None:
    put(tmp_path / "pictures", *(f"{index}.jpg" for index in range(5)))
    path = table(
        tmp_path / "t.tsv",
        ("picture", "kind", "note", "split"),
        *((f"{index}.jpg", "ab"[index % 2], "-", "train") for index in range(3)),
        ("3.jpg", "a", "-", "Validation"),
        ("4.jpg", "b", "-", "test"),
    )
    splits = load("csv", path, image_column="picture", label_column="kind", images="pictures")
    assert pairs(splits.train, splits.classes) == {"0.jpg": "a", "1.jpg": "b", "2.jpg": "a"}
    assert pairs(splits.val, splits.classes) == {"3.jpg": "a"}
    assert pairs(splits.test, splits.classes) == {"4.jpg": "b"}
    rows = (("0.jpg", "a", "train"), ("1.jpg", "b", "train"), ("2.jpg", "", "test"))
    withheld = table(tmp_path / "withheld.csv", ("image", "label", "split"), *rows)
    splits = load("csv", withheld, subset=True)
    assert splits.unlabelled is not None
    assert splits.unlabelled.names == ["pictures/2.jpg"]
    assert "no column `kid` (did you mean `kind`?)" in refused(
        "csv", path, image_column="picture", label_column="kid"
    )
    assert "no column that is known to name images, only `picture`" in refused("csv", path)


def test_a_test_table_without_labels_is_for_prediction(tmp_path: Path) -> None:
    put(tmp_path, "train/1.jpg", "train/2.jpg", "test/1.jpg", "test/2.jpg")
    table(tmp_path / "train.csv", ("image_id", "label"), ("1", "a"), ("2", "b"))
    table(tmp_path / "test.csv", ("image_id",), ("1",), ("2",))
    table(tmp_path / "sample_submission.csv", ("image_id", "label"), ("1", "a"))
    splits = load("csv", tmp_path)
    assert splits.train.names == ["train/1.jpg", "train/2.jpg"]
    assert splits.test is None
    assert splits.unlabelled is not None
    assert splits.unlabelled.names == ["test/1.jpg", "test/2.jpg"]


def test_tables_with_semicolons_and_foreign_paths(tmp_path: Path) -> None:
    put(tmp_path, "deep/er/a.png", "deep/er/b.png")
    (tmp_path / "t.csv").write_bytes(
        b"\xef\xbb\xbfpath;class\r\nC:\\data\\er\\a.png;x\r\n"
        + f"{tmp_path}/deep/er/b.png;y".encode()
    )
    message = refused("csv", tmp_path / "t.csv")
    assert "1 of 2 images are not below" in message
    (tmp_path / "t.csv").write_text(f"path;class\ner\\a.png;x\n{tmp_path}/deep/er/b.png;y\n")
    splits = load("csv", tmp_path / "t.csv", subset=True)
    assert splits.train.paths[0] == tmp_path / "deep" / "er" / "a.png"
    assert splits.train.paths[1] == tmp_path / "deep" / "er" / "b.png"


def test_rows_that_say_the_same_twice_count_once(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    path = table(tmp_path / "t.csv", ("image", "label"), ("a.png", "x"), ("a", "x"), ("b", "y"))
    assert load("csv", path).train.names == ["a.png", "b.png"]
    table(path, ("image", "label"), ("a.png", "x"), ("a.png", "y"), ("b.png", "y"))
    assert "labels 1 images in two ways: `a.png`, the first as `x`" in refused("csv", path)


def test_tables_that_are_wrong(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}.png" for name in "abcde"))
    path = tmp_path / "t.csv"
    head = ("image", "label")
    table(path, head, ("a.png", "x"), ("f.png", "y"), ("g.png", "y"))
    assert "2 of 3 images are not below" in refused("csv", path)
    assert "which holds 5: `f.png`, `g.png`; `--set csv.images=DIR`" in refused("csv", path)
    table(path, head, ("a", "x"), ("b", "y"))
    message = refused("csv", path)
    assert "3 of 5 images" in message
    assert "have no row in `t.csv`: `c.png`, `d.png`, `e.png`" in message
    assert len(load("csv", path, subset=True).train) == 2
    table(path, head, ("a", "x"), ("b", ""), ("c", "y"), ("d", "x"), ("e", "x"))
    assert "1 of 5 images have no label: `b.png`" in refused("csv", path)
    table(path, head, *((name, "x") for name in "abcde"))
    assert "has 5 images of one class, `x`; two" in refused("csv", path)
    table(path, ("image", "x", "y"), *((name, 0, 0) for name in "abcde"))
    assert "has 5 images of no class at all" in refused("csv", path)
    table(path, head)
    assert "holds no rows below its header" in refused("csv", path)
    path.write_text("image,label\na,x\nb\nc,y,z\n")
    assert "2 of 3 rows do not have 2 cells as the header has, first row 3" in refused("csv", path)
    table(path, ("image", "label", "label"), ("a", "x", "y"))
    assert "two columns `label`" in refused("csv", path)
    table(path, ("image", "width", "height"), ("a", 8, 6), ("b", 8, 6))
    assert "its columns `width`, `height` are not all 0 and 1" in refused("csv", path)
    table(path, ("image",), ("a",), ("b",))
    assert "has no column of labels beside that of images" in refused("csv", path)
    table(path, head, ("", "x"), ("b", "y"))
    assert "1 of 2 rows name no image, first row 2" in refused("csv", path)
    path.write_bytes(b"image,label\n\xff\xfe,x\n")
    assert "is no table in UTF-8" in refused("csv", path)
    table(path, (*head, "split"), ("a", "x", "train"), ("b", "y", "dev"))
    assert "column `split` holds `dev`; it must hold" in refused("csv", path)
    table(path, (*head, "split"), ("a", "x", "train"), ("b", "y", "train"), ("c", "z", "val"))
    assert "val has 1 labels that train lacks: `z`" in refused("csv", path, subset=True)
    put(tmp_path, "sub/a.png", "other/a.png")
    table(path, head, ("b", "x"), ("sub/a", "y"), ("er/a", "y"))
    assert "`er/a`" in refused("csv", path)
    table(path, head, ("a.jpg", "x"), ("b", "y"))
    assert "not below" in refused("csv", path)


def test_a_name_that_fits_several_files(tmp_path: Path) -> None:
    put(tmp_path, "x/a.png", "y/a.png", "y/b.png")
    path = table(tmp_path / "t.csv", ("image", "label"), ("a.png", "x"), ("b.png", "y"))
    assert "`a.png` may be `x/a.png`, `y/a.png`" in refused("csv", path)


def test_folders_of_tables_that_are_wrong(tmp_path: Path) -> None:
    assert "holds no table" in refused("csv", tmp_path)
    table(tmp_path / "one.csv", ("image", "label"))
    table(tmp_path / "two.csv", ("image", "label"))
    assert "holds 2 tables, `one.csv`, `two.csv`, but no `train.csv`" in refused("csv", tmp_path)
    table(tmp_path / "my_train.csv", ("image", "label"))
    table(tmp_path / "train.csv", ("image", "label"))
    assert "two tables for train" in refused("csv", tmp_path)


# Tables of pixels


def pixel_rows(images: NDArray[np.uint8], labels: Sequence[int]) -> list[list[int]]:
    flat = images.reshape(len(images), -1).tolist()
    return [[label, *row] for label, row in zip(labels, flat, strict=True)]


def random_images(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("header", ["pixel0", "pixel1", "1x1", "none"])
def test_tables_of_gray_pixels(tmp_path: Path, header: str) -> None:
    images, labels = random_images(6, 5, 5), [3, 1, 7, 3, 1, 7]
    names = {
        "pixel0": [f"pixel{index}" for index in range(25)],
        "pixel1": [f"pixel{index + 1}" for index in range(25)],
        "1x1": [f"{row + 1}x{column + 1}" for row in range(5) for column in range(5)],
    }
    head = [] if header == "none" else [["label", *names[header]]]
    for split, part in (("train", slice(0, 4)), ("test", slice(4, 6))):
        rows = pixel_rows(images[part], labels[part])
        table(tmp_path / f"fashion-mnist_{split}.csv", *head, *rows)
    splits = load("csv", tmp_path)
    np.testing.assert_array_equal(splits.train[0], images[:4])
    assert splits.train[0].dtype == np.uint8
    assert splits.classes == ["1", "3", "7"]
    assert splits.train[1].tolist() == [1, 0, 2, 1]
    assert splits.test[1].tolist() == [0, 2]
    found = hints("csv", tmp_path)
    assert found is not None
    assert (found.train, found.test, found.image_size, found.channels) == (4, 2, 5, 1)
    assert len(located("csv", tmp_path)) == 2


def test_tables_of_colour_pixels_and_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_ROWS", 3)
    images = random_images(10, 4, 4, 3)
    head = [*(f"pixel{index}" for index in range(48)), "label"]
    rows = [[*row[1:], row[0]] for row in pixel_rows(images, [0, 1] * 5)]
    path = table(tmp_path / "t.csv", head, *rows)
    splits = load("csv", path)
    np.testing.assert_array_equal(splits.train[0], images)
    assert splits.train[1].tolist() == [0, 1] * 5


def test_a_table_of_pixels_without_labels_is_left_out(tmp_path: Path) -> None:
    rows = pixel_rows(random_images(4, 5, 5), [0, 1, 0, 1])
    head = [f"pixel{index}" for index in range(25)]
    table(tmp_path / "train.csv", ["label", *head], *rows)
    table(tmp_path / "test.csv", head, *(row[1:] for row in rows))
    assert load("csv", tmp_path).test is None
    shutil.copy(tmp_path / "test.csv", tmp_path / "train.csv")
    assert "has no column `label`" in refused("csv", tmp_path)


def test_tables_of_pixels_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    head = ["label", *(f"pixel{index}" for index in range(25))]
    good = [0] * 26
    for cell in ("256", "-1", "x", "", "0.5"):
        table(path, head, good, [1, *([0] * 24), cell])
        assert "row 3 holds something other than whole numbers from 0 to 255" in refused_by_load(
            "csv", path
        )
    table(path, head[:-1], good[:-1])
    assert "24 pixels in a row, which make no square image" in refused_by_load("csv", path)
    table(path, head, good, good)
    assert "has one class, `0`" in refused_by_load("csv", path)
    path.write_text(",".join(head) + "\n" + ",".join(map(str, [0] * 40)) + "\n")
    assert "cannot read the pixels" in refused_by_load("csv", path)
    path.write_text(",".join(head) + "\n" + ",".join(map(str, [0] * 20)) + "\n")
    assert "row 2 holds something other" in refused_by_load("csv", path)


# IDX files and NumPy arrays


def idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_idx(folder: Path, names: Sequence[str] = ("train", "t10k"), suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for count, name in enumerate(names, 4):
        labels = np.arange(count, dtype=np.uint8) % 3 + 1
        for kind, array in (("images-idx3", random_images(count, 6, 5)), ("labels-idx1", labels)):
            content = idx(array)
            path = folder / f"{name}-{kind}-ubyte{suffix}"
            path.write_bytes(gzip.compress(content) if suffix else content)
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("prefix", ["", "emnist-letters-"])
def test_idx_files(tmp_path: Path, suffix: str, prefix: str) -> None:
    test = "test" if prefix else "t10k"
    write_idx(tmp_path, (f"{prefix}train", f"{prefix}{test}", f"{prefix}val"), suffix)
    splits = load("idx", tmp_path)
    assert splits.train[0].shape == (4, 6, 5)
    assert splits.test[0].shape == (5, 6, 5)
    assert splits.val[0].shape == (6, 6, 5)
    assert splits.classes == ["1", "2", "3"]
    assert splits.train[1].tolist() == [0, 1, 2, 0]
    assert len(located("idx", tmp_path)) == 6
    assert hints("idx", tmp_path) == bench.DatasetHints(
        train=4, test=5, val=6, image_size=5, channels=1
    )


def test_idx_files_that_are_wrong(tmp_path: Path) -> None:
    assert "holds no IDX files" in refused("idx", tmp_path)
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "labels")
    assert "lacks the labels of test; put `test-labels-idx1-ubyte.gz`" in refused("idx", tmp_path)
    write_idx(tmp_path, ("letters-train",))
    assert "2 sets of IDX files" in refused("idx", tmp_path)
    write_idx(tmp_path / "cut")
    path = tmp_path / "cut" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(bench.DataError, match="is truncated"):
        load("idx", tmp_path / "cut")


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val"),
        ("train_images", "train_labels", "test_images", "test_labels", "val_images", "val_labels"),
        ("X_train", "Y_train", "X_test", "Y_test", "X_valid", "Y_valid"),
    ],
)
def test_arrays(tmp_path: Path, keys: Sequence[str]) -> None:
    images, labels = random_images(6, 5, 4, 3), np.array([[0], [1], [2], [0], [1], [2]])
    path = tmp_path / "set.npz"
    np.savez(path, **{key: (labels if index % 2 else images) for index, key in enumerate(keys)})
    for address in (path, tmp_path):
        splits = load("npz", address)
        for part in (splits.train, splits.val, splits.test):
            np.testing.assert_array_equal(part[0], images)
            assert part[1].tolist() == [0, 1, 2, 0, 1, 2]
    assert located("npz", tmp_path) == [path]
    assert hints("npz", path) == bench.DatasetHints(
        train=6, val=6, test=6, image_size=4, channels=3
    )


def test_arrays_of_other_shapes(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    images = random_images(4, 3, 6, 6)
    np.savez_compressed(path, images=images, labels=np.eye(2)[[0, 1, 1, 0]], classes=["no", "yes"])
    splits = load("npz", path)
    np.testing.assert_array_equal(splits.train[0], images.transpose(0, 2, 3, 1))
    assert splits.train[1].tolist() == [0, 1, 1, 0]
    assert splits.classes == ["no", "yes"]
    assert splits.test is None
    found = hints("npz", path)
    assert found is not None
    assert (found.image_size, found.channels, found.task) == (6, 3, Task.BINARY)
    several = np.array([[1, 1], [0, 0], [1, 0], [0, 1]])
    np.savez(path, x=images[:, 0].astype(np.int64), y=several)
    splits = load("npz", path)
    assert splits.train[0].shape == (4, 6, 6)
    assert splits.train[0].dtype == np.uint8
    assert splits.train[1].dtype == np.uint8
    assert splits.train[1].tolist() == several.tolist()
    np.savez(path, x=images, y=np.array(["dog", "cat", "dog", "cat"]))
    splits = load("npz", path)
    assert splits.classes == ["cat", "dog"]
    assert splits.train[1].tolist() == [1, 0, 1, 0]


def test_arrays_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    images, labels = random_images(4, 6, 6), np.array([0, 1, 0, 1])

    def saved(**arrays: Any) -> str:
        np.savez(path, **arrays)
        return refused_only(path)

    def refused_only(path: Path) -> str:
        with pytest.raises(bench.DataError) as caught:
            load("npz", path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "known to hold the labels of train, only `x_train`, `a`" in saved(
        x_train=images, a=labels
    )
    assert "to hold the labels of test" in saved(x=images, y=labels, x_test=images)
    assert "two arrays for the images of train" in saved(x=images, images=images, y=labels)
    assert "4 images but 3 labels in train" in saved(x=images, y=labels[:3])
    assert "uint8 from 0 to 255 is needed" in saved(x=images / 255, y=labels)
    assert "have shape (4, 36)" in saved(x=images.reshape(4, 36), y=labels)
    assert "have shape ()" in saved(x=np.array(3), y=labels)
    assert hints("npz", path) is None
    assert "are none" in saved(x=images[:0], y=labels[:0])
    assert "has one class" in saved(x=images, y=labels * 0)
    assert "are not all 0 and 1" in saved(x=images, y=np.arange(8).reshape(4, 2))
    assert "test has 1 labels that train lacks: `2`" in saved(
        x_train=images, y_train=labels, x_test=images, y_test=labels + 1
    )
    assert "run from 0 to 1, but it names 1 classes" in saved(x=images, y=labels, classes=["a"])
    assert "Python objects, which are not read since they can run code" in saved(
        x=images, y=np.array([0, None, 1, 0], object)
    )
    path.write_bytes(path.read_bytes()[:200])
    assert "cannot read the arrays" in refused_only(path)
    np.save(tmp_path / "one.npy", images)
    assert "is no .npz file" in refused_only(put(tmp_path, "image.png") / "image.png")
    assert "holds a single array" in refused_only(tmp_path / "one.npy")
    assert "holds 0 .npz files" in refused_only(put(tmp_path / "folder", "a.png"))


# ImageNet


def write_imagenet(root: Path, inner: str = "ILSVRC/Data/CLS-LOC") -> Path:
    base = root / inner
    for synset in ("n01440764", "n02012849", "n03126707"):
        put(base / "train", f"{synset}/{synset}_1.JPEG", f"{synset}/{synset}_2.JPEG")
    put(base / "test", "ILSVRC2012_test_00000001.JPEG")
    return base


VAL = [f"ILSVRC2012_val_0000000{index}" for index in (1, 2, 3)]


def test_imagenet_as_kaggle_has_it(tmp_path: Path) -> None:
    base = write_imagenet(tmp_path)
    put(base / "val", *(f"{name}.JPEG" for name in VAL))
    mapping = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n"
    (tmp_path / "LOC_synset_mapping.txt").write_text(mapping)
    synsets = ("n03126707", "n01440764", "n02012849")
    rows = [(name, f"{synset} 1 2 3 4") for name, synset in zip(VAL, synsets, strict=True)]
    table(tmp_path / "LOC_val_solution.csv", ("ImageId", "PredictionString"), *rows)
    splits = load("imagenet", tmp_path)
    assert splits.classes == ["tench", "crane (n02012849)", "crane (n03126707)"]
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert splits.train.names[0] == "ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_1.JPEG"
    assert splits.val is None
    assert splits.test.labels.tolist() == [2, 0, 1]
    assert splits.unlabelled is not None
    assert len(splits.unlabelled) == 1
    assert len(located("imagenet", tmp_path)) == 12
    assert detect.detect(tmp_path) == "imagenet"
    found = hints("imagenet", tmp_path)
    assert found is not None
    assert (found.train, found.test) == (6, 3)


def test_imagenet_with_the_development_kit_or_sorted(tmp_path: Path) -> None:
    from scipy.io import savemat

    base = write_imagenet(tmp_path, "")
    put(base / "val", *(f"{name}.JPEG" for name in VAL))
    assert "holds 3 images without folders of synsets, and neither" in refused("imagenet", tmp_path)
    kit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    synsets = np.array(
        [(1, "n03126707", "crane"), (2, "n01440764", "tench"), (3, "n02012849", "crane")],
        dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)],
    )
    savemat(kit / "meta.mat", {"synsets": synsets})
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n3\n1\n")
    splits = load("imagenet", tmp_path)
    assert splits.classes == ["n01440764", "n02012849", "n03126707"]
    assert splits.test.labels.tolist() == [0, 1, 2]
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n3\n")
    assert "labels 2 images, but val holds 3" in refused("imagenet", tmp_path)
    shutil.rmtree(base / "val")
    put(base / "val", "n02012849/1.JPEG")
    assert load("imagenet", tmp_path).test.labels.tolist() == [1]
    put(base / "val", "n09999999/1.JPEG")
    assert "val has 1 classes that train lacks: `n09999999`" in refused("imagenet", tmp_path)
    assert "has no folder `train` with folders of synsets" in refused(
        "imagenet", put(tmp_path / "other", "a/1.png")
    )


# Hugging Face


def write_hf(folder: Path, several: bool = False) -> Path:
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["cat", "dog"])
    feature = datasets.Sequence(label) if several else label
    features = datasets.Features({"image": datasets.Image(), "label": feature})
    images = [Image.new("RGB", (8, 6), (level, 0, 0)) for level in (0, 100, 200)]
    labels: list[Any] = [[0, 1], [], [1]] if several else [0, 1, 1]
    part = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
    datasets.DatasetDict({"train": part, "validation": part}).save_to_disk(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_from_disk(tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "set")
    splits = load("hf", folder)
    assert splits.classes == ["cat", "dog"]
    assert (len(splits.train), len(splits.val), splits.test) == (3, 3, None)
    image, label = splits.train[1]
    assert image.size == (8, 6)
    assert image.getpixel((0, 0)) == (100, 0, 0)
    assert (label, type(label)) == (1, int)
    assert any(path.suffix == ".arrow" for path in located("hf", folder))
    assert detect.detect(folder) == "hf"
    assert hints("hf", folder) == bench.DatasetHints(
        train=3, test=0, val=3, image_size=6, task=Task.BINARY
    )
    assert "has no column `labels` (did you mean `label`?)" in refused(
        "hf", folder, label_column="labels"
    )
    address = BY_NAME["hf"].address
    assert address is not None
    assert address(str(folder)) == str(folder)
    assert address("owner/name") == "owner/name"


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_with_several_labels(tmp_path: Path) -> None:
    splits = load("hf", write_hf(tmp_path / "set", several=True))
    assert [splits.train[index][1].tolist() for index in range(3)] == [[1, 1], [0, 0], [0, 1]]


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_offline_and_wrong(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with downloads.offline():
        message = refused("hf", "somebody/nothing-of-this-name")
    assert "`somebody/nothing-of-this-name` is not at hand, and `--offline`" in message
    (tmp_path / "a").mkdir()
    assert "could not be opened" in refused("hf", tmp_path / "a")


def test_hugging_face_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "state.json").write_text("{}")
    assert "not installed; pip install bench-harness[hf]" in refused("hf", tmp_path)


# Archives and downloads


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"top/{file.relative_to(folder)}")
        archive.writestr("__MACOSX/._top", b"x")
    return path


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    path = zipped(put(tmp_path / "set", "a/1.png", "b/1.png"), tmp_path / "set.zip")
    assert hints("archive", path) is None
    splits = load("archive", path)
    assert splits.classes == ["a", "b"]
    assert splits.train.names == ["a/1.png", "b/1.png"]
    unpacked = splits.train.paths[0]
    before = unpacked.stat().st_mtime_ns
    assert load("archive", path).train.paths[0] == unpacked
    assert unpacked.stat().st_mtime_ns == before
    assert located("archive", path) == [path]
    found = hints("archive", path)
    assert found is not None
    assert found.train == 2
    # Another content is another folder, under whatever name it comes.
    zipped(put(tmp_path / "set", "c/1.png"), path)
    os.utime(path, (1, 1))
    assert load("archive", path).classes == ["a", "b", "c"]


def test_what_archives_may_hold(tmp_path: Path) -> None:
    rows = (("image", "label"), ("1", "x"), ("2", "y"))
    labelled = put(tmp_path / "table", "images/1.png", "images/2.png")
    table(labelled / "train.csv", *rows)
    lone = put(tmp_path / "lone", "images/1.png", "images/2.png")
    table(lone / "labels.csv", *rows)
    flat = tmp_path / "pixels"
    head = ["label", *(f"pixel{index}" for index in range(25))]
    table(flat / "x_train.csv", head, *pixel_rows(random_images(2, 5, 5), [0, 1]))
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    np.savez(arrays / "set.npz", x=random_images(2, 5, 5), y=[0, 1])
    beside = put(tmp_path / "beside", "a/1.png", "b/1.png")
    table(beside / "notes.csv", ("note",), ("x",))
    folders = {
        "csv": labelled,
        "npz": arrays,
        "idx": write_idx(tmp_path / "idx"),
        "folder": beside,
        "imagenet": write_imagenet(tmp_path / "imagenet", "ILSVRC/Data/CLS-LOC").parents[2],
    }
    for layout, folder in (*folders.items(), ("csv", lone), ("csv", flat)):
        assert detect.detect(folder) == layout
        archive = tmp_path / f"{folder.name}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, "top")
        assert len(load("archive", archive).classes) >= 2


def test_archives_that_are_wrong(tmp_path: Path) -> None:
    assert "check the path" in refused("archive", tmp_path / "gone.zip")
    assert "is a folder; write `folder:`" in refused("archive", tmp_path)
    (tmp_path / "text.bin").write_text("x")
    assert "is no zip or tar file, no .npz and no .csv" in refused("archive", tmp_path / "text.bin")
    (tmp_path / "text.zip").write_text("x")
    assert "is damaged or no archive" in refused("archive", tmp_path / "text.zip")
    (tmp_path / "text.zip").write_bytes(b"PK\x03\x04 and so on")
    assert "is damaged or no archive" in refused("archive", tmp_path / "text.zip")
    (tmp_path / "page").write_bytes(b"PK\x03\x04 and so on")
    assert "is damaged or no archive" in refused("archive", tmp_path / "page")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))
    assert "climbs out of its folder" in refused("archive", tmp_path / "evil.tar")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the folder `web` on this machine and return its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "web").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_address(tmp_path: Path, web: str) -> None:
    path = zipped(put(tmp_path / "set", "a/1.png", "b/1.png"), tmp_path / "web" / "set.zip")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    url = f"{web}/set.zip"
    assert located("url", url) == []
    with downloads.offline():
        assert "set.zip` is not at hand, and `--offline`" in refused("url", url)
    with pytest.warns(UserWarning, match=f"nothing vouches for `set.zip`; write #sha256={sha256}"):
        assert load("url", url).classes == ["a", "b"]
    path.unlink()
    with downloads.offline():
        assert load("url", f"{url}#sha256={sha256}").classes == ["a", "b"]
    assert len(located("url", url)) == 1
    found = hints("url", url)
    assert found is not None
    assert found.train == 2


def test_a_web_address_of_arrays(tmp_path: Path, web: str) -> None:
    stream = io.BytesIO()
    np.savez(stream, x=random_images(2, 5, 5), y=[0, 1])
    (tmp_path / "web" / "download").write_bytes(stream.getvalue())
    sha256 = hashlib.sha256(stream.getvalue()).hexdigest()
    assert load("url", f"{web}/download#sha256={sha256}").train[0].shape == (2, 5, 5)
    with pytest.raises(bench.DataError, match="has SHA256"):
        load("url", f"{web}/download#sha256={'0' * 64}")


@pytest.mark.parametrize("text", ["ftp://host/x", "set.zip", "https://h/x#md5=1", "https://h/x#"])
def test_a_web_address_that_is_none(text: str) -> None:
    address = BY_NAME["url"].address
    assert address is not None
    with pytest.raises(bench.UsageError, match=r"is no (web address|hash); write"):
        address(text)
    good = f"https://host/x.zip#sha256={'a' * 64}"
    assert address(good) == good
