"""Files from the network: whole, of the announced content, and fetched once.

A download goes to a temporary file, its hash is checked, and only then does it get its name, so
that a reader sees all of it or nothing. Whoever comes second waits for the first and finds the
file there.

urllib does the work. pooch, which could, neither tells a web page from the file that it stands
in for, nor keeps two processes from fetching the same file at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from bench import files
from bench.errors import DataError
from bench.text import byte_size, one_line

OFFLINE = "BENCH_OFFLINE"
"""The environment variable that forbids downloads where it is set, to anything but 0."""

ATTEMPTS = 4
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""

PAUSE = 1.0
"""Seconds before the second attempt; each further pause is twice as long."""

_CHUNK = 1 << 20
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")
_PAGE_SUFFIXES = (".html", ".htm", ".xml", ".xhtml")


class _Broken(Exception):
    """An attempt that failed in a way that may pass."""


def is_offline() -> bool:
    """Return whether downloads are forbidden."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


@contextlib.contextmanager
def offline(forbidden: bool = True) -> Iterator[None]:
    """Forbid downloads within the block, in this process and in those that it starts."""
    if not forbidden:
        yield
        return
    # The environment, and no variable of this module, since workers are processes of their own.
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[OFFLINE]
        else:
            os.environ[OFFLINE] = before


def refuse_offline(what: str, way_out: str = "") -> None:
    """Raise an error if downloads are forbidden.

    Args:
        what: what is missing, for example `` the file `x.zip` ``.
        way_out: what to do other than to allow downloads.

    Raises:
        DataError: naming what is missing.
    """
    if is_offline():
        hint = f", or {way_out}" if way_out else ""
        raise DataError(
            f"{what} is not at hand, and `--offline` (or {OFFLINE}=1) forbids to download it; "
            f"run once without it{hint}"
        )


def fetch(url: str, target: Path, *, sha256: str = "", md5: str = "") -> Path:
    """Return `target`, downloaded unless it is there already with the right hash.

    Without a hash, a file that is there is taken as it is.

    Args:
        url: an http or https address.
        target: where the file goes; its folder is made.
        sha256: the file's SHA-256 in hexadecimal, where it is known.
        md5: its MD5, for publishers that give nothing better. It tells damage, not malice.

    Raises:
        DataError: the file cannot be had, is a web page instead, or has another hash; nothing
            of it is left behind.
        StoreError: `target` cannot be written.
    """
    kind, expected = ("sha256", sha256) if sha256 else ("md5", md5)
    expected = expected.lower()
    if _matches(target, kind, expected):
        return target
    shown = _shown(url)
    if not url.lower().startswith(("https://", "http://")):
        raise DataError(f"`{shown}` is no web address; it must start with https:// or http://")
    refuse_offline(f"`{shown}`")
    with files.lock(target.with_name(f".{target.name}.lock")):
        if not _matches(target, kind, expected):
            _fetch(url, target, kind, expected)
    return target


def hash_file(path: Path, kind: str = "sha256") -> str:
    """Return a file's hash in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: _hasher(kind)).hexdigest()


def _matches(target: Path, kind: str, expected: str) -> bool:
    if not target.is_file():
        return False
    return not expected or hash_file(target, kind) == expected


def _fetch(url: str, target: Path, kind: str, expected: str) -> None:
    shown = _shown(url)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with files.atomic_open(target) as file:
                found = _receive(url, file, kind)
                if expected and found != expected:
                    raise DataError(
                        f"`{shown}` has {kind.upper()} {found}, not {expected}; the file was "
                        "changed or damaged: check the address and the hash"
                    )
            return
        except _Broken as error:
            if attempt == ATTEMPTS:
                raise DataError(
                    f"`{shown}` could not be downloaded in {ATTEMPTS} attempts "
                    f"({one_line(str(error), 160)}); check the connection and try again"
                ) from error
            time.sleep(PAUSE * 2 ** (attempt - 1))


def _receive(url: str, file: IO[bytes], kind: str) -> str:
    """Write what an address sends to a file and return its hash."""
    # Imported here and below, since listing components needs none of it and it takes a while.
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "bench-harness"})
    hasher = _hasher(kind)
    received = 0
    # Errors of the network become `_Broken` here: one of the disk must not look like them.
    with _network(url), urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        announced = response.headers.get("Content-Length")
        page = response.headers.get_content_type() in ("text/html", "application/xhtml+xml")
        while chunk := _read(response):
            if not received:
                _refuse_page(url, chunk, page)
            file.write(chunk)
            hasher.update(chunk)
            received += len(chunk)
        if announced is not None and announced.isdigit() and received != int(announced):
            raise _Broken(
                f"the connection ended after {byte_size(received)} of {byte_size(int(announced))}"
            )
    if not received:
        raise _Broken("the answer was empty")
    return str(hasher.hexdigest())


def _read(response: Any) -> bytes:
    import http.client

    try:
        chunk: bytes = response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(str(error) or type(error).__name__) from error
    return chunk


@contextlib.contextmanager
def _network(url: str) -> Iterator[None]:
    """Tell errors that may pass from those that will not."""
    import http.client
    import urllib.error

    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _Broken(f"HTTP status {error.code}") from error
        raise DataError(
            f"`{_shown(url)}` could not be downloaded: HTTP status {error.code} "
            f"({one_line(error.reason, 80)}); check the address"
        ) from error
    except urllib.error.URLError as error:
        raise _Broken(str(error.reason)) from error
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise _Broken(str(error) or type(error).__name__) from error
    except ValueError as error:  # urllib's word for an address that it cannot take apart
        raise DataError(f"`{_shown(url)}` is no web address: {one_line(str(error), 80)}") from error


def _refuse_page(url: str, start: bytes, page: bool) -> None:
    path = url.partition("#")[0].partition("?")[0].lower()
    looks = start[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE_STARTS)
    if (page or looks) and not path.endswith(_PAGE_SUFFIXES):
        raise DataError(
            f"`{_shown(url)}` answers with HTML, a web page instead of the file; open it in a "
            "browser: it may ask to log in, or the file has moved"
        )


def _hasher(kind: str) -> Any:
    return hashlib.md5(usedforsecurity=False) if kind == "md5" else hashlib.new(kind)


def _shown(url: str) -> str:
    """Return an address without its query and user, which may hold secrets."""
    scheme, mark, rest = url.partition("#")[0].partition("?")[0].rpartition("://")
    host, slash, path = rest.partition("/")
    return one_line(f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}", 200)
