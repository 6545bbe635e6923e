"""`archive:FILE` and `url:ADDRESS`: data that are unpacked, or fetched and unpacked, first."""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.parse
import warnings
from pathlib import Path

import bench
from bench import downloads, extraction
from bench.files import cache_folder, write_json
from bench.text import one_line
from bench_datasets.sources import (
    common,
    csv_tables,
    detect,
    folder,
    hugging_face,
    idx_files,
    imagenet,
    npz,
)

LAYOUTS = {
    source.name: source
    for source in (
        folder.SOURCE,
        csv_tables.SOURCE,
        idx_files.SOURCE,
        npz.SOURCE,
        hugging_face.SOURCE,
        imagenet.SOURCE,
    )
}
"""What an archive may hold."""

_FRAGMENT = re.compile(r"sha256=([0-9a-fA-F]{64})")


def load(data_dir: Path | None, *, path: str = "") -> bench.Splits:
    """Images in a zip or tar file: `archive:FILE`, unpacked once, laid out as for other sources.

    Class folders, tables, IDX files, a .npz file, ImageNet or a Hugging Face set may be inside.
    Links that lead out, absolute paths, devices and bombs are refused.

    Args:
        data_dir: not used.
        path: the file.

    Raises:
        bench.DataError: it is missing, damaged or dangerous, or what it holds is not understood.
    """
    return _load(_existing_archive(path))


def locate(data_dir: Path | None, *, path: str = "") -> list[Path]:
    """Return the archive.

    Raises:
        bench.DataError: it is missing.
    """
    return [_existing_archive(path)]


@common.quietly
def hints(data_dir: Path | None, *, path: str = "") -> bench.DatasetHints | None:
    """Return the hints of what it holds, if it was unpacked before."""
    return _hints(_existing_archive(path))


def load_url(data_dir: Path | None, *, path: str = "") -> bench.Splits:
    """Files from the web, archives, .npz or .csv: `url:https://...#sha256=...`, fetched once.

    Args:
        data_dir: not used.
        path: the address; without the hash a warning tells the one that was found.

    Raises:
        bench.DataError: it cannot be had, has another hash, or is not understood.
    """
    url, expected = _parts(path)
    target = _target(url)
    downloads.fetch(url, target, sha256=expected)
    if not expected:
        warnings.warn(
            f"nothing vouches for `{target.name}`; write #sha256={downloads.hash_file(target)} "
            "after its address to notice if it changes",
            stacklevel=2,
        )
    return _load(target)


def locate_url(data_dir: Path | None, *, path: str = "") -> list[Path]:
    """Return the downloaded file, or nothing where it is yet to be fetched."""
    target = _target(_parts(path)[0])
    return [target] if target.is_file() else []


@common.quietly
def hints_url(data_dir: Path | None, *, path: str = "") -> bench.DatasetHints | None:
    """Return the hints of what was downloaded, and unpacked, before."""
    target = _target(_parts(path)[0])
    return _hints(target) if target.is_file() else None


def address(text: str) -> str:
    """Return a web address as it stands.

    Raises:
        bench.UsageError: it is none, or what follows `#` is no hash.
    """
    _parts(text)
    return text


def _parts(text: str) -> tuple[str, str]:
    """Return the address and the hash, which may be empty."""
    url, mark, fragment = text.partition("#")
    if not url.lower().startswith(("https://", "http://")):
        raise bench.UsageError(
            f"`{one_line(text, 80)}` is no web address; write `url:https://...#sha256=...`, or "
            "`archive:FILE` for a file of your own"
        )
    match = _FRAGMENT.fullmatch(fragment)
    if mark and match is None:
        raise bench.UsageError(
            f"`#{one_line(fragment, 80)}` is no hash; write #sha256= and 64 hexadecimal digits"
        )
    return url, match[1].lower() if match else ""


def _target(url: str) -> Path:
    """Return where a download goes."""
    name = urllib.parse.unquote(url.partition("?")[0].rstrip("/").rpartition("/")[2])
    plain = re.sub(r"[^\w.-]", "_", name).lstrip(".")[-100:] or "file"
    return cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16] / plain


def _existing_archive(path: str) -> Path:
    found = common.existing(path)
    if found.is_dir():
        raise bench.DataError(f"`{path}` is a folder; write `folder:` or `csv:` before it")
    return found


def _load(file: Path) -> bench.Splits:
    layout, inner = detect.resolve(file)
    if layout == "archive":
        layout, inner = detect.resolve(_unpacked(file))
    return LAYOUTS[layout].load(None, path=str(inner))


def _hints(file: Path) -> bench.DatasetHints | None:
    layout, inner = detect.resolve(file)
    if layout == "archive":
        known = _known_hash(file)
        unpacked = _folder(known) if known else None
        if unpacked is None or not unpacked.is_dir():
            return None
        layout, inner = detect.resolve(unpacked)
    look_at = LAYOUTS[layout].hints
    return look_at(None, path=str(inner)) if callable(look_at) else None


def _unpacked(file: Path) -> Path:
    """Return the folder with an archive's content, unpacked now or earlier."""
    known = _known_hash(file)
    if known is None:
        known = downloads.hash_file(file)
        write_json(_note(file), {"sha256": known})
    folder = extraction.extract(file, _folder(known))
    os.utime(folder)  # in use: what was used longest ago makes room in the cache
    return folder


def _folder(sha256: str) -> Path:
    return cache_folder() / "extracted" / sha256[:16]


def _note(file: Path) -> Path:
    """Return where an archive's hash is noted; it is another place once the file has changed."""
    status = file.stat()
    stamp = f"{file.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    return cache_folder() / "extracted" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.json"


def _known_hash(file: Path) -> str | None:
    try:
        return str(json.loads(_note(file).read_text("utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


ARCHIVE = bench.Dataset(
    name="archive", load=load, locate=locate, hints=hints, address=common.absolute
)
URL = bench.Dataset(name="url", load=load_url, locate=locate_url, hints=hints_url, address=address)
