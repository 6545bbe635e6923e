"""Where code writes, watched while it runs."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PLACES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.link": ((1, 3),),
    "os.truncate": ((0, None),),
    "sqlite3.connect": ((0, None),),
}
"""Which arguments of an event of Python's auditing are paths that something happens to, and which
are the descriptors of the folders that these start from."""
_watched: list[list[str]] = []
_installed = False


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Collect the paths that are written, made or removed by Python code of any thread.

    What C code opens by itself is not seen.
    """
    global _installed
    if not _installed:
        sys.addaudithook(_note)  # which stays: there is no way to take it off again
        _installed = True
    seen: list[str] = []
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched.remove(seen)


@contextlib.contextmanager
def elsewhere() -> Iterator[Path]:
    """Make a new folder the working folder, with one for temporary files in it.

    It lies in another one that goes with it, so that what is written beside it does as well.
    """
    before, variable, chosen = Path.cwd(), os.environ.get("TMPDIR"), tempfile.tempdir
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(os.path.realpath(name)) / "work"
        scratch = folder / "temporary"
        scratch.mkdir(parents=True)
        os.chdir(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        try:
            yield folder
        finally:
            tempfile.tempdir = chosen
            os.environ.pop("TMPDIR")
            if variable is not None:
                os.environ["TMPDIR"] = variable
            os.chdir(before)


def outside(paths: Sequence[str], allowed: Sequence[Path]) -> list[Path]:
    """Return those of some paths that lie in no folder where one may write, each once."""
    found = []
    for path in dict.fromkeys(Path(os.path.realpath(path)) for path in paths):
        harmless = path.is_relative_to("/dev") or "__pycache__" in path.parts
        if not harmless and not any(path.is_relative_to(folder) for folder in allowed):
            found.append(path)
    return found


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = set(mode) & set("wax+") if isinstance(mode, str) else flags & _WRITES
        found = [_absolute(path, None)] if writes else []
    elif event in _PLACES:
        found = [
            _absolute(arguments[path], None if start is None else arguments[start])
            for path, start in _PLACES[event]
        ]
        if event == "os.mkdir" and found[0] and os.path.isdir(found[0]):
            return  # `mkdir(exist_ok=True)`
    else:
        return
    for seen in _watched:
        seen.extend(filter(None, found))


def _absolute(path: Any, start: int | None) -> str:
    """Return a path from the root, now, as the working folder may be another one later.

    Empty where it is none, as of a descriptor.
    """
    if not isinstance(path, str | bytes | os.PathLike) or path == ":memory:":
        return ""
    text = os.fsdecode(path).removeprefix("file:").partition("?")[0]
    if start is None or start < 0 or os.path.isabs(text):
        return os.path.abspath(text)
    try:
        return os.path.join(os.readlink(f"/proc/self/fd/{start}"), text)
    except OSError:
        return ""
