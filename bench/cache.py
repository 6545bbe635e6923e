"""How much room stored datasets may take, and which of them go first.

A stored dataset can always be made again, so the ones that were used longest ago make room for
new ones. What was used within the last day stays: a run under way may want to open it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench import files
from bench.errors import ConfigError, StoreError

LIMIT_VARIABLE = "BENCH_CACHE_LIMIT"
DEFAULT_LIMIT = 50e9
"""Bytes; beyond it, and beyond half of the free disk, images are decoded as they are needed."""
SPARED_SECONDS = 24 * 3600
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Entry:
    """One thing that can be removed and made again.

    Attributes:
        size: bytes.
        used: seconds since it was last opened.
        what: how listings name it.
    """

    path: Path
    size: int
    used: float
    what: str


def limit() -> float:
    """Return the bytes that stored datasets may take, from `$BENCH_CACHE_LIMIT`, or 50 GB.

    Raises:
        ConfigError: the variable holds no size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_LIMIT
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text, re.IGNORECASE)
    if match is None:
        raise ConfigError(f"`{LIMIT_VARIABLE}` is `{text}`, which is no size; write 20GB or 500MB")
    return float(match[1]) * _UNITS[match[2].upper()]


def fits(size: float) -> bool:
    """Return whether a dataset of so many bytes may be stored, others making room for it."""
    return size <= limit() and size <= files.free_bytes(files.cache_folder()) / 2


def make_room(size: float) -> None:
    """Remove what was used longest ago until a dataset of so many bytes fits under the limit."""
    found = sorted(entries(), key=lambda entry: entry.used, reverse=True)
    excess = sum(entry.size for entry in found) + size - limit()
    for entry in found:
        if excess <= 0:
            return
        if entry.used > SPARED_SECONDS:
            remove(entry)
            excess -= entry.size


def touch(folder: Path) -> None:
    """Note that a stored dataset is in use."""
    try:
        (folder / "used").touch()
    except OSError:  # a cache that others fill, and that cannot be written here
        return


def entries() -> Iterator[Entry]:
    """Yield what the cache holds: datasets by size of image, downloads, leftovers, profiles."""
    root = files.cache_folder()
    for fingerprint in _folders(root / "datasets"):
        if fingerprint.name.startswith(".writing-"):
            yield from _entry(fingerprint, "unfinished dataset")
            continue
        variants = _folders(fingerprint)
        for variant in variants:
            yield from _entry(variant, f"dataset {fingerprint.name[:12]} at {variant.name}")
        if not variants:
            yield from _entry(fingerprint, f"dataset {fingerprint.name[:12]}, its files listed")
    for name, what in (("extracted", "unpacked archive"), ("data", "download")):
        for folder in _folders(root / name):
            yield from _entry(folder, f"{what} {folder.name}")
    for folder in _folders(root / "downloads"):
        yield from _entry(folder, f"download {folder.name}")
    yield from _entry(root / "profiles", "what was measured of models")


def remove(entry: Entry) -> None:
    """Remove one entry; a worker that has it open keeps its view.

    Raises:
        StoreError: it cannot be removed.
    """
    above = entry.path.parent
    within = above.parent == files.cache_folder() / "datasets"
    try:
        with files.lock(above.with_name(f"{above.name}.lock")) if within else nullcontext():
            # The description goes first: a folder without one is not taken for whole.
            (entry.path / "about.json").unlink(missing_ok=True)
            shutil.rmtree(entry.path)
            if within and not any(_folders(above)):
                shutil.rmtree(above)
    except FileNotFoundError:
        return  # another process was quicker
    except OSError as error:
        raise StoreError(f"cannot remove `{entry.path}`: {error.strerror or error}") from error


def _entry(folder: Path, what: str) -> Iterator[Entry]:
    """Yield an entry, unless another process removes it meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                size += path.stat().st_size
        except OSError:
            continue
    marker = folder / "used"
    try:
        stamp = (marker if marker.exists() else folder).stat().st_mtime
    except FileNotFoundError:
        return
    yield Entry(folder, size, max(0.0, time.time() - stamp), what)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
