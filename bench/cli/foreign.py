"""Commands that other distributions add to `bench`, by entry points in the group `bench.commands`.

Listing them reads metadata alone; a command is imported when it is called, and then nothing of it
can harm another.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import click

from bench import entry_points
from bench.entry_points import EntryPoint
from bench.errors import AmbiguousNameError, PluginError
from bench.text import one_line

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Foreign:
    """A command of another distribution.

    Attributes:
        name: what users type: its own, or `name@distribution` where several offer that.
        point: where it is.
        problem: why it cannot be called, and what to do, in one line; None where it can, as far as
            is known before it is imported.
    """

    name: str
    point: EntryPoint
    problem: str | None = None

    @property
    def help(self) -> str:
        """What listings say of it; its own help would need it imported."""
        return one_line(f"from {self.point.distribution} {self.point.version}")

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"command {self.point.label}"


def commands(taken: Collection[str]) -> list[Foreign]:
    """Return the commands of all installed distributions, sorted by name.

    Args:
        taken: the names of our own.
    """
    points = entry_points.find(entry_points.COMMANDS)
    names = [point.name for point in points]
    found = []
    for point in points:
        shared = names.count(point.name) > 1
        name = f"{point.name}@{point.distribution}" if shared else point.name
        found.append(Foreign(name, point, _problem(point, taken)))
    return sorted(found, key=lambda command: (command.name, command.point.distribution))


def _problem(point: EntryPoint, taken: Collection[str]) -> str | None:
    if point.error:
        return point.error
    if point.name in taken:
        return f"`bench {point.name}` is a command of bench itself; its authors may rename theirs"
    if not _NAME.fullmatch(point.name):
        return "its name holds more than letters, digits, `.`, `_` and `-`; its authors may mend it"
    return None


def find(name: str, known: Collection[Foreign]) -> Foreign | None:
    """Return the command that `name` or `name@distribution` calls, or None.

    Raises:
        AmbiguousNameError: several distributions offer it.
    """
    bare, _, wanted = name.partition("@")
    callable_ones = [command for command in known if command.problem is None]
    found = [command for command in callable_ones if command.point.name == bare]
    if wanted:
        found = [command for command in found if command.point.distribution == wanted]
    if len(found) > 1:
        owners = " and ".join(f"{c.point.distribution} {c.point.version}" for c in found)
        raise AmbiguousNameError(
            f"command `{bare}` is offered by {owners}; choose one, for example "
            f"`bench {bare}@{found[0].point.distribution}`"
        )
    return found[0] if found else None


def load(command: Foreign) -> click.Command:
    """Import a command; what it prints meanwhile goes to stderr.

    Raises:
        PluginError: it cannot be imported, or is no click command.
    """
    from bench.foreign_code import stdout_to_stderr

    point = command.point
    try:
        with stdout_to_stderr():
            loaded = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may even raise SystemExit
        raise PluginError(
            f"{command.label} cannot be loaded: {one_line(f'{type(error).__name__}: {error}')}; "
            f"update or uninstall `{point.distribution}`"
        ) from error
    if not isinstance(loaded, click.Command):
        raise PluginError(
            f"{command.label} cannot be called: `{point.target}` is no click command but "
            f"`{type(loaded).__name__}`; update or uninstall `{point.distribution}`"
        )
    return loaded
