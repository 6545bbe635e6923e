"""Named datasets that torchvision reads and, most of them, downloads: one line for each."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bench
from bench.downloads import refuse_offline
from bench.text import one_line
from bench_datasets.folders import download_folder
from bench_datasets.remote import fetch_all, remotes

Arguments = Mapping[str, Any]

BOOLEAN: Mapping[str, Arguments] = {"train": {"train": True}, "test": {"train": False}}
NAMED: Mapping[str, Arguments] = {"train": {"split": "train"}, "test": {"split": "test"}}
WITH_VAL: Mapping[str, Arguments] = {**NAMED, "val": {"split": "val"}}
TRAINVAL: Mapping[str, Arguments] = {"train": {"split": "trainval"}, "test": {"split": "test"}}
WHOLE: Mapping[str, Arguments] = {"train": {}}


@dataclass(frozen=True)
class Source:
    """How torchvision is asked for one dataset.

    Attributes:
        reader: name of the class in `torchvision.datasets`.
        splits: the arguments for each split that there officially is.
        files: pattern of the files below the root that tell whether it is at hand.
        arguments: arguments for every split.
        downloads: whether torchvision downloads an archive whose checksum it knows.
        transposed: whether rows and columns of the stored images are swapped.
    """

    name: str
    reader: str
    splits: Mapping[str, Arguments]
    files: str
    arguments: Arguments = field(default_factory=dict)
    downloads: bool = True
    transposed: bool = False


def load_equal(source: Source, data_dir: Path | None) -> bench.Splits:
    """Return the splits of a dataset whose images are all of one size."""
    return _load(source, data_dir)


def load_unequal(source: Source, data_dir: Path | None, *, image_size: int) -> bench.Splits:
    """Return the splits of a dataset whose images differ in size.

    Args:
        source: the dataset.
        data_dir: the user's folder, or None.
        image_size: height and width, pixels: the shorter side is resized to it, the centre cut.
    """
    return _load(source, data_dir, image_size)


def locate(source: Source, data_dir: Path | None, **params: Any) -> list[Path]:
    """Return files, or folders where files are many, that show that the dataset is at hand."""
    return sorted((data_dir or download_folder()).glob(source.files))


def _load(source: Source, data_dir: Path | None, image_size: int | None = None) -> bench.Splits:
    read = {split: _read(source, data_dir, asked) for split, asked in source.splits.items()}
    classes = tuple(getattr(next(iter(read.values())), "classes", ()))
    parts = {split: _arrays(part, source.transposed) for split, part in read.items()}
    return bench.Splits(**parts, classes=classes, image_size=image_size)


def _read(source: Source, data_dir: Path | None, asked: Arguments) -> Any:
    """Return one split as torchvision's dataset, downloaded into the root if need be."""
    from torchvision import datasets

    root = data_dir or download_folder()
    reader = functools.partial(getattr(datasets, source.reader), str(root))
    try:
        return _quiet(reader, **source.arguments, **asked, download=False)
    except Exception as error:  # whatever the disk and torchvision come up with
        if not source.downloads:
            raise _failed(source, root, "read from", error) from error
    refuse_offline(f"dataset `{source.name}`", "name with `--data-dir` a folder that holds it")
    try:
        fetch_all(remotes(reader.func, root))
        return _quiet(reader, **source.arguments, **asked, download=True)
    except Exception as error:  # whatever the network, the disk and torchvision come up with
        raise _failed(source, root, "read from or downloaded to", error) from error


def _quiet(reader: Callable[..., Any], **arguments: Any) -> Any:
    import numpy as np

    with warnings.catch_warnings():
        # NumPy 2.4.0 to 2.4.4 warn of CIFAR's old pickles (numpy/numpy#31177).
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        return reader(**arguments)


def _failed(source: Source, root: Path, action: str, error: Exception) -> bench.DataError:
    return bench.DataError(
        f"dataset `{source.name}` could not be {action} `{root}` "
        f"({one_line(str(error), 160)}); `--data-dir` names a folder that holds it "
        f"as torchvision's `{source.reader}` lays it out"
    )


def _arrays(part: Any, transposed: bool) -> Any:
    """Return images and labels where torchvision holds them in memory, else the part itself.

    Taking the arrays spares a PIL image for each item.
    """
    import numpy as np

    data = getattr(part, "data", None)
    if data is None:
        return part
    images = np.asarray(data)
    if images.ndim == 4 and images.shape[1] == 3:  # (N, C, H, W), as SVHN and STL-10 have it
        images = images.transpose(0, 2, 3, 1)
    if transposed:
        images = images.swapaxes(1, 2)
    labels = part.targets if hasattr(part, "targets") else part.labels
    return images, np.asarray(labels)


def _dataset(
    source: Source,
    description: str,
    *,
    train: int,
    test: int,
    size: int,
    channels: int = 3,
    epochs: int = 20,
    equal: bool = True,
    kind: bench.ImageKind = bench.ImageKind.PHOTO,
) -> bench.Dataset:
    load: Any = functools.partial(load_equal, source)
    if not equal:
        load = functools.partial(load_unequal, source, image_size=size)
    return bench.Dataset(
        name=source.name,
        load=load,
        locate=functools.partial(locate, source),
        description=description,
        recommends={"epochs": epochs, "batch_size": 64, "image_kind": str(kind)},
        hints=bench.DatasetHints(train=train, test=test, image_size=size, channels=channels),
        preload=("torchvision",),
    )


DATASETS = [
    _dataset(
        Source("mnist", "MNIST", BOOLEAN, "MNIST/raw/*-ubyte"),
        "Handwritten digits, 28x28 gray (LeCun et al., 1998).",
        train=60_000,
        test=10_000,
        size=28,
        channels=1,
        epochs=5,
        kind=bench.ImageKind.SYMBOL,
    ),
    _dataset(
        Source("kmnist", "KMNIST", BOOLEAN, "KMNIST/raw/*-ubyte"),
        "Cursive Japanese characters, 28x28 gray (Clanuwat et al., 2018).",
        train=60_000,
        test=10_000,
        size=28,
        channels=1,
        epochs=5,
        kind=bench.ImageKind.SYMBOL,
    ),
    _dataset(
        Source(
            "emnist-balanced",
            "EMNIST",
            BOOLEAN,
            "EMNIST/raw/emnist-balanced-*-ubyte",
            arguments={"split": "balanced"},
            transposed=True,
        ),
        "Handwritten letters and digits in 47 equal classes, 28x28 gray (Cohen et al., 2017).",
        train=112_800,
        test=18_800,
        size=28,
        channels=1,
        epochs=5,
        kind=bench.ImageKind.SYMBOL,
    ),
    _dataset(
        Source("cifar10", "CIFAR10", BOOLEAN, "cifar-10-batches-py/*_batch*"),
        "Animals and vehicles in 10 classes, 32x32 (Krizhevsky, 2009).",
        train=50_000,
        test=10_000,
        size=32,
    ),
    _dataset(
        Source("cifar100", "CIFAR100", BOOLEAN, "cifar-100-python/t*"),
        "Things in 100 classes, 32x32 (Krizhevsky, 2009).",
        train=50_000,
        test=10_000,
        size=32,
        epochs=30,
    ),
    _dataset(
        Source("svhn", "SVHN", NAMED, "t*_32x32.mat"),
        "Digits of house numbers, 32x32 (Netzer et al., 2011).",
        train=73_257,
        test=26_032,
        size=32,
        epochs=10,
        kind=bench.ImageKind.SYMBOL,
    ),
    _dataset(
        Source("stl10", "STL10", NAMED, "stl10_binary/t*.bin"),
        "Animals and vehicles in 10 classes, 96x96, labelled part (Coates et al., 2011).",
        train=5_000,
        test=8_000,
        size=96,
    ),
    _dataset(
        Source("flowers102", "Flowers102", WITH_VAL, "flowers-102/*.mat"),
        "Flowers in 102 classes (Nilsback and Zisserman, 2008).",
        train=1_020,
        test=6_149,
        size=128,
        epochs=30,
        equal=False,
    ),
    _dataset(
        Source("pets", "OxfordIIITPet", TRAINVAL, "oxford-iiit-pet/annotations/*.txt"),
        "Cats and dogs of 37 breeds (Parkhi et al., 2012).",
        train=3_680,
        test=3_669,
        size=128,
        epochs=30,
        equal=False,
    ),
    # 64 pixels: at 128 its 101,000 images would take 5 GB.
    _dataset(
        Source("food101", "Food101", NAMED, "food-101/meta/*.json"),
        "Dishes in 101 classes (Bossard et al., 2014).",
        train=75_750,
        test=25_250,
        size=64,
        equal=False,
    ),
    _dataset(
        Source("eurosat", "EuroSAT", WHOLE, "eurosat/2750/*"),
        "Land use from space, 64x64 (Helber et al., 2019).",
        train=27_000,
        test=0,
        size=64,
        epochs=10,
        kind=bench.ImageKind.OVERHEAD,
    ),
    _dataset(
        Source("gtsrb", "GTSRB", NAMED, "gtsrb/GTSRB/*/*"),
        "German traffic signs of 43 kinds (Stallkamp et al., 2012).",
        train=26_640,
        test=12_630,
        size=32,
        epochs=10,
        equal=False,
        kind=bench.ImageKind.SYMBOL,
    ),
    _dataset(
        Source("dtd", "DTD", WITH_VAL, "dtd/dtd/labels/*1.txt"),
        "Textures in 47 classes, first partition (Cimpoi et al., 2014).",
        train=1_880,
        test=1_880,
        size=128,
        epochs=30,
        equal=False,
        kind=bench.ImageKind.OVERHEAD,
    ),
    # torchvision knows no checksum for this archive, and no address for that of the next.
    _dataset(
        Source(
            "fgvc-aircraft",
            "FGVCAircraft",
            WITH_VAL,
            "fgvc-aircraft-2013b/data/*.txt",
            downloads=False,
        ),
        "Aircraft of 100 variants (Maji et al., 2013); no download, put it in `--data-dir`.",
        train=3_334,
        test=3_333,
        size=128,
        epochs=30,
        equal=False,
    ),
    _dataset(
        Source("stanford-cars", "StanfordCars", NAMED, "stanford_cars/**/*.mat", downloads=False),
        "Cars of 196 models (Krause et al., 2013); no download, put it in `--data-dir`.",
        train=8_144,
        test=8_041,
        size=128,
        epochs=30,
        equal=False,
    ),
]
"""What torchvision offers for classification, is of moderate size and has labels for all."""
