"""One content in many containers: the same fingerprint, and the same result to the bit."""

from __future__ import annotations

import csv
import gzip
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bench.api import Result
from bench_datasets import fashion_mnist_mini

Array = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def splits() -> dict[str, tuple[Array, Array]]:
    """Real images: the first 400 and 120 of the embedded Fashion-MNIST."""
    loaded = fashion_mnist_mini.load(None)
    return {
        "train": (loaded.train[0][:400], loaded.train[1][:400].astype(np.uint8)),
        "test": (loaded.test[0][:120], loaded.test[1][:120].astype(np.uint8)),
    }


def write_folder(place: Path, splits: dict[str, tuple[Array, Array]]) -> str:
    for split, (images, labels) in splits.items():
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = place / "pictures" / split / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{index}.png")
    return f"folder:{place / 'pictures'}"


def write_idx(place: Path, splits: dict[str, tuple[Array, Array]]) -> str:
    folder = place / "idx"
    folder.mkdir()
    for split, (images, labels) in splits.items():
        stem = "train" if split == "train" else "t10k"
        header = struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape)
        with gzip.open(folder / f"{stem}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + images.tobytes())
        header = struct.pack(">BBBBI", 0, 0, 8, 1, len(labels))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return f"idx:{folder}"


def write_npz(place: Path, splits: dict[str, tuple[Array, Array]]) -> str:
    (x_train, y_train), (x_test, y_test) = splits["train"], splits["test"]
    np.savez(place / "set.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return f"npz:{place / 'set.npz'}"


def write_csv(place: Path, splits: dict[str, tuple[Array, Array]]) -> str:
    folder = place / "tables"
    folder.mkdir()
    for split, (images, labels) in splits.items():
        with (folder / f"fashion-mnist_{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", *(f"pixel{number}" for number in range(1, 785))])
            for image, label in zip(images, labels, strict=True):
                writer.writerow([label, *image.ravel().tolist()])
    return f"csv:{folder}"


def write_zip(place: Path, splits: dict[str, tuple[Array, Array]]) -> str:
    folder = Path(write_folder(place, splits).removeprefix("folder:"))
    with zipfile.ZipFile(place / "set.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png"), reverse=True):
            archive.write(path, path.relative_to(folder))
    return f"archive:{place / 'set.zip'}"


def write_tar(place: Path, splits: dict[str, tuple[Array, Array]]) -> str:
    folder = Path(write_idx(place, splits).removeprefix("idx:"))
    with tarfile.open(place / "set.tar.gz", "w:gz") as archive:
        archive.add(folder, "fashion")
    return f"archive:{place / 'set.tar.gz'}"


WRITERS: dict[str, Callable[[Path, dict[str, tuple[Array, Array]]], str]] = {
    "folder": write_folder,
    "idx": write_idx,
    "npz": write_npz,
    "csv": write_csv,
    "zip": write_zip,
    "tar": write_tar,
}


def test_the_container_changes_neither_the_fingerprint_nor_a_bit_of_the_result(
    splits: dict[str, tuple[Array, Array]],
    experiment: Callable[..., Result],
    tmp_path: Path,
) -> None:
    datasets = []
    for name, write in WRITERS.items():
        (tmp_path / name).mkdir()
        datasets.append(write(tmp_path / name, splits))
    result = experiment(
        datasets=datasets, deterministic=True, epochs=2, batch_size=32, augmentation="standard"
    )
    assert [str(record.status) for record in result.records] == ["ok"] * len(WRITERS)
    assert len({record.spec.fingerprint for record in result.records}) == 1
    store = tmp_path / "results" / "runs"
    probabilities = [
        np.load(store / record.id / "predictions.npz")["test_probabilities"].tobytes()
        for record in result.records
    ]
    weights = [(store / record.id / "model.safetensors").read_bytes() for record in result.records]
    assert len(set(probabilities)) == 1
    assert len(set(weights)) == 1
