"""What installed distributions offer `bench`: the one place that reads their metadata.

Metadata is other people's. Where that of a distribution cannot be read, nothing is raised: what it
would have offered is an entry point that says so when it is loaded.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
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
        name = _UNKNOWN
        try:
            # Few distributions speak of us; of the others no more than this is read.
            if f"[{group}]" not in (distribution.read_text(_FILE) or ""):
                continue
            name = distribution.metadata["Name"] or _UNKNOWN
            if name in found:
                continue
            if name != _UNKNOWN:  # installed twice: what is imported is what stands first
                distribution = importlib.metadata.distribution(name)
            points = _of(distribution, name, group)
        except Exception as error:  # whatever may be wrong with a file
            why = one_line(f"its `{_FILE}` or METADATA cannot be read: {error}")
            points = [EntryPoint(name, "", name, _UNKNOWN, error=f"{why}; install it again")]
        found.setdefault(name, []).extend(points)
    points = [point for several in found.values() for point in several]
    return sorted(points, key=lambda point: (point.distribution, point.name))


def _of(distribution: importlib.metadata.Distribution, name: str, group: str) -> list[EntryPoint]:
    version = distribution.metadata["Version"] or _UNKNOWN
    return [
        EntryPoint(point.name, point.value, name, version)
        for point in distribution.entry_points.select(group=group)
    ]
