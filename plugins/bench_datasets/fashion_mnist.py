"""The full Fashion-MNIST set."""

from __future__ import annotations

from pathlib import Path

import bench
from bench.downloads import fetch, refuse_offline
from bench.text import one_line
from bench_datasets import idx
from bench_datasets.folders import download_folder

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Class names in the order of their labels (https://github.com/zalandoresearch/fashion-mnist)."""

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
MD5 = (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
"""The checksums of the gzipped files, as the publisher gives them, in the order of `STEMS`."""

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package `dataset-fashion-mnist` puts the files."""

WAYS_OUT = (
    "`--data-dir` names a folder that holds them, "
    "and so does the Debian package `dataset-fashion-mnist`"
)


def load(data_dir: Path | None) -> bench.Splits:
    """Fashion-MNIST: 60,000 + 10,000 gray images of clothing, 28x28 pixels.

    Xiao, Rasul and Vollgraf, 2017 (https://arxiv.org/abs/1708.07747). The four IDX files, gzipped
    or not, are looked for in `data_dir`, its subfolders `fashion-mnist` and `FashionMNIST/raw`,
    the Debian package `dataset-fashion-mnist` and the cache folder, into which they are
    downloaded where all these lack them.

    Args:
        data_dir: the user's folder, or None.

    Raises:
        bench.DataError: the files are damaged, or not at hand and not to be had.
    """
    files = locate(data_dir) or _download()
    train_images, train_labels, test_images, test_labels = files
    return bench.Splits(
        train=idx.read_pair(train_images, train_labels),
        test=idx.read_pair(test_images, test_labels),
        classes=CLASSES,
    )


def locate(data_dir: Path | None) -> list[Path]:
    """Return the four files in the order of `STEMS`, or an empty list.

    Raises:
        bench.DataError: a folder of the user's holds some of the files, but not all.
    """
    own = []
    if data_dir is not None:
        own = [data_dir, data_dir / "fashion-mnist", data_dir / "FashionMNIST" / "raw"]
    for folder in [*own, SYSTEM_FOLDER, download_folder() / "FashionMNIST" / "raw"]:
        found = {stem: _find(folder, stem) for stem in STEMS}
        present = [path for path in found.values() if path is not None]
        if len(present) == len(STEMS):
            return present
        if present and folder in own:
            # Turning to other files than those the user pointed at would be a surprise.
            missing = next(stem for stem, path in found.items() if path is None)
            raise bench.DataError(
                f"`{folder}` holds a part of `fashion-mnist` only; put `{missing}.gz` there as well"
            )
    return []


def _find(folder: Path, stem: str) -> Path | None:
    candidates = (folder / f"{stem}.gz", folder / stem)
    return next((path for path in candidates if path.is_file()), None)


def _download() -> list[Path]:
    """Fetch the files; they are read as they come, so nothing is unpacked."""
    raw = download_folder() / "FashionMNIST" / "raw"
    refuse_offline("dataset `fashion-mnist`", f"take files of your own: {WAYS_OUT}")
    try:
        return [
            fetch(f"{URL}{stem}.gz", raw / f"{stem}.gz", md5=md5)
            for stem, md5 in zip(STEMS, MD5, strict=True)
        ]
    except bench.BenchError as error:
        raise bench.DataError(
            f"the files of dataset `fashion-mnist` are not at hand, and downloading them to "
            f"`{raw}` failed ({one_line(str(error), 200)}); {WAYS_OUT}"
        ) from error


DATASET = bench.Dataset(
    name="fashion-mnist",
    load=load,
    locate=locate,
    recommends={"epochs": 5, "batch_size": 64, "image_kind": "photo"},
    hints=bench.DatasetHints(train=60_000, test=10_000, image_size=28, channels=1),
)
