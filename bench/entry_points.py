"""What installed distributions offer `bench`: the one place that reads their metadata.

Metadata is other people's. Where that of a distribution cannot be read, nothing is raised: what it
would have offered is an entry point that says so when it is loaded.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import PluginError
from bench.text import one_line

PLUGINS = "bench"
COMMANDS = "bench.commands"
_FILE = "entry_points.txt"
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class EntryPoint:
    """A line of an installed distribution that names an object.

    Attributes:
        name: what stands before the `=`.
        target: what stands behind it: `module`, or `module:object`.
        distribution: the name of what was installed, or `unknown`.
        version: its version, or `unknown`.
        error: why the line could not be read, and nothing can be loaded; else None.
    """

    name: str
    target: str
    distribution: str
    version: str
    error: str | None = None

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"`{self.name}` ({self.distribution} {self.version})"

    def load(self) -> Any:
        """Import what it names.

        Raises:
            PluginError: the line could not be read. Importing raises what the module does.
        """
        if self.error:
            raise PluginError(self.error)
        module, _, path = self.target.partition("[")[0].partition(":")
        found = importlib.import_module(module.strip())
        for part in filter(None, path.strip().split(".")):
            found = getattr(found, part)
        return found


def find(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, in the order of distribution and name."""
    found: dict[str, list[EntryPoint]] = {}
    for distribution in importlib.metadata.distributions():
        name, version = _by_folder(distribution)
        try:
            # Few distributions speak of us; of the others no more than this is read.
            if f"[{group}]" not in (distribution.read_text(_FILE) or ""):
                continue
            stated = _stated(distribution)
            name, version = stated.get("Name") or name, stated.get("Version") or version
            if name in found:  # installed twice: what stands first is what is imported
                continue
            first = importlib.metadata.distribution(name) if "Name" in stated else distribution
            points = [
                EntryPoint(point.name, point.value, name, version)
                for point in first.entry_points.select(group=group)
            ]
        except Exception as error:  # whatever may be wrong with a file
            points = [EntryPoint(name, "", name, version, error=_unreadable(name, error))]
        found.setdefault(name, []).extend(points)
    points = [point for several in found.values() for point in several]
    return sorted(points, key=lambda point: (point.distribution, point.name))


def _by_folder(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Return name and version as the name of the metadata's folder has them."""
    folder = Path(str(getattr(distribution, "_path", ""))).stem
    name, _, version = folder.partition("-")
    return name or _UNKNOWN, version or _UNKNOWN


def _stated(distribution: importlib.metadata.Distribution) -> dict[str, str]:
    """Return name and version as the metadata has them; nothing where its file is not there."""
    try:
        metadata = distribution.metadata
    except FileNotFoundError:
        # From `importlib_metadata`, which takes the place of Python's own reader in any process
        # that imports it; that one has an empty message.
        return {}
    return {name: metadata[name] for name in ("Name", "Version") if metadata and metadata[name]}


def _unreadable(name: str, error: Exception) -> str:
    why = one_line(f"{type(error).__name__}: {error}", 100)
    return f"its metadata cannot be read ({why}); install `{name}` again"
