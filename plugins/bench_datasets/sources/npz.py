"""`npz:FILE`: NumPy arrays of images and labels."""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.text import listing, one_line
from bench_datasets.sources import common
from bench_datasets.sources.arrays import ArraySplits

IMAGE_WORDS = ("x", "images", "image", "imgs", "data")
LABEL_WORDS = ("y", "labels", "label", "targets", "target")
CLASS_WORDS = ("classes", "class_names", "label_names", "names")


def load(data_dir: Path | None, *, path: str = "") -> bench.Splits:
    """NumPy arrays: `npz:FILE` with x_train, y_train, x_test, y_test, or train_images and so on.

    Arrays of val are the val split. Without a word for a split, as in `images` and `labels`, all
    is train. Labels are numbers or names (N,) or (N, 1), or rows (N, C) of 0 and 1. An array
    `classes` names the classes. Nothing pickled is read.

    Args:
        data_dir: not used.
        path: the file, or a folder that holds one such file.

    Raises:
        bench.DataError: arrays are missing or damaged, or do not fit each other.
    """
    file = _file(path)
    try:
        with _opened(file) as arrays:
            roles = _roles(file, arrays.files)
            pairs = {name: (arrays[x], arrays[y]) for name, (x, y) in roles.items()}
            return ArraySplits(str(file), pairs, _names(arrays)).splits()
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, OSError) as error:
        raise _unreadable(file, error) from error


def locate(data_dir: Path | None, *, path: str = "") -> list[Path]:
    """Return the file.

    Raises:
        bench.DataError: it is missing.
    """
    return [_file(path)]


@common.quietly
def hints(data_dir: Path | None, *, path: str = "") -> bench.DatasetHints | None:
    """Return what the headers of the arrays say; of the arrays only the labels are read."""
    file = _file(path)
    try:
        with _opened(file) as arrays:
            roles = _roles(file, arrays.files)
            shapes = {name: _shape(file, x) for name, (x, _) in roles.items()}
            pairs = {name: ((), arrays[y]) for name, (_, y) in roles.items()}
            labels, classes = ArraySplits(str(file), pairs, _names(arrays)).labels()
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    shape = shapes["train"]
    if len(shape) not in (3, 4):
        return None
    first = len(shape) == 4 and shape[-1] not in (1, 3)
    height, width = shape[2:4] if first else shape[1:3]
    return bench.DatasetHints(
        train=shape[0],
        val=shapes.get("val", (0,))[0],
        test=shapes.get("test", (0,))[0],
        image_size=min(height, width),
        channels=1 if len(shape) == 3 else shape[1 if first else -1],
        task=common.task_of(len(classes), multi_label=labels["train"].ndim == 2),
    )


def _file(path: str) -> Path:
    found = common.existing(path)
    if found.is_dir():
        inner = sorted(found.glob("*.npz"))
        if len(inner) != 1:
            raise bench.DataError(
                f"`{path}` holds {len(inner)} .npz files where one is needed; "
                "name the file after `npz:`"
            )
        return inner[0]
    return found


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    import numpy as np

    # Opened here, since numpy leaves a file open that turns out to be damaged.
    with file.open("rb") as stream:
        if stream.read(4) not in (b"PK\x03\x04", b"PK\x05\x06", b"\x93NUM"):
            raise bench.DataError(
                f"`{file}` is no .npz file; save images and labels with numpy.savez"
            )
        stream.seek(0)
        arrays = np.load(stream, allow_pickle=False)
        if not hasattr(arrays, "files"):
            raise bench.DataError(
                f"`{file}` holds a single array; save images and labels with numpy.savez"
            )
        yield arrays


def _roles(file: Path, keys: Sequence[str]) -> Mapping[str, tuple[str, str]]:
    """Return the keys of images and labels by split."""
    found: dict[tuple[str, str], str] = {}
    for key in keys:
        words = re.findall(r"[a-z]+", key.lower())
        splits = {common.SPLIT_NAMES[word] for word in words if word in common.SPLIT_NAMES}
        kinds = {"images" for word in words if word in IMAGE_WORDS}
        kinds |= {"labels" for word in words if word in LABEL_WORDS}
        if len(kinds) != 1 or len(splits) > 1 or key.lower() in CLASS_WORDS:
            continue
        role = (splits.pop() if splits else "train", kinds.pop())
        if role in found:
            raise bench.DataError(
                f"`{file}` has two arrays for the {role[1]} of {role[0]}, `{found[role]}` and "
                f"`{key}`; keep one"
            )
        found[role] = key
    for split in ("train", *(split for split, _ in found)):
        for kind in ("images", "labels"):
            if (split, kind) not in found:
                raise bench.DataError(
                    f"`{file}` has no array that is known to hold the {kind} of {split}, only "
                    f"{listing(keys) or 'nothing'}; name it `{split}_{kind}`"
                )
    return {split: (found[split, "images"], found[split, "labels"]) for split, _ in found}


def _names(arrays: Any) -> list[str]:
    key = next((key for key in arrays.files if key.lower() in CLASS_WORDS), None)
    return [] if key is None else [str(name) for name in arrays[key].tolist()]


def _shape(file: Path, key: str) -> tuple[int, ...]:
    """Return an array's shape; of its data nothing is read."""
    from numpy.lib import format as npy

    with zipfile.ZipFile(file) as archive, archive.open(f"{key}.npy") as member:
        version = npy.read_magic(member)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape: tuple[int, ...] = read(member)[0]
    return shape


def _unreadable(file: Path, error: Exception) -> bench.DataError:
    reason = one_line(str(error) or type(error).__name__, 120)
    if "allow_pickle" in reason:
        return bench.DataError(
            f"`{file}` holds Python objects, which are not read since they can run code; save "
            "plain arrays with numpy.savez"
        )
    return bench.DataError(f"cannot read the arrays in `{file}` ({reason}); fetch it again")


SOURCE = bench.Dataset(name="npz", load=load, locate=locate, hints=hints, address=common.absolute)
