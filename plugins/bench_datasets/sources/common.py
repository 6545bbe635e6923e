"""What the sources share: paths, the names of splits, natural order, examples in errors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import bench
from bench.folders import hidden as hidden
from bench.folders import natural as natural
from bench.folders import walk as walk
from bench.text import did_you_mean, listing

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What folders, files and cells of a table call the splits, in lower case."""

UNLABELLED_NAMES = ("unlabelled", "unlabeled", "predict", "prediction")


def absolute(text: str) -> str:
    """Return the absolute path that a user's text means; nothing needs to be there.

    Raises:
        bench.UsageError: the text is empty.
    """
    if not text.strip():
        raise bench.UsageError("a path is missing after the colon; write for example `folder:DIR`")
    return os.path.abspath(os.path.expanduser(text))


def existing(path: str) -> Path:
    """Return a path at which something is.

    Raises:
        bench.DataError: nothing is there; its neighbours are searched for a similar name.
    """
    if not path:
        raise bench.DataError("a path is missing; write for example `folder:DIR`")
    found = Path(path)
    if not found.exists():
        try:
            neighbours = [entry.name for entry in os.scandir(found.parent)]
        except OSError:
            raise bench.DataError(
                f"there is no `{path}`, nor a folder `{found.parent}`; check the path"
            ) from None
        hint = did_you_mean(found.name, neighbours)
        raise bench.DataError(f"there is no `{path}`{hint}; check the path")
    return found


def existing_folder(path: str, source: str) -> Path:
    """Return a path at which a folder is.

    Raises:
        bench.DataError: nothing is there, or a file is.
    """
    found = existing(path)
    if not found.is_dir():
        raise bench.DataError(
            f"`{path}` is a file, and `{source}:` wants a folder; write `archive:` before a zip "
            "or tar file, `csv:` before a table, `npz:` before NumPy arrays"
        )
    return found


def beside(name: str, folder: Path) -> Path:
    """Return the file or folder that a param names: within `folder`, else in the current one.

    Raises:
        bench.DataError: it is in neither.
    """
    for candidate in (folder / name, Path.cwd() / name):
        if candidate.exists():
            return candidate
    raise bench.DataError(
        f"there is no `{name}` in `{folder}` or the current folder; check the param's path"
    )


def split_of(name: str) -> str | None:
    """Return `train`, `val` or `test` where a folder's or a cell's name means one of them."""
    return SPLIT_NAMES.get(name.strip().lower())


def split_of_file(name: str) -> str | None:
    """Return the split that a file's name speaks of, as in `fashion-mnist_test.csv`, or None."""
    words = re.split(r"[^a-z]+", name.lower().partition(".")[0])
    meant = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return meant.pop() if len(meant) == 1 else None


def examples(items: Iterable[str]) -> str:
    """Return the first items in backticks and how many more there are."""
    return listing(items, 3)


def is_image(name: str) -> bool:
    """Return whether a file's name ends as that of an image."""
    from bench.decoding import SUFFIXES

    return os.path.splitext(name)[1].lower() in SUFFIXES


def look(paths: Sequence[Path]) -> tuple[int, int] | None:
    """Return the size, pixels, and the channels that a first image suggests, or None.

    The size is its shorter edge, at most 224, as images of several sizes are stored.
    """
    from bench.decoding import UnreadableImage, read_header

    for path in paths[:3]:
        try:
            header = read_header(path)
        except UnreadableImage:
            continue
        return min(header.width, header.height, 224), 1 if header.gray else 3
    return None


def quietly(
    look_at: Callable[..., bench.DatasetHints | None],
) -> Callable[..., bench.DatasetHints | None]:
    """Return a function of hints that knows nothing where it would raise an error of the data.

    `load` will raise the same error where a user waits for it.
    """

    def hints(data_dir: Path | None, **params: object) -> bench.DatasetHints | None:
        try:
            return look_at(data_dir, **params)
        except (bench.BenchError, OSError):
            return None

    return hints


def file_hints(splits: bench.Splits, task: bench.Task) -> bench.DatasetHints | None:
    """Return the hints of splits that are `bench.Files`; one image's header is read."""
    seen = look(splits.train.paths)
    if seen is None:
        return None
    return bench.DatasetHints(
        train=len(splits.train),
        val=0 if splits.val is None else len(splits.val),
        test=0 if splits.test is None else len(splits.test),
        image_size=seen[0],
        channels=seen[1],
        task=task,
    )


def task_of(classes: int, *, multi_label: bool = False, hierarchical: bool = False) -> bench.Task:
    """Return the task that labels of this kind make."""
    if multi_label:
        return bench.Task.MULTI_LABEL
    if hierarchical:
        return bench.Task.HIERARCHICAL
    return bench.Task.BINARY if classes == 2 else bench.Task.MULTI_CLASS
