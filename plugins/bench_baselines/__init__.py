"""Published results that `bench verify` checks: one TOML file each, in `files`."""

from __future__ import annotations

from pathlib import Path

import bench

BENCH_API = 1


@bench.hookimpl
def register_baselines() -> list[Path]:
    """Return the files, by name."""
    return sorted((Path(__file__).parent / "files").glob("*.toml"))
