"""Which architectures the installed timm offers, without importing it.

Importing timm takes seconds, because it imports torch; listing models must not. timm registers
each architecture with a decorator at the start of a line, so that its source text tells all
names within milliseconds. What was read is kept in the user's cache for as long as the files
stay as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
from pathlib import Path

from bench import files
from bench.errors import EnvironmentFailure, StoreError

# `\b` keeps `@register_model_deprecations` out; further decorators may follow the first.
_REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n)*def[ \t]+(\w+)", re.MULTILINE)


def architectures() -> dict[str, str]:
    """Return the family of every architecture by its name; a family is a module of timm.

    Raises:
        EnvironmentFailure: timm is not installed.
    """
    package = _package()
    cache = _cache_file(package)
    found = _read(cache)
    if found is None:
        found = scan(package / "models")
        # Nothing depends on the cache: where it cannot be written, the next start scans again.
        with contextlib.suppress(StoreError):
            files.write_json(cache, found)
    return found


def scan(folder: Path) -> dict[str, str]:
    """Return the family of every architecture that the modules of a folder register."""
    return {
        name: path.stem
        for path in sorted(folder.glob("*.py"))
        for name in _REGISTERED.findall(path.read_text(encoding="utf-8"))
    }


def _package() -> Path:
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        raise EnvironmentFailure("timm is not installed; `pip install timm` adds it")
    return Path(spec.origin).parent


def _cache_file(package: Path) -> Path:
    """Return the cache's path, which names the state of timm's files.

    The version alone would not do: in a checkout, files change under the same version.
    """
    digest = hashlib.sha256(str(package).encode())
    digest.update((package / "version.py").read_bytes())
    for entry in sorted(os.scandir(package / "models"), key=lambda entry: entry.name):
        status = entry.stat()
        digest.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return files.cache_folder() / "timm" / f"{digest.hexdigest()[:16]}.json"


def _read(cache: Path) -> dict[str, str] | None:
    """Return the cached families; None where the file is absent, damaged or foreign."""
    try:
        content = json.loads(cache.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not content:
        return None
    sound = all(isinstance(family, str) for family in content.values())
    return content if sound else None
