"""How a file becomes durable, and how two processes keep out of each other's way.

A reader sees the old content or the new content, never a part: new bytes go to a temporary file
in the same folder, which is flushed to disk, renamed over the old name, and whose folder is
flushed too. Locks are the operating system's own, so a killed holder leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bench.errors import StoreError

if TYPE_CHECKING:
    import filelock

TEMPORARY = ".*.tmp"
"""Matches the files that a write leaves behind if it is killed."""


@contextlib.contextmanager
def atomic_open(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` when the block ends well.

    A link stays one, and what it leads to is replaced. What is no regular file, as a pipe or a
    device, is written to directly.

    Raises:
        StoreError: the folder cannot be written, or the disk is full; `path` is as it was.
    """
    try:
        if _is_special(path):
            with path.open("wb") as special:
                yield special
            return
    except OSError as error:
        raise StoreError(f"cannot write `{path}`: {error.strerror or error}") from error
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    _make_folder(target.parent, path)
    try:
        descriptor, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
        )
    except OSError as error:
        raise StoreError(f"cannot write `{path}`: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        os.close(descriptor)
        # Opened by its name, so that `file.name` is a path for libraries that insist on one.
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; results are for sharing.
        temporary.chmod(0o666 & ~umask())
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"cannot write `{path}`: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content, or leave it as it was."""
    with atomic_open(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Replace a text file's content (UTF-8), or leave it as it was."""
    write_bytes(path, content.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file's content; NaN and infinities become null."""
    write_text(path, dump_json(value, indent=1) + "\n")


def dump_json(value: Any, indent: int | None = None) -> str:
    """Return standard JSON: NaN and infinities, which JSON does not know, become null."""
    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """Return plain data with every NaN and infinity replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def lock(path: Path) -> filelock.BaseFileLock:
    """Return an operating-system lock on `path` (not yet taken); its folder is made."""
    # Imported here, since listing components needs files but no locks, and filelock takes a
    # quarter of its time.
    import filelock

    _make_folder(path.parent, path.parent)
    return filelock.FileLock(path)


def check_writable(folder: Path) -> None:
    """Make a folder, and raise StoreError where no file can be written into it."""
    probe = folder / ".writable"
    write_bytes(probe, b"")
    probe.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Return whether a path leads to what takes bytes and is no file: a rename would remove it.

    Raises:
        OSError: nobody can tell, as of a link that leads to itself.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _make_folder(folder: Path, wanted: Path) -> None:
    """Make a folder unless it is there.

    Args:
        folder: with all that it lies in.
        wanted: for the sake of which, as messages name it.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        taken = [each for each in (folder, *folder.parents) if os.path.isfile(each)]
        why = f"`{taken[0]}` is a file, no folder" if taken else error.strerror or error
        raise StoreError(f"cannot write `{wanted}`: {why}") from error


def _sync_folder(folder: Path) -> None:
    """Flush a rename to disk; without it a power cut can bring the old name back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cache_folder() -> Path:
    """Return the folder for what can be made again: `$BENCH_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("BENCH_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("bench")


def free_bytes(folder: Path) -> float:
    """Return the free space of the disk that a folder lies on, or will lie on once it is made."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return float(shutil.disk_usage(place).free)


def umask() -> int:
    """Return the permissions that new files are to lack."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
