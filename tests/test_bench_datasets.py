from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bench
import bench_datasets
from bench import decoding, downloads, intake
from bench_datasets import digits, fashion_mnist, fashion_mnist_mini, idx
from bench_datasets.folders import download_folder
from bench_datasets.remote import Remote, fetch_all, remotes

DATASETS = {dataset.name: dataset for dataset in bench_datasets.register_datasets()}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every request to a port where nobody listens."""
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)


@pytest.fixture
def _no_system_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "absent")


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_mnist_like(
    folder: Path, prefixes: tuple[str, str] = ("train", "t10k"), suffix: str = ""
) -> dict[str, NDArray[np.uint8]]:
    """Write four IDX files, 20 training and 10 test images of 5x5 pixels in 10 classes."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    arrays = {}
    for prefix, count in zip(prefixes, (20, 10), strict=True):
        images = random.integers(0, 256, (count, 5, 5), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            path = folder / f"{prefix}-{kind}-ubyte{suffix}"
            path.write_bytes(gzip.compress(content) if suffix else content)
            arrays[f"{prefix}-{kind}"] = array
    return arrays


def write_image(path: Path, size: tuple[int, int] = (6, 6), level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


@dataclass
class Checked:
    """Splits that the core accepts: images (N, H, W, C) and labels by split, and class names."""

    arrays: dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]
    classes: tuple[str, ...]


def checked(splits: bench.Splits) -> Checked:
    taken = intake.receive(splits, "test")
    shapes = intake.survey(taken.parts, read=True).shapes
    assert shapes is not None
    arrays = {}
    for split, part in taken.parts.items():
        images, labels = [], []
        for index in range(len(part)):
            pixels, label = part.read(index)
            if shapes.uniform is None:
                pixels = decoding.fit(pixels, taken.image_size or shapes.edge, "crop")
            images.append(decoding.with_channels(pixels, 1 if shapes.gray else 3))
            labels.append(label)
        arrays[split] = (np.stack(images), np.array(labels))
    names = intake.class_names(taken, {split: labels for split, (_, labels) in arrays.items()})
    return Checked(arrays, names)


# What is offered


def test_one_dataset_is_the_default() -> None:
    assert [name for name, dataset in DATASETS.items() if dataset.default] == ["fashion-mnist-mini"]


def test_names_are_unique_and_all_are_described_and_hinted() -> None:
    assert len(DATASETS) == len(bench_datasets.register_datasets())
    for dataset in DATASETS.values():
        assert dataset.summary
        assert dataset.hints is not None
        # Of users' own images nothing is known that would recommend anything.
        if dataset.address:
            assert not dataset.recommends
        else:
            assert set(dataset.recommends) >= {"epochs", "batch_size"}


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys, bench_datasets; bench_datasets.register_datasets();"
        "heavy = {'torch', 'torchvision', 'numpy', 'PIL', 'sklearn', 'pandas', 'urllib.request'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    path = [entry for entry in sys.path if entry]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_torchvision_offers_every_named_reader() -> None:
    import torchvision.datasets

    from bench_datasets.torchvision_sets import DATASETS as sets

    for dataset in sets:
        source = dataset.load.args[0]  # type: ignore[attr-defined]
        assert hasattr(torchvision.datasets, source.reader)


# The embedded set


def test_mini_is_small_balanced_and_28_pixels() -> None:
    splits = checked(DATASETS["fashion-mnist-mini"].load(None))
    for split, per_class in (("train", 250), ("test", 100)):
        images, labels = splits.arrays[split]
        assert images.shape == (10 * per_class, 28, 28, 1)
        assert np.bincount(labels).tolist() == [per_class] * 10
    assert splits.classes == fashion_mnist.CLASSES
    assert fashion_mnist_mini.FILE.stat().st_size < 2_000_000


def test_mini_shares_no_image_between_its_splits() -> None:
    splits = DATASETS["fashion-mnist-mini"].load(None)
    train = {image.tobytes() for image in splits.train[0]}
    assert len(train) == 2500
    assert not any(image.tobytes() in train for image in splits.test[0])


def test_mini_is_part_of_the_full_set() -> None:
    full = fashion_mnist.locate(None)
    if not full:
        pytest.skip("the Debian package `dataset-fashion-mnist` is not installed")
    images, labels = idx.read_pair(full[2], full[3])
    with np.load(fashion_mnist_mini.FILE, allow_pickle=False) as arrays:
        indices = arrays["test_indices"]
        np.testing.assert_array_equal(arrays["test_images"], images[indices])
        np.testing.assert_array_equal(arrays["test_labels"], labels[indices])


def test_mini_notices_damage(tmp_path: Path) -> None:
    path = tmp_path / "mini.npz"
    content = bytearray(fashion_mnist_mini.FILE.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    shutil.copy(fashion_mnist_mini.FILE.with_suffix(".sha256"), tmp_path / "mini.sha256")
    with pytest.raises(bench.DataError, match=r"mini\.npz` is damaged.*install `bench-harness`"):
        fashion_mnist_mini.read(path)


def test_mini_notices_missing_files(tmp_path: Path) -> None:
    with pytest.raises(bench.DataError, match="cannot read the embedded data"):
        fashion_mnist_mini.read(tmp_path / "mini.npz")
    shutil.copy(fashion_mnist_mini.FILE, tmp_path / "mini.npz")
    with pytest.raises(bench.DataError, match=r"mini\.sha256"):
        fashion_mnist_mini.read(tmp_path / "mini.npz")
    (tmp_path / "mini.sha256").write_text("")
    with pytest.raises(bench.DataError, match="damaged"):
        fashion_mnist_mini.read(tmp_path / "mini.npz")


# IDX files


@pytest.mark.parametrize("compress", [False, True])
def test_idx_reads_plain_and_gzipped_files(tmp_path: Path, compress: bool) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = idx_bytes(array)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if compress else content)
    np.testing.assert_array_equal(idx.read(path), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file of bytes: it starts with nothing"),
        (b"\x89PNG....", "no IDX file of bytes: it starts with 89 50 4e 47"),
        (bytes([0, 0, 0x0D, 1, 0, 0, 0, 1]) + b"1234", "no IDX file of bytes"),
        (bytes([0, 0, 8, 0]), "no IDX file of bytes"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1]), "ends within its header"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 5]) + b"1234", "truncated: 4 bytes of data where 5"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 3]) + b"1234", "goes on after its end"),
        (gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 4]) + b"1234")[:-9], "ends before its time"),
        (b"\x1f\x8b" + b"\xff" * 20, "cannot read"),
    ],
)
def test_idx_says_what_is_wrong_with_a_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(bench.DataError, match=message) as caught:
        idx.read(path)
    assert "some-file" in str(caught.value)
    assert str(caught.value).endswith("fetch the file again")


def test_idx_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(bench.DataError, match=r"there is no file .*nothing"):
        idx.read(tmp_path / "nothing")


def test_idx_wants_as_many_labels_as_images(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx_bytes(np.zeros((3, 2, 2), np.uint8)))
    labels.write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(bench.DataError, match=r"3 images, but .* 4 labels"):
        idx.read_pair(images, labels)
    with pytest.raises(bench.DataError, match="swapped"):
        idx.read_pair(labels, images)
    with pytest.raises(bench.DataError, match="swapped"):
        idx.read_pair(images, images)


# The full Fashion-MNIST


@pytest.mark.parametrize("folder", ["", "fashion-mnist", "FashionMNIST/raw"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_fashion_mnist_reads_the_users_files(tmp_path: Path, folder: str, suffix: str) -> None:
    arrays = write_mnist_like(tmp_path / folder, suffix=suffix)
    dataset = DATASETS["fashion-mnist"]
    assert dataset.locate is not None
    located = dataset.locate(tmp_path)
    assert [path.parent for path in located] == [tmp_path / folder] * 4
    splits = dataset.load(tmp_path)
    np.testing.assert_array_equal(splits.train[0], arrays["train-images-idx3"])
    np.testing.assert_array_equal(splits.test[1], arrays["t10k-labels-idx1"])
    assert len(checked(splits).classes) == 10


@pytest.mark.usefixtures("_no_system_files")
def test_fashion_mnist_finds_what_was_downloaded_before() -> None:
    assert fashion_mnist.locate(None) == []
    write_mnist_like(download_folder() / "FashionMNIST" / "raw")
    assert len(fashion_mnist.locate(None)) == 4


def test_fashion_mnist_does_not_pass_over_half_of_the_users_files(tmp_path: Path) -> None:
    write_mnist_like(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(bench.DataError, match=r"put `t10k-labels-idx1-ubyte\.gz` there"):
        fashion_mnist.locate(tmp_path)


@pytest.mark.usefixtures("_no_system_files")
def test_fashion_mnist_is_read_as_it_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = write_mnist_like(tmp_path / "web", suffix=".gz")

    def copy(url: str, target: Path, *, md5: str) -> Path:
        assert url == f"{fashion_mnist.URL}{target.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "web" / target.name, target)
        return target

    monkeypatch.setattr(fashion_mnist, "fetch", copy)
    splits = fashion_mnist.load(None)
    np.testing.assert_array_equal(splits.train[0], arrays["train-images-idx3"])
    np.testing.assert_array_equal(splits.test[1], arrays["t10k-labels-idx1"])
    assert len(fashion_mnist.locate(None)) == 4


@pytest.mark.usefixtures("_offline", "_no_system_files")
def test_fashion_mnist_offline_names_the_ways_out() -> None:
    with pytest.raises(bench.DataError) as caught:
        fashion_mnist.load(None)
    message = str(caught.value)
    assert "\n" not in message
    assert "`--data-dir`" in message
    assert "`dataset-fashion-mnist`" in message


def test_fashion_mnist_of_debian() -> None:
    if not fashion_mnist.SYSTEM_FOLDER.is_dir():
        pytest.skip("the Debian package `dataset-fashion-mnist` is not installed")
    splits = fashion_mnist.load(None)
    assert splits.train[0].shape == (60_000, 28, 28)
    assert np.bincount(splits.train[1]).tolist() == [6_000] * 10
    assert np.bincount(splits.test[1]).tolist() == [1_000] * 10


# Digits


def test_digits_fill_the_range_and_have_no_test_split_of_their_own() -> None:
    splits = checked(digits.load(None))
    assert {*splits.arrays} == {"train"}
    train, labels = splits.arrays["train"]
    assert train.shape == (1797, 8, 8, 1)
    assert (int(train.min()), int(train.max())) == (0, 255)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert splits.classes == tuple("0123456789")


# The sets of torchvision


def test_mnist_from_files_at_hand(tmp_path: Path) -> None:
    dataset = DATASETS["mnist"]
    assert dataset.locate is not None
    assert dataset.locate(tmp_path) == []
    arrays = write_mnist_like(tmp_path / "MNIST" / "raw")
    assert len(dataset.locate(tmp_path)) == 4
    splits = checked(dataset.load(tmp_path))
    np.testing.assert_array_equal(splits.arrays["train"][0][..., 0], arrays["train-images-idx3"])
    np.testing.assert_array_equal(splits.arrays["test"][1], arrays["t10k-labels-idx1"])
    assert splits.classes[0] == "0 - zero"


def test_without_a_folder_the_cache_is_read() -> None:
    write_mnist_like(download_folder() / "KMNIST" / "raw")
    assert len(checked(DATASETS["kmnist"].load(None)).arrays["train"][1]) == 20


def test_emnist_stands_upright(tmp_path: Path) -> None:
    prefixes = ("emnist-balanced-train", "emnist-balanced-test")
    arrays = write_mnist_like(tmp_path / "EMNIST" / "raw", prefixes)
    splits = checked(DATASETS["emnist-balanced"].load(tmp_path))
    stored = arrays["emnist-balanced-train-images-idx3"]
    np.testing.assert_array_equal(splits.arrays["train"][0][..., 0], stored.transpose(0, 2, 1))
    assert len(splits.classes) == 47


def test_eurosat_leaves_its_test_split_to_the_core(tmp_path: Path) -> None:
    for index in range(10):
        write_image(tmp_path / f"eurosat/2750/Forest/{index}.png", level=index)
        write_image(tmp_path / f"eurosat/2750/River/{index}.png", level=100 + index)
    splits = checked(DATASETS["eurosat"].load(tmp_path))
    assert {*splits.arrays} == {"train"}
    images, labels = splits.arrays["train"]
    assert np.bincount(labels).tolist() == [10, 10]
    assert sorted(int(image[0, 0, 0]) for image in images) == [*range(10), *range(100, 110)]
    assert splits.classes == ("Forest", "River")


def test_images_of_different_sizes_are_made_equal(tmp_path: Path) -> None:
    root = tmp_path / "dtd" / "dtd"
    for name, size in (("a", (9, 14)), ("b", (20, 8))):
        write_image(root / "images" / name / "1.png", size)
    (root / "labels").mkdir()
    for split in ("train", "val", "test"):
        (root / "labels" / f"{split}1.txt").write_text("a/1.png\nb/1.png\n")
    dataset = DATASETS["dtd"]
    assert dataset.defaults == {"image_size": 128}
    assert dataset.locate is not None
    assert len(dataset.locate(tmp_path, image_size=8)) == 3
    splits = checked(dataset.load(tmp_path, image_size=8))
    assert {name: part[0].shape for name, part in splits.arrays.items()} == dict.fromkeys(
        ("train", "val", "test"), (2, 8, 8, 3)
    )


def test_channels_come_last_where_torchvision_has_them_first() -> None:
    from bench_datasets.torchvision_sets import _arrays

    class Part:
        data = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
        labels = np.array([0, 1])

    images, labels = _arrays(Part(), transposed=False)
    assert images.shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(images[1, ..., 2], Part.data[1, 2])
    assert labels.tolist() == [0, 1]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn", "dtd", "eurosat"])
def test_offline_is_one_line_that_names_the_way_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(bench.DataError) as caught:
        DATASETS[name].load(tmp_path, **DATASETS[name].defaults)
    message = str(caught.value)
    assert "\n" not in message
    assert f"`{name}`" in message
    assert "`--data-dir`" in message


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn", "eurosat", "fashion-mnist"])
@pytest.mark.usefixtures("_no_system_files")
def test_what_is_forbidden_is_not_tried(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with downloads.offline(), pytest.raises(bench.DataError) as caught:
        DATASETS[name].load(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"dataset `{name}` is not at hand, and `--offline`")
    assert "`--data-dir`" in message
    assert "\n" not in message


def refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a download was tried")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MNIST", {"MNIST/raw/train-images-idx3-ubyte.gz", "MNIST/raw/t10k-labels-idx1-ubyte.gz"}),
        ("KMNIST", {"KMNIST/raw/train-images-idx3-ubyte.gz"}),
        ("FashionMNIST", {"FashionMNIST/raw/t10k-images-idx3-ubyte.gz"}),
        ("EMNIST", {"EMNIST/raw/gzip.zip"}),
        ("CIFAR10", {"cifar-10-python.tar.gz"}),
        ("CIFAR100", {"cifar-100-python.tar.gz"}),
        ("SVHN", {"train_32x32.mat", "test_32x32.mat"}),
        ("STL10", {"stl10_binary.tar.gz"}),
        ("Flowers102", {"flowers-102/setid.mat", "flowers-102/102flowers.tgz"}),
        ("OxfordIIITPet", {"oxford-iiit-pet/images.tar.gz"}),
        ("Food101", {"food-101.tar.gz"}),
        ("DTD", {"dtd/dtd-r1.0.1.tar.gz"}),
    ],
)
def test_archives_go_where_torchvision_looks_for_them(name: str, expected: set[str]) -> None:
    import torchvision.datasets

    found = remotes(getattr(torchvision.datasets, name), Path("root"))
    assert expected <= {str(remote.path.relative_to("root")) for remote in found}
    for remote in found:
        assert len(remote.md5) == 32
        assert all(url.startswith("http") for url in remote.urls)


def test_torchvision_takes_the_archive_that_was_fetched_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    arrays = write_mnist_like(tmp_path / "web", suffix=".gz")
    resources = [
        (path.name, hashlib.md5(path.read_bytes()).hexdigest())
        for path in sorted((tmp_path / "web").iterdir())
    ]
    fetched: list[str] = []

    def copy(url: str, target: Path, *, md5: str) -> Path:
        fetched.append(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "web" / target.name, target)
        return target

    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr("bench_datasets.remote.fetch", copy)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    splits = checked(DATASETS["mnist"].load(tmp_path))
    assert [url.rpartition("/")[2] for url in fetched] == [name for name, _ in resources]
    np.testing.assert_array_equal(splits.arrays["train"][0][..., 0], arrays["train-images-idx3"])


def test_the_next_mirror_is_asked_where_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fail_first(url: str, target: Path, *, md5: str) -> Path:
        asked.append(url)
        if "good" not in url:
            raise bench.DataError(f"`{url}` is down")
        return target

    monkeypatch.setattr("bench_datasets.remote.fetch", fail_first)
    fetch_all([Remote(("http://bad", "http://good"), tmp_path / "x", "0" * 32)])
    assert asked == ["http://bad", "http://good"]
    with pytest.raises(bench.DataError, match="worse` is down"):
        fetch_all([Remote(("http://bad", "http://worse"), tmp_path / "x", "0" * 32)])


@pytest.mark.parametrize("name", ["fgvc-aircraft", "stanford-cars"])
def test_what_has_no_checksum_is_not_downloaded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(bench.DataError, match=f"`{name}` could not be read from .*--data-dir"):
        DATASETS[name].load(tmp_path, image_size=8)
