from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench
from bench import datastore, decoding, files
from bench.errors import ConfigError, DataError, PluginError, StoreError
from bench.geometry import Request
from bench.records import ComponentRef
from bench.registry import Offer, Plugin
from bench.specs import Task
from bench.stored import StoredDataset, open_stored

PLUGIN = Plugin("acme", "acme-dist", "1.0", "acme")
WHERE = "dataset `shapes` of plugin `acme` (acme-dist 1.0)"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep stored datasets in a folder of the test's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def offer_of(load: Any, **fields: Any) -> Offer:
    return Offer(bench.Dataset(name="shapes", load=load, **fields), PLUGIN)


def prepare(load: Any, request: Request | None = None, **fields: Any) -> StoredDataset:
    params = fields.pop("params", {})
    offer = offer_of(load, **fields)
    return datastore.prepare(offer, ComponentRef("shapes", "acme", params), request)


def store(request: Request | None = None, **splits: Any) -> StoredDataset:
    """Store what a plugin returns as these splits."""
    return prepare(lambda data_dir: bench.Splits(**splits), request)


def pairs(images: Any, labels: Any) -> list[tuple[bytes, Any]]:
    """Return images with their labels in an order that two collections can be compared in."""
    labels = np.asarray(labels).tolist()
    return sorted((np.asarray(i).tobytes(), k) for i, k in zip(images, labels, strict=True))


def stored_pairs(stored: StoredDataset, split: str = "train") -> list[tuple[bytes, Any]]:
    return pairs(stored.images(split)[np.arange(stored.counts[split])], stored.labels(split))


def read(stored: StoredDataset, split: str = "train") -> Any:
    """Return the images of a split in the order of their labels, which are to be distinct."""
    return stored.images(split)[np.argsort(stored.labels(split))]


def arrays(count: int = 6, shape: tuple[int, ...] = (4, 5), classes: int = 2, seed: int = 0) -> Any:
    images = np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)
    return images, np.arange(count) % classes


class Items:
    """A dataset in the manner of torchvision, which can be asked for one item at a time only."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def pictures(mode: str, images: Any) -> Items:
    return Items([(Image.fromarray(i).convert(mode), k) for k, i in enumerate(images)])


# What can be stored


def test_arrays_are_stored_as_they_are() -> None:
    train, test, val = arrays(6), arrays(4, seed=1), arrays(2, seed=2)
    stored = store(train=train, test=test, val=val, classes=["a", "b"])
    assert stored.classes == ("a", "b")
    assert stored.image_shape == (4, 5, 1)
    assert stored.counts == {"train": 6, "val": 2, "test": 4}
    for split, (images, labels) in {"train": train, "test": test, "val": val}.items():
        read_images, read_labels = stored.images(split), stored.labels(split)
        assert isinstance(read_images, np.memmap)
        assert (read_images.dtype, read_labels.dtype) == (np.uint8, np.int64)
        assert read_images.shape == (*images.shape, 1)
        assert pairs(read_images, read_labels) == pairs(images, labels)


def test_stored_images_cannot_be_changed_by_a_run() -> None:
    images: Any = store(train=arrays(), test=arrays()).images("train")
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_a_missing_val_split_stays_missing() -> None:
    assert {*store(train=arrays(), test=arrays()).counts} == {"train", "test"}


def test_a_missing_test_split_stays_missing() -> None:
    assert {*store(train=arrays(), val=arrays(2)).counts} == {"train", "val"}


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_gray_images_have_one_channel(shape: tuple[int, ...]) -> None:
    stored = store(train=arrays(shape=shape), test=arrays(shape=shape))
    assert stored.image_shape == (4, 5, 1)


def test_colour_images_have_three() -> None:
    stored = store(train=arrays(shape=(4, 5, 3)), test=arrays(shape=(4, 5, 3)))
    assert stored.image_shape == (4, 5, 3)


def test_classes_without_names_are_called_by_their_labels() -> None:
    assert store(train=arrays(classes=3), test=arrays()).classes == ("0", "1", "2")


def test_a_named_class_may_lack_images() -> None:
    assert len(store(train=arrays(), test=arrays(), classes="abc").classes) == 3


@pytest.mark.parametrize("convert", [list, lambda labels: labels.astype(np.uint8), tuple])
def test_labels_may_be_any_integers(convert: Any) -> None:
    images, labels = arrays()
    stored = store(train=(images, convert(labels)), test=arrays())
    assert stored.labels("train").dtype == np.int64
    assert stored_pairs(stored) == pairs(images, labels)


def test_tensors_are_taken_as_arrays() -> None:
    torch = pytest.importorskip("torch")
    images, labels = arrays()
    stored = store(train=(torch.tensor(images), torch.tensor(labels)), test=arrays())
    assert stored.fingerprint == store(train=arrays(), test=arrays()).fingerprint


def test_items_are_read_one_by_one() -> None:
    images, labels = arrays(shape=(4, 5, 3))
    items = Items(list(zip(images, labels.tolist(), strict=True)))
    assert stored_pairs(store(train=items, test=items)) == pairs(images, labels)


def test_two_items_are_no_pair_of_arrays() -> None:
    images, _ = arrays(2)
    two = [(images[0], 0), (images[1], 1)]
    assert store(train=two, test=tuple(two)).counts == {"train": 2, "test": 2}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "YCbCr", "HSV", "P", "LA"])
def test_pictures_of_every_mode_become_colour(mode: str) -> None:
    images, _ = arrays(shape=(4, 5, 3))
    content = pictures(mode, images)
    expected = [np.asarray(picture.convert("RGB")) for picture, _ in content.items]
    assert np.array_equal(read(store(train=content, test=content)), np.stack(expected))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_laid_over_white(mode: str) -> None:
    picture = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    content = Items([(picture.convert(mode), 0), (picture.convert(mode), 1)])
    found = read(store(train=content, test=content))
    assert found[0].tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_gray_pictures_stay_gray() -> None:
    images, _ = arrays()
    found = read(store(train=pictures("L", images), test=arrays()))
    assert np.array_equal(found[..., 0], images)


def test_black_and_white_pictures_use_the_whole_range() -> None:
    images = np.zeros((2, 4, 5), np.uint8)
    images[:, 0] = 255
    found = read(store(train=pictures("1", images), test=arrays()))
    assert np.array_equal(found[..., 0], images)


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_pictures_of_sixteen_bits_keep_their_range(mode: str) -> None:
    values = np.array([[0, 256, 32768, 65535]] * 4, np.uint16)
    picture = Image.fromarray(values)
    if mode == "I":
        picture = Image.fromarray(values.astype(np.int32))
    assert picture.mode == mode
    content = Items([(picture, 0), (picture, 1)])
    found = read(store(train=content, test=arrays(shape=(4, 4))))
    assert found[0, 0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("values", [np.float32([[0.5]]), np.int32([[70_000]]), np.int32([[-1]])])
def test_pictures_without_a_known_range_are_refused(values: Any) -> None:
    with pytest.raises(
        DataError, match=r"item 0 cannot be read: ValueError: .*a picture of 8 bits"
    ):
        store(train=Items([(Image.fromarray(values), 0)]), test=GOOD)


def test_one_colour_picture_makes_all_of_them_colour() -> None:
    gray, colour = np.full((4, 5), 7, np.uint8), np.full((4, 5, 3), 9, np.uint8)
    content = Items([(Image.fromarray(gray), 0), (Image.fromarray(colour), 1)])
    found = read(store(train=content, test=content))
    assert found.shape == (2, 4, 5, 3)
    assert (found[0] == 7).all()
    assert (found[1] == 9).all()


@pytest.mark.parametrize("as_array", [False, True])
def test_unequal_sizes_are_resized_and_cropped(as_array: bool) -> None:
    # Wide and tall images with a bright middle, which the centre crop keeps.
    wide, tall = np.zeros((8, 24, 3), np.uint8), np.zeros((24, 8, 3), np.uint8)
    wide[:, 8:16], tall[8:16] = 200, 200
    convert = np.asarray if as_array else Image.fromarray
    content = Items([(convert(wide), 0), (convert(tall), 1)])
    stored = store(train=content, test=content, image_size=4)
    assert stored.image_shape == (4, 4, 3)
    found = read(stored)
    assert (found[:, 1:3, 1:3] > 190).all()
    assert (found > 90).all()


def test_small_images_are_enlarged() -> None:
    content = Items([(Image.new("L", (2, 3 + k), 5), k) for k in range(2)])
    stored = store(train=content, test=content, image_size=4)
    assert stored.image_shape == (4, 4, 1)
    assert (read(stored) == 5).all()


@pytest.mark.parametrize(
    ("request_", "image_size", "expected"),
    [
        (None, None, 6),
        (None, 4, 4),
        (Request(size=5), None, 5),
        (Request(size=5), 4, 5),
    ],
)
def test_images_that_differ_come_to_the_size_wanted_most(
    request_: Request | None, image_size: int | None, expected: int
) -> None:
    # The shorter edges are 5, 6 and 9: their median decides where nobody else does.
    shapes = [(5, 9), (8, 6), (9, 9)]
    images = [np.full(shape, 7 * k, np.uint8) for k, shape in enumerate(shapes)]
    content = Items([(image, k) for k, image in enumerate(images)])
    stored = store(request_, train=content, test=content, image_size=image_size)
    assert stored.image_shape == (expected, expected, 1)
    assert stored.resize == "crop"
    assert [int(image.max()) for image in read(stored)] == [0, 7, 14]


def test_images_that_differ_are_stored_no_larger_than_224() -> None:
    content = Items([(np.zeros((300 + k, 300), np.uint8), k) for k in range(2)])
    assert store(train=content, test=content).image_shape == (224, 224, 1)


@pytest.mark.parametrize(("edge", "expected"), [(128, (128, 100, 1)), (129, (100, 100, 1))])
def test_images_of_one_size_stay_as_they_are_up_to_a_size(
    edge: int, expected: tuple[int, int, int]
) -> None:
    alike = np.zeros((2, edge, 100), np.uint8), np.arange(2)
    assert store(train=alike, test=alike).image_shape == expected


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_images_that_differ_are_resized_as_asked(resize: Any) -> None:
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((6, 9), (8, 4))]
    content = Items([(image, k) for k, image in enumerate(images)])
    stored = store(Request(size=5, resize=resize), train=content, test=content)
    expected = [decoding.fit(image, 5, resize) for image in images]
    assert np.array_equal(read(stored), np.stack(expected))


def test_splits_that_differ_in_size_come_to_one() -> None:
    stored = store(train=arrays(shape=(4, 4)), test=arrays(shape=(6, 6)), image_size=5)
    assert stored.images("train").shape == stored.images("test").shape == (6, 5, 5, 1)


@pytest.mark.parametrize(("color", "channels"), [("auto", 1), ("gray", 1), ("rgb", 3)])
def test_gray_images_get_the_channels_asked_for(color: str, channels: int) -> None:
    stored = store(Request(color=color), train=arrays(), test=arrays())
    assert stored.image_shape == (4, 5, channels)
    found = stored.images("train")[np.arange(6)]
    assert pairs(found[..., 0], stored.labels("train")) == pairs(*arrays())


def test_one_content_at_two_sizes_has_one_fingerprint_and_two_variants() -> None:
    content = Items([(np.full((5 + k, 9), k, np.uint8), k) for k in range(2)])
    small = store(Request(size=4), train=content, test=content)
    large = store(Request(size=8), train=content, test=content)
    assert small.fingerprint == large.fingerprint
    assert (small.variant, large.variant) == ("4x4x1-crop", "8x8x1-crop")
    assert open_stored(small.fingerprint, small.variant) == small
    assert np.array_equal(small.labels("train"), large.labels("train"))


# Tasks


@pytest.mark.parametrize(
    ("labels", "fields", "task"),
    [
        (np.arange(6) % 2, {}, Task.BINARY),
        (np.arange(6) % 3, {}, Task.MULTI_CLASS),
        (np.eye(6, 3, dtype=int), {}, Task.MULTI_LABEL),
        (
            np.arange(6) % 2,
            {"classes": ("cat", "oak"), "taxonomy": (("animal", "cat"), ("plant", "oak"))},
            Task.HIERARCHICAL,
        ),
    ],
)
def test_labels_tell_the_task(labels: Any, fields: dict[str, Any], task: Task) -> None:
    given = arrays()[0], labels
    stored = store(train=given, test=given, **fields)
    assert stored.task is task
    assert stored.taxonomy == fields.get("taxonomy", ())
    assert stored_pairs(stored) == pairs(*given)


@pytest.mark.parametrize("as_items", [False, True])
def test_an_image_may_have_any_number_of_labels(as_items: bool) -> None:
    images, labels = arrays()[0], np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 0], [1, 1]])
    listed = Items([(i, k.tolist()) for i, k in zip(images, labels, strict=True)])
    given = listed if as_items else (images, labels)
    stored = store(train=given, test=given, classes=("a", "b"))
    assert stored.labels("train").dtype == np.uint8
    assert stored_pairs(stored) == pairs(images, labels)


# What cannot


class Unreadable(Items):
    """A dataset whose second file is broken."""

    def __getitem__(self, index: int) -> Any:
        if index == 1:
            raise OSError("image file is truncated (3 bytes not processed)")
        return super().__getitem__(index)


class Truncated:
    """An item that is a picture, decoded only when its pixels are asked for."""

    def __init__(self, path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:600])
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return Image.open(self.path), 0


GOOD = arrays()


def labelled(*labels: Any) -> Any:
    return np.zeros((len(labels), 4, 5), np.uint8), np.array(labels)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": None, "test": GOOD}, "has no train split"),
        ({"train": 3, "test": GOOD}, "train is int; it must be a pair of arrays, bench.Files or"),
        ({"train": arrays(0), "test": GOOD}, "train is empty"),
        ({"train": Items([]), "test": GOOD}, "train is empty"),
        ({"train": GOOD, "test": arrays(0)}, "test is empty"),
        ({"train": GOOD, "test": GOOD, "val": []}, "val is empty"),
        ({"train": labelled(0, 2), "test": GOOD, "classes": "ab"}, "train holds label 2, but 2 "),
        ({"train": labelled(0, -1), "test": GOOD, "classes": "ab"}, "train holds label -1, but 2"),
        ({"train": GOOD, "test": labelled(0, 2)}, "test holds label 2, but 2 classes are labelled"),
        ({"train": GOOD, "test": GOOD, "val": labelled(7)}, "val holds label 7"),
        ({"train": labelled(0.0, 1.0), "test": GOOD}, "train labels are float64; integers"),
        ({"train": labelled("a", "b"), "test": GOOD}, "train labels are <U1; integers"),
        ({"train": labelled(True, False), "test": GOOD}, "train labels are bool; integers"),
        ({"train": labelled(0, 0), "test": GOOD}, "has 1 class; two or more are needed"),
        ({"train": GOOD, "test": GOOD, "classes": ["one"]}, "has 1 class; two or more are needed"),
        ({"train": (GOOD[0], GOOD[1][:3]), "test": GOOD}, "6 images, but labels of shape (3,)"),
        ({"train": (GOOD[0], np.zeros((6, 2, 1), int)), "test": GOOD}, "labels of shape (6, 2, 1)"),
        ({"train": (GOOD[0], np.eye(6, dtype=int)), "test": GOOD}, "test and train are labelled"),
        (
            {"train": (GOOD[0], 2 * np.eye(6, 2, dtype=int)), "test": GOOD},
            "train holds 2 among labels of 0 and 1 by class",
        ),
        (
            {"train": (GOOD[0], -np.eye(6, 2, dtype=int)), "test": GOOD},
            "train holds -1 among labels of 0 and 1 by class",
        ),
        (
            {k: (GOOD[0], np.eye(6, n, dtype=int)) for k, n in (("train", 3), ("test", 2))},
            "test has 2 labels an image, train has 3",
        ),
        (
            {"train": GOOD, "test": GOOD, "classes": "ab", "taxonomy": [["x", "a"]]},
            "has 2 classes, but a taxonomy of 1 paths",
        ),
        ({"train": (GOOD[0] / 255, GOOD[1]), "test": GOOD}, "train images are float64; uint8"),
        ({"train": arrays(shape=(4,)), "test": GOOD}, "train images have shape (6, 4)"),
        ({"train": arrays(shape=(4, 5, 2)), "test": GOOD}, "train images have shape (6, 4, 5, 2)"),
        ({"train": Items([3, 4]), "test": GOOD}, "train: item 0 is no pair of image and label"),
        ({"train": Items([(1, 2, 3)]), "test": GOOD}, "item 0 is no pair of image and label"),
        (
            {"train": Items([(np.zeros((4, 5), np.uint8), 0), ("text", 1)]), "test": GOOD},
            "train: item 1 is no image",
        ),
        (
            {"train": Items([(np.zeros((4, 5, k), np.uint8), 0) for k in (3, 4)]), "test": GOOD},
            "train: item 1 has shape (4, 5, 4)",
        ),
        (
            {"train": Items([(np.zeros((4, 5), np.uint8), k) for k in (0, "a")]), "test": GOOD},
            "train: item 1 has label 'a'; an integer, or 0 and 1 by class, is needed",
        ),
        (
            {"train": Items([(np.zeros((4, 5), np.uint8), k) for k in (0.0, 1.0)]), "test": GOOD},
            "train: item 0 has label 0.0; an integer, or 0 and 1 by class, is needed",
        ),
        (
            {"train": Items([(np.zeros((4, 5), np.uint8), [0.5, 1])]), "test": GOOD},
            "train: item 0 has label [0.5, 1]; an integer, or 0 and 1 by class, is needed",
        ),
        (
            {"train": Items([(np.zeros((3, 4, 5), np.uint8), 0)]), "test": GOOD},
            "train: item 0 has shape (3, 4, 5); (H, W), (H, W, 1) or (H, W, 3) is needed",
        ),
        (
            {"train": Items([(np.zeros((4, 5)), k) for k in (0, 1)]), "test": GOOD},
            "train: item 0 is float64; uint8 is needed",
        ),
        ({"train": Items([(None, 0)]), "test": GOOD}, "train: item 0 is no image"),
    ],
)
def test_what_a_plugin_returns_is_checked(splits: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        store(**splits)
    text = str(caught.value)
    assert text.startswith(WHERE)
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize("returned", [None, 3, (GOOD, GOOD), {"train": GOOD}])
def test_only_splits_are_splits(returned: Any) -> None:
    with pytest.raises(PluginError, match=r"returned .*, not bench\.Splits"):
        prepare(lambda data_dir: returned)


def test_an_unreadable_item_is_named(tmp_path: Path) -> None:
    items = [(np.zeros((4, 5), np.uint8), 0)] * 3
    contents = {
        "train: item 1 cannot be read: OSError: image file is truncated": Unreadable(items),
        "train: item 0 cannot be read": Truncated(tmp_path / "half.jpg"),
    }
    for message, content in contents.items():
        with pytest.raises(DataError) as caught:
            store(train=content, test=GOOD)
        assert str(caught.value).startswith(f"{WHERE}: {message}")


def test_a_load_that_fails_is_a_data_error_with_its_reason() -> None:
    def load(data_dir: Path | None) -> bench.Splits:
        raise FileNotFoundError("no\nsuch file")

    with pytest.raises(DataError) as caught:
        prepare(load)
    assert str(caught.value) == f"{WHERE} could not be loaded: FileNotFoundError: no such file"


def test_an_error_of_the_plugins_own_is_kept() -> None:
    def load(data_dir: Path | None) -> bench.Splits:
        raise DataError("pass --data-dir")

    with pytest.raises(DataError, match=r"^pass --data-dir$"):
        prepare(load)


def test_nothing_is_left_of_a_dataset_that_was_refused(cache: Path) -> None:
    with pytest.raises(PluginError):
        store(train=GOOD, test=labelled(9))
    assert not [*(cache / "datasets").glob("*")]
    assert not [*cache.glob("sources/*.json")]


def test_a_store_that_cannot_be_written_says_how_to_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    cache.mkdir()
    (cache / "datasets").write_text("in the way")
    with pytest.raises(StoreError, match="BENCH_CACHE names another folder"):
        store(train=GOOD, test=GOOD)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot write"):
        store(train=GOOD, test=GOOD)


# Fingerprints


def test_the_fingerprint_is_that_of_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store(train=arrays(), test=arrays(4))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "another"))
    assert store(train=arrays(), test=arrays(4)).fingerprint == first.fingerprint
    images, labels = arrays()
    listed = Items(list(zip(images, labels.tolist(), strict=True)))
    again = store(train=listed, test=arrays(4), classes=["0", "1"])
    assert again.fingerprint == first.fingerprint


def test_the_fingerprint_does_not_change_from_version_to_version() -> None:
    # Were it to change without need, all results would be computed again.
    images = np.arange(6 * 20, dtype=np.uint8).reshape(6, 4, 5)
    stored = store(train=(images, np.arange(6) % 2), test=(images, np.arange(6) % 2))
    assert stored.fingerprint == "5065837edb034abb16d8fee7a2cd8cbd"


def test_the_order_of_the_items_does_not_matter() -> None:
    images, labels = arrays(40)
    first = store(train=(images, labels), test=arrays(4))
    order = np.random.default_rng(1).permutation(40)
    again = store(train=(images[order], labels[order]), test=arrays(4))
    assert again == first


def test_one_image_under_several_labels_has_a_place_of_its_own_for_each() -> None:
    images = np.repeat(arrays(3)[0], 2, 0)
    labels = np.tile([0, 1], 3)
    first = store(train=(images, labels), test=arrays(4))
    again = store(train=(images[::-1], labels[::-1]), test=arrays(4))
    assert again == first
    assert stored_pairs(first) == pairs(images, labels)


def test_everything_in_it_counts() -> None:
    images, labels = arrays()
    changed = images.copy()
    changed[-1, -1, -1] ^= 1
    variants: list[dict[str, Any]] = [
        {},
        {"train": (changed, labels)},
        {"train": (images, 1 - labels)},
        {"train": (images.reshape(6, 5, 4), labels), "test": arrays(4, (5, 4))},
        {"test": arrays(5)},
        {"val": arrays(2)},
        {"classes": ["a", "b"]},
        {"classes": ["b", "a"]},
        {"classes": ["a", "b", "c"]},
        {"train": arrays(4), "test": (images, labels)},
    ]
    plain = {"train": (images, labels), "test": arrays(4)}
    prints = [store(**{**plain, **variant}).fingerprint for variant in variants]
    assert len({*prints}) == len(prints)


# Preparing once


class Loader:
    """A `load` and a `locate` that count their calls."""

    def __init__(self, *files: Path) -> None:
        self.calls = 0
        self.files = files

    def load(self, data_dir: Path | None, *, count: int = 6) -> bench.Splits:
        self.calls += 1
        return bench.Splits(train=arrays(count), test=arrays(4))

    def locate(self, data_dir: Path | None, *, count: int = 6) -> list[Path]:
        return [*self.files]

    def prepare(self, **params: Any) -> StoredDataset:
        return prepare(self.load, locate=self.locate, params={"count": 6, **params})

    def recall(self, **params: Any) -> StoredDataset | None:
        ref = ComponentRef("shapes", "acme", {"count": 6, **params})
        return datastore.recall(offer_of(self.load, locate=self.locate), ref, Request())


def test_a_dataset_is_loaded_once_and_recalled_without_loading() -> None:
    loader = Loader()
    assert loader.recall() is None
    first = loader.prepare()
    assert loader.prepare() == loader.recall() == first
    assert loader.calls == 1


def test_other_params_are_another_source() -> None:
    loader = Loader()
    first = loader.prepare()
    assert loader.recall(count=8) is None
    second = loader.prepare(count=8)
    assert (loader.calls, second.counts["train"]) == (2, 8)
    assert loader.recall() == first


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"some data")
    loader = Loader(path)
    loader.prepare()
    path.write_bytes(b"more data than before")
    assert loader.recall() is None
    loader.prepare()
    assert loader.calls == 2
    os.utime(path, ns=(0, 0))  # touched, with content of the same length
    assert loader.recall() is None
    loader.prepare()
    assert loader.calls == 3
    assert len([*files.cache_folder().glob("datasets/*/about.json")]) == 1


def test_a_file_that_loading_brings_is_stamped(tmp_path: Path) -> None:
    path = tmp_path / "download.bin"
    loader = Loader()

    def load(data_dir: Path | None) -> bench.Splits:
        path.write_bytes(b"fetched")
        loader.files = (path,)
        return loader.load(data_dir)

    fields = {"locate": lambda data_dir: [*loader.files]}
    first = prepare(load, **fields)
    ref = ComponentRef("shapes", "acme", {})
    assert datastore.recall(offer_of(load, **fields), ref, Request()) == first
    path.write_bytes(b"fetched anew")
    assert datastore.recall(offer_of(load, **fields), ref, Request()) is None


def test_the_data_folder_is_handed_to_the_plugin(tmp_path: Path) -> None:
    seen: list[Any] = []

    def load(data_dir: Path | None) -> bench.Splits:
        seen.append(data_dir)
        return bench.Splits(train=GOOD, test=GOOD)

    def locate(data_dir: Path | None) -> list[Path]:
        seen.append(data_dir)
        return []

    prepare(load, Request(tmp_path), locate=locate)
    assert {*seen} == {tmp_path}


@pytest.mark.parametrize(
    "damage",
    [
        "cut the note",
        "drop the data",
        "drop the labels",
        "drop the variant",
        "cut the images",
        "cut the rest",
        "cut the variant",
    ],
)
def test_a_damaged_store_is_made_again(damage: str) -> None:
    loader = Loader()
    first = loader.prepare()
    if damage == "cut the note":
        (note,) = (
            path
            for path in files.cache_folder().glob("sources/*.json")
            if not path.name.endswith(".names.json")
        )
        note.write_text('{"finger')
    elif damage == "drop the data":
        shutil.rmtree(first.folder)
    elif damage == "drop the labels":
        (first.folder / "train.labels.npy").unlink()
    elif damage == "cut the images":
        os.truncate(first.folder / first.variant / "train.images.npy", 100)
    elif damage == "drop the variant":
        shutil.rmtree(first.folder / first.variant)
    elif damage == "cut the variant":
        (first.folder / first.variant / "about.json").write_text("{}")
    else:
        (first.folder / "about.json").write_text("{}")
    assert loader.recall() is None
    again = loader.prepare()
    assert again == first
    assert stored_pairs(again) == pairs(*arrays())


def test_an_unknown_fingerprint_is_a_store_error() -> None:
    with pytest.raises(StoreError, match=r"dataset beef \(4x5x1\) is not in"):
        open_stored("beef", "4x5x1")


def test_an_unknown_variant_is_a_store_error() -> None:
    stored = store(train=GOOD, test=GOOD)
    with pytest.raises(StoreError, match=rf"dataset {stored.fingerprint} \(9x9x1\) is not in"):
        open_stored(stored.fingerprint, "9x9x1")


def test_a_description_is_plain_data() -> None:
    stored = store(train=GOOD, test=GOOD)
    plain = json.loads(json.dumps(datastore.describe(stored)))
    assert plain["folder"] == str(stored.folder)
    assert {*plain} == {field.name for field in dataclasses.fields(stored)}


# Files


def write_files(folder: Path, images: Any, suffix: str = "png") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index}.{suffix}" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def listed(folder: Path, images: Any, labels: Any) -> bench.Files:
    paths = write_files(folder, images)
    return bench.Files(paths, labels, [f"{folder.name}/{path.name}" for path in paths])


class Folder:
    """A dataset of image files, with all that can be asked of one."""

    def __init__(self, root: Path, **splits: Any) -> None:
        self.files = {split: listed(root / split, *given) for split, given in splits.items()}
        paths = [path for each in self.files.values() for path in each.paths]
        self.offer = offer_of(
            lambda data_dir: bench.Splits(**self.files), locate=lambda data_dir: paths
        )
        self.ref = ComponentRef("shapes", "acme", {})

    def path(self, split: str, index: int) -> Path:
        return Path(self.files[split].paths[index])

    def prepare(self, request: Request) -> StoredDataset:
        return datastore.prepare(self.offer, self.ref, request)

    def notes(self, request: Request) -> list[str]:
        return datastore.notes(self.offer, self.ref, request)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_files_are_stored_as_arrays_are(tmp_path: Path, shape: tuple[int, ...]) -> None:
    given = arrays(shape=shape)
    folder = Folder(tmp_path, train=given, test=given)
    stored = folder.prepare(Request())
    assert stored == store(train=given, test=given)
    assert stored_pairs(stored) == pairs(*given)
    assert folder.notes(Request()) == [
        "6 image(s) of `shapes` come more than once, 6 in more than one split: "
        "see `bench data check`"
    ]


def test_what_items_are_called_follows_their_stored_order(tmp_path: Path) -> None:
    images, labels = arrays(12)
    folder = Folder(tmp_path, train=(images, labels), test=arrays(4, seed=1))
    stored = folder.prepare(Request())
    names = datastore.names(folder.offer, folder.ref, Request())
    assert {*names} == {"train", "test"}
    for name, image in zip(names["train"], stored.images("train")[np.arange(12)], strict=True):
        assert name.startswith("train/")
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), image[..., 0])


def test_a_file_that_cannot_be_read_is_named_or_left_out(tmp_path: Path) -> None:
    folder = Folder(tmp_path, train=arrays(6), test=arrays(4, seed=1))
    whole = folder.path("train", 3)
    whole.write_bytes(whole.read_bytes()[:45])
    folder.path("test", 2).write_text("no image")
    # The headers tell of one, and before anything is decoded; only decoding tells of the other.
    with pytest.raises(DataError, match=r"test/2\.png` is no image .*`--on-bad skip` leaves such"):
        folder.prepare(Request())
    request = Request(on_bad="skip")
    stored = folder.prepare(request)
    assert stored.counts == {"train": 5, "test": 3}
    images, labels = arrays(6)
    kept = np.arange(6) != 3
    assert stored_pairs(stored) == pairs(images[kept], labels[kept])
    [note] = folder.notes(request)
    assert note.startswith("2 file(s) of `shapes` cannot be read and are left out: ")
    assert "train/3.png" in note
    assert "test/2.png" in note
    only_train = Folder(tmp_path / "other", train=arrays(6), test=arrays(4, seed=1))
    whole = only_train.path("train", 3)
    whole.write_bytes(whole.read_bytes()[:45])
    with pytest.raises(DataError, match=r"train/3\.png` is damaged: "):
        only_train.prepare(Request())
    # Those that can be read are a dataset of their own, the same as if the others were not there.
    without = store(
        train=(images[kept], labels[kept]),
        test=tuple(np.delete(a, 2, 0) for a in (arrays(4, seed=1))),
    )
    assert without.fingerprint == stored.fingerprint


def test_a_split_of_nothing_but_bad_files_is_an_error_even_so(tmp_path: Path) -> None:
    folder = Folder(tmp_path, train=arrays(6), test=arrays(2, seed=1))
    for index in range(2):
        folder.path("test", index).write_text("no image")
    with pytest.raises(DataError, match=r"test/0\.png` is no image .*test/1\.png`"):
        folder.prepare(Request(on_bad="skip"))


def test_a_list_leaves_files_out_by_name_or_by_path(tmp_path: Path) -> None:
    folder = Folder(tmp_path, train=arrays(6), test=arrays(4, seed=1))
    exclude = tmp_path / "exclude.txt"
    exclude.write_text(f"# bad ones\ntrain/1.png\n\n{folder.path('test', 0)}\n")
    request = Request(exclude=exclude)
    stored = folder.prepare(request)
    assert stored.counts == {"train": 5, "test": 3}
    images, labels = arrays(6)
    assert stored_pairs(stored) == pairs(np.delete(images, 1, 0), np.delete(labels, 1))
    [note] = folder.notes(request)
    assert note.endswith(f"2 file(s) of `shapes` are left out by `{exclude}`")
    # What the list says counts, not that there is one.
    exclude.write_text("train/1.png\n")
    assert folder.prepare(request).counts == {"train": 5, "test": 4}
    exclude.unlink()
    with pytest.raises(ConfigError, match=r"cannot read `.*exclude\.txt`"):
        folder.prepare(request)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_streamed_images_are_the_bits_of_stored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resize: Any
) -> None:
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (6 + k, 9, 3), np.uint8) for k in range(5)]
    given = images, np.arange(5) % 2
    folder = Folder(tmp_path, train=given, test=given)
    streamed = folder.prepare(Request(size=7, resize=resize, stream=True))
    assert streamed.streamed
    assert not [*streamed.folder.rglob("*.images.npy")]
    ids = np.array([4, 0, 0, 2])
    found = streamed.images("train")
    assert found.shape == (5, 7, 7, 3)
    pixels = found[ids]
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "another"))
    kept = folder.prepare(Request(size=7, resize=resize))
    assert not kept.streamed
    assert (kept.fingerprint, kept.variant) == (streamed.fingerprint, streamed.variant)
    assert np.array_equal(kept.images("train")[ids], pixels)
    assert np.array_equal(kept.labels("train"), streamed.labels("train"))


def test_a_streamed_file_that_has_gone_is_named(tmp_path: Path) -> None:
    folder = Folder(tmp_path, train=arrays(6), test=arrays(4, seed=1))
    images = folder.prepare(Request(stream=True)).images("train")
    folder.path("train", 2).unlink()
    with pytest.raises(DataError, match=r"train/2\.png` is not there"):
        images[np.arange(6)]


def test_images_without_labels_are_counted(tmp_path: Path) -> None:
    unlabelled = bench.Files(write_files(tmp_path / "new", arrays(3)[0]), ())
    offer = offer_of(
        lambda data_dir: bench.Splits(
            train=arrays(6), test=arrays(4, seed=1), unlabelled=unlabelled
        )
    )
    ref = ComponentRef("shapes", "acme", {})
    assert datastore.prepare(offer, ref).counts == {"train": 6, "test": 4}
    notes = datastore.notes(offer, ref, Request())
    assert notes == ["3 image(s) of `shapes` have no labels and are not used"]


def test_repeated_images_are_counted_with_their_conflicts_and_leaks() -> None:
    images, _ = arrays(4)
    # Image 0 comes twice with one label, image 1 with two; image 3 is in both splits.
    train = images[[0, 0, 1, 1, 2, 3]], np.array([0, 0, 0, 1, 0, 1])
    offer = offer_of(lambda data_dir: bench.Splits(train=train, test=(images[3:], np.array([1]))))
    ref = ComponentRef("shapes", "acme", {})
    datastore.prepare(offer, ref)
    [note] = datastore.notes(offer, ref, Request())
    assert note == (
        "3 image(s) of `shapes` come more than once, 1 of them under different labels, "
        "1 in more than one split: see `bench data check`"
    )


def test_progress_counts_every_item_once(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    offer = offer_of(lambda data_dir: bench.Splits(train=arrays(1500), test=arrays(20, seed=1)))
    ref = ComponentRef("shapes", "acme", {})
    datastore.prepare(offer, ref, Request(), lambda done, total: told.append((done, total)))
    done = [each for each, _ in told]
    assert done == sorted({*done})
    assert told[-1] == (1520, 1520)
    assert {total for _, total in told} == {1520}


# Two at once


def slow_load(data_dir: Path | None) -> bench.Splits:
    assert data_dir is not None
    with (data_dir / "loads").open("a") as file:
        file.write("x")
    return bench.Splits(train=arrays(2000, (16, 16)), test=arrays(500, (16, 16)))


def prepare_at_once(name: str, folder: str, barrier: Any, results: Any) -> None:
    """Prepare one content, as a source of this name, when all processes are ready."""
    offer = Offer(bench.Dataset(name=name, load=slow_load), PLUGIN)
    barrier.wait(60)
    try:
        stored = datastore.prepare(offer, ComponentRef(name, "acme", {}), Request(Path(folder)))
        images = stored.images("train")[np.arange(2000)]
        results.put((stored.fingerprint, int(images.astype(int).sum())))
    except BaseException as error:  # the parent waits for an answer
        results.put((repr(error), 0))


@pytest.fixture
def context() -> Any:
    """Processes that start afresh, as workers of two commands would."""
    return multiprocessing.get_context("spawn")


@pytest.mark.parametrize(("names", "loads"), [(("one", "one"), 1), (("one", "two"), 2)])
def test_two_processes_at_once_both_succeed(
    tmp_path: Path, context: Any, names: tuple[str, ...], loads: int
) -> None:
    barrier, results = context.Barrier(len(names)), context.Queue()
    processes = [
        context.Process(target=prepare_at_once, args=(name, str(tmp_path), barrier, results))
        for name in names
    ]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert answers[0] == answers[1]
    assert answers[0][1] == int(arrays(2000, (16, 16))[0].astype(int).sum())
    assert len((tmp_path / "loads").read_text()) == loads
    assert len([*files.cache_folder().glob("datasets/*/about.json")]) == 1
    assert not [*files.cache_folder().glob("datasets/.writing-*")]


def test_copies_of_a_folder_are_streamed_from_their_own_files(tmp_path: Path) -> None:
    """Same content, one fingerprint; but what happens to one copy is no matter to the other."""
    first = Folder(tmp_path / "a", train=arrays(6), test=arrays(4, seed=1))
    second = Folder(tmp_path / "b", train=arrays(6), test=arrays(4, seed=1))
    request = Request(stream=True)
    one, other = first.prepare(request), second.prepare(request)
    assert one.fingerprint == other.fingerprint
    assert one.files != other.files
    expected = one.images("train")[np.arange(6)]
    shutil.rmtree(tmp_path / "b")
    assert np.array_equal(one.images("train")[np.arange(6)], expected)
    with pytest.raises(StoreError):
        open_stored(other.fingerprint, other.variant, other.files)


def test_files_that_change_while_they_are_read_are_noticed(tmp_path: Path) -> None:
    folder = Folder(tmp_path, train=arrays(6), test=arrays(4, seed=1))

    def progress(done: int, total: int) -> None:
        os.utime(folder.path("train", 0), (1, 1))

    with pytest.raises(DataError, match="changed while they were read"):
        datastore.prepare(folder.offer, folder.ref, Request(), progress)
    assert folder.prepare(Request()).counts == {"train": 6, "test": 4}
