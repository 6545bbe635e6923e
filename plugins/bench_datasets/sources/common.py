"""What the sources share: paths, the names of splits, natural order, examples in errors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import bench
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

_NUMBER = re.compile(r"(\d+)")


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


def hidden(name: str) -> bool:
    """Return whether a file or folder is none of the user's: of a file manager or an editor."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir")


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key that sorts `2` before `10`, and a before B."""
    parts = [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in _NUMBER.split(text)
        if part
    ]
    return parts, text


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


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder below `root`, itself first, with the files in it, hidden ones left out.

    Folders are relative POSIX paths, that of the root is empty. Links to folders are followed,
    except to one that they lie in, which would never end.

    Raises:
        bench.DataError: a folder cannot be read.
    """
    top = os.path.realpath(root)
    waiting: list[tuple[str, str, tuple[str, ...]]] = [("", str(root), (top,))]
    while waiting:
        relative, folder, above = waiting.pop()
        names, inner = [], []
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise bench.DataError(f"cannot read the folder `{folder}`: {error.strerror}") from error
        for entry in entries:
            if hidden(entry.name):
                continue
            try:
                is_folder = entry.is_dir()
            except PermissionError as error:
                raise bench.DataError(f"cannot read `{entry.path}`: {error.strerror}") from error
            except OSError:
                is_folder = False  # a link that leads to itself is no picture, as reading will tell
            if not is_folder:
                names.append(entry.name)
                continue
            # Asking the disk takes a while, and only a link can lead anywhere else.
            linked = entry.is_symlink()
            real = os.path.realpath(entry.path) if linked else os.path.join(above[-1], entry.name)
            if not (linked and real in above):
                path = f"{relative}/{entry.name}" if relative else entry.name
                inner.append((path, entry.path, (*above, real)))
        yield relative, sorted(names)
        waiting += sorted(inner, reverse=True)


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
