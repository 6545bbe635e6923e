"""`idx:DIR`: the four files of MNIST and its kin."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import bench
from bench_datasets import idx
from bench_datasets.sources import common
from bench_datasets.sources.arrays import ArraySplits

_NAME = re.compile(
    r"(?P<set>.*?)(?P<split>train|t10k|test|valid|val)[-_.]?"
    r"(?:(?P<images>images?)[-_.]idx3|labels?[-_.]idx1)[-_.]ubyte(?:\.gz)?",
    re.IGNORECASE,
)
_SPLITS = {"t10k": "test", "valid": "val"}

Pairs = dict[str, tuple[Path, Path]]


def load(data_dir: Path | None, *, path: str = "") -> bench.Splits:
    """IDX files as MNIST has them: `idx:DIR` with train-images-idx3-ubyte[.gz] and so on.

    Images of t10k or test are the test split, those of val, where present, the val split.

    Args:
        data_dir: not used.
        path: the folder of the files.

    Raises:
        bench.DataError: files are missing or damaged, or do not fit each other.
    """
    pairs = {name: idx.read_pair(*pair) for name, pair in find(path).items()}
    return ArraySplits(path, pairs).splits()


def locate(data_dir: Path | None, *, path: str = "") -> list[Path]:
    """Return the files of images and labels.

    Raises:
        bench.DataError: some are missing.
    """
    return [file for pair in find(path).values() for file in pair]


@common.quietly
def hints(data_dir: Path | None, *, path: str = "") -> bench.DatasetHints | None:
    """Return what the headers say."""
    import numpy as np

    pairs = find(path)
    shapes = {name: _header(images) for name, (images, _) in pairs.items()}
    classes = len(np.unique(idx.read(pairs["train"][1])))
    return bench.DatasetHints(
        train=shapes["train"][0],
        val=shapes.get("val", (0,))[0],
        test=shapes.get("test", (0,))[0],
        image_size=min(shapes["train"][1:]),
        channels=1,
        task=common.task_of(classes),
    )


def is_idx(name: str) -> bool:
    """Return whether a file's name is that of an IDX file."""
    return _NAME.fullmatch(name) is not None


def find(path: str) -> Pairs:
    """Return the files of images and labels by split.

    Raises:
        bench.DataError: there are none, one of a pair is missing, or there are several sets.
    """
    folder = common.existing_folder(path, "idx")
    found: dict[str, dict[str, Path]] = {}
    # Sorted, a gzipped file comes after one that is not, which needs no unpacking.
    for name in sorted(entry.name for entry in folder.iterdir()):
        match = _NAME.fullmatch(name)
        if match is None or common.hidden(name):
            continue
        split = match["split"].lower()
        stem = f"{match['set']}{_SPLITS.get(split, split)}"
        found.setdefault(stem, {}).setdefault(
            "images" if match["images"] else "labels", folder / name
        )
    sets = {re.sub("(train|test|val)$", "", stem) for stem in found}
    if not found:
        raise bench.DataError(
            f"`{path}` holds no IDX files; `train-images-idx3-ubyte` and "
            "`train-labels-idx1-ubyte` are needed, gzipped or not"
        )
    if len(sets) > 1:
        raise bench.DataError(
            f"`{path}` holds {len(sets)} sets of IDX files, {common.examples(sorted(sets))}; keep "
            "each in a folder of its own"
        )
    start = len(sets.pop())
    splits = {stem[start:]: files for stem, files in found.items()}
    for split in ("train", *splits):
        for kind in ("images", "labels"):
            if kind not in splits.get(split, {}):
                raise bench.DataError(
                    f"`{path}` lacks the {kind} of {split}; put "
                    f"`{split}-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz` there"
                )
    return {split: (files["images"], files["labels"]) for split, files in splits.items()}


def _header(path: Path) -> tuple[int, int, int]:
    """Return number, height and width of the images in a file."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        start = file.read(16)
    if len(start) < 16:
        raise bench.DataError(f"`{path}` ends within its header; fetch the file again")
    _, count, height, width = struct.unpack(">4I", start)
    return count, height, width


SOURCE = bench.Dataset(name="idx", load=load, locate=locate, hints=hints, address=common.absolute)
