"""Where torchvision's sets come from, so that their archives go through `bench.downloads`.

torchvision unpacks an archive that it finds in its place with the right MD5, and downloads it
otherwise, without retries, locks or a temporary file. So the archives are put there first. It
then unpacks them itself, which is as safe as the publishers whose checksums it knows. EuroSAT and
GTSRB keep their addresses inside a method: those two torchvision downloads itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
from bench.downloads import fetch


@dataclass(frozen=True)
class Remote:
    """One file on the web.

    Attributes:
        urls: its addresses, to be tried in this order.
        path: where torchvision looks for it.
        md5: all that torchvision knows of its content.
    """

    urls: Sequence[str]
    path: Path
    md5: str


def fetch_all(remotes: Sequence[Remote]) -> None:
    """Download what is not there already.

    Raises:
        bench.DataError: none of a file's addresses gives it.
    """
    for remote in remotes:
        for index, url in enumerate(remote.urls, 1):
            try:
                fetch(url, remote.path, md5=remote.md5)
                break
            except bench.DataError:
                if index == len(remote.urls):
                    raise


def remotes(reader: Any, root: Path) -> list[Remote]:
    """Return what a class of `torchvision.datasets` would download, as its attributes tell."""
    return list(_remotes(reader, root))


def _remotes(reader: Any, root: Path) -> Iterator[Remote]:
    def at(url: str, folder: Path, md5: str, name: str = "") -> Remote:
        return Remote((url,), folder / (name or url.rpartition("/")[2]), md5)

    raw = root / reader.__name__ / "raw"
    if reader.__name__ == "EMNIST":  # a kind of MNIST that inherits resources of no use to it
        yield at(reader.url, raw, reader.md5)
    elif hasattr(reader, "mirrors"):
        for name, md5 in reader.resources:
            yield Remote([mirror + name for mirror in reader.mirrors], raw / name, md5)
    elif hasattr(reader, "tgz_md5"):
        yield at(reader.url, root, reader.tgz_md5, reader.filename)
    elif hasattr(reader, "split_list"):
        for split in ("train", "test"):
            url, name, md5, *_ = reader.split_list[split]
            yield at(url, root, md5, name)
    elif hasattr(reader, "_file_dict"):
        for name, md5 in reader._file_dict.values():
            yield at(reader._download_url_prefix + name, root / "flowers-102", md5)
    elif hasattr(reader, "_RESOURCES"):
        for url, md5 in reader._RESOURCES:
            yield at(url, root / "oxford-iiit-pet", md5)
    elif hasattr(reader, "_MD5"):
        folder = root / "dtd" if reader.__name__ == "DTD" else root
        yield at(reader._URL, folder, reader._MD5)
