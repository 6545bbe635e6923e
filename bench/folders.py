"""Folders of files as people mean them: hidden ones left out, `2` before `10`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from bench.errors import DataError

_NUMBER = re.compile(r"(\d+)")


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


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder below `root`, itself first, with the files in it, hidden ones left out.

    Folders are relative POSIX paths, that of the root is empty. Links to folders are followed,
    except to one that they lie in, which would never end.

    Raises:
        DataError: a folder cannot be read.
    """
    top = os.path.realpath(root)
    waiting: list[tuple[str, str, tuple[str, ...]]] = [("", str(root), (top,))]
    while waiting:
        relative, folder, above = waiting.pop()
        names, inner = [], []
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise DataError(f"cannot read the folder `{folder}`: {error.strerror}") from error
        for entry in entries:
            if hidden(entry.name):
                continue
            try:
                is_folder = entry.is_dir()
            except PermissionError as error:
                raise DataError(f"cannot read `{entry.path}`: {error.strerror}") from error
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
