"""Where downloaded data live."""

from __future__ import annotations

from pathlib import Path

from bench.files import cache_folder


def download_folder() -> Path:
    """Return the folder for downloads: `data` in the cache folder."""
    return cache_folder() / "data"
