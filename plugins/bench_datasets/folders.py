"""Where downloaded data live."""

from __future__ import annotations

import os
from pathlib import Path


def download_folder() -> Path:
    """Return the folder for downloads: `$BENCH_CACHE/data`, or `data` in the user's cache."""
    import platformdirs

    chosen = os.environ.get("BENCH_CACHE")
    return (Path(chosen) if chosen else platformdirs.user_cache_path("bench")) / "data"
