"""Archives from anywhere, unpacked without trusting them.

A member that would be written outside its folder, a link that leads out, a device and a bomb are
refused by their names, and then nothing at all is unpacked: the folder appears when it is whole.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bench import files
from bench.errors import DataError, StoreError
from bench.text import byte_size, one_line

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")
"""Endings of the files that are taken for archives, in lower case."""

_OF_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
MAX_BYTES = 500_000_000_000
MAX_MEMBERS = 5_000_000
MAX_RATIO = 100
"""How many times larger than the archive its content may be, once it exceeds `FREE_BYTES`."""

FREE_BYTES = 100_000_000
MAX_HEADER = 10_000_000
_CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """Return whether a file's name is that of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def is_zip(path: Path) -> bool:
    """Return whether a file begins as a zip file does; a tar may have a whole one at its end."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def extract(archive: Path, folder: Path) -> Path:
    """Return `folder`, which holds what is in a zip or tar file; it is reused where it is there.

    Raises:
        DataError: the archive is missing, damaged or dangerous; the message names the member.
        StoreError: the folder cannot be written.
    """
    if folder.is_dir():
        return folder
    if not archive.is_file():
        raise DataError(f"there is no file `{archive}`; check the path")
    with files.lock(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return folder
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            with _damage(archive):
                unpack = _unpack_zip if is_zip(archive) else _unpack_tar
                unpack(archive, temporary)
            temporary.chmod(0o777 & ~files.umask())  # mkdtemp's folders are private
            temporary.rename(folder)
        except OSError as error:
            if error.errno in _OF_NAMES:
                raise DataError(
                    f"`{archive}` cannot be unpacked: two of its members clash, or a name is too "
                    f"long ({error.strerror})"
                ) from error
            raise StoreError(
                f"cannot unpack `{archive}` into `{folder.parent}`: {error.strerror or error}; "
                "BENCH_CACHE names another folder"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


@dataclass
class _Limits:
    """What has been unpacked so far, against what may be."""

    archive: Path
    size: int = field(init=False)
    members: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self.size = self.archive.stat().st_size

    def add(self, name: str, size: int) -> None:
        """Count a member, or refuse it."""
        self.members += 1
        self.total += size
        if self.members > MAX_MEMBERS:
            raise self.refusal(name, f"is one of more than {MAX_MEMBERS:,} members")
        if self.total > MAX_BYTES:
            raise self.refusal(name, f"takes the content above {byte_size(MAX_BYTES)}")
        if self.total > max(FREE_BYTES, MAX_RATIO * self.size):
            whole = f"{byte_size(self.total)} from {byte_size(self.size)}"
            raise self.refusal(name, f"makes {whole}, as a decompression bomb would")

    def refusal(self, name: str, why: str) -> DataError:
        """Return the error that names a member."""
        return DataError(
            f"`{self.archive}` is refused: its member `{one_line(name, 120)}` {why}; "
            "unpack it by hand if you trust it"
        )

    def check_name(self, name: str) -> None:
        """Refuse a member that would be written elsewhere."""
        parts = name.replace("\\", "/").split("/")
        if parts[0] == "" or parts[0].endswith(":"):
            raise self.refusal(name, "has an absolute path")
        if ".." in parts:
            raise self.refusal(name, "climbs out of its folder")


@contextlib.contextmanager
def _damage(archive: Path) -> Iterator[None]:
    """Turn what the readers of archives raise into one line."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _unreadable(archive, error) from error
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise _unreadable(archive, error) from error
    except OSError as error:
        # gzip and bz2 report damaged data as an OSError without a number.
        if error.errno is not None:
            raise
        raise _unreadable(archive, error) from error


def _unreadable(archive: Path, error: Exception) -> DataError:
    reason = one_line(str(error) or type(error).__name__, 120)
    return DataError(f"`{archive}` is damaged or no archive ({reason}); fetch it again")


def _unpack_tar(archive: Path, folder: Path) -> None:
    limits = _Limits(archive)

    def checked(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo | None:
        name = member.name
        limits.add(name, member.size)
        limits.check_name(name)
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            raise limits.refusal(name, "is a device or a pipe")
        if member.issym() or member.islnk():
            target = member.linkname
            # Stricter than the filter, which has been got round by chains of links with `..`.
            if target.startswith("/") or ".." in target.replace("\\", "/").split("/"):
                raise limits.refusal(name, f"links to `{one_line(target, 80)}`, which leads out")
        try:
            return tarfile.data_filter(member, destination)
        except tarfile.FilterError as error:
            raise limits.refusal(name, f"is unsafe ({one_line(str(error), 120)})") from error

    # Members are filtered one by one while the archive is read, so a bomb stops where it starts.
    with _decompressed(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        tar.extractall(folder, filter=checked)


class _SmallReads:
    """A file for tarfile, which reads the long headers of a tar into memory whole."""

    def __init__(self, file: IO[bytes], archive: Path) -> None:
        self._file = file
        self._archive = archive
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Return the next bytes, unless they are more than any honest header has."""
        if size > MAX_HEADER:
            raise DataError(
                f"`{self._archive}` is refused: it has a header of {byte_size(size)}, as a "
                "decompression bomb would; fetch it from elsewhere"
            )
        return self._file.read(size)


@contextlib.contextmanager
def _decompressed(archive: Path) -> Iterator[Any]:
    with archive.open("rb") as file:
        start = file.read(6)
    readers: dict[bytes, Any] = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\0": lzma}
    reader = next((module for magic, module in readers.items() if start.startswith(magic)), None)
    with reader.open(archive, "rb") if reader else archive.open("rb") as file:
        yield _SmallReads(file, archive)


def _unpack_zip(archive: Path, folder: Path) -> None:
    limits = _Limits(archive)
    with zipfile.ZipFile(archive) as source:
        members = source.infolist()
        for member in members:
            name, mode = member.filename, member.external_attr >> 16
            limits.add(name, member.file_size)
            limits.check_name(name)
            if stat.S_ISLNK(mode):
                raise limits.refusal(name, "is a symbolic link")
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise limits.refusal(name, "is a device or a pipe")
            if member.flag_bits & 1:
                raise limits.refusal(name, "is encrypted")
        for member in members:
            target = folder / member.filename
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            # Reading stops at the announced size, which was counted above.
            with source.open(member) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, _CHUNK)
