"""Where in the files of a plugin something went wrong."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

_STACK = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
"""A line of what faulthandler writes; the innermost call comes first."""


def folder_of(target: str) -> Path | None:
    """Return the folder of a plugin's package, or the file of a plugin that is a single one.

    Args:
        target: of its entry point, which is imported already.
    """
    module = sys.modules.get(target.partition(":")[0].strip())
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    return Path(file).parent if hasattr(module, "__path__") else Path(file)


def of_error(error: BaseException, folder: Path | None) -> str:
    """Return where an error was raised, as `file.py:12`: in the plugin, if it came through it.

    It is looked for in what the error was raised from as well.
    """
    calls: list[tuple[str, int]] = []
    cause: BaseException | None = error
    while cause is not None:
        found = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(cause.__traceback__)]
        calls = found + calls
        cause = cause.__cause__ or cause.__context__
    return _last(calls, folder)


def of_stack(text: str, folder: Path | None) -> str:
    """Return where the process was by what faulthandler wrote; empty where that is nothing."""
    thread = text.rpartition("most recent call first):")[2]
    calls = [(found["file"], int(found["line"])) for found in _STACK.finditer(thread)]
    return _last(reversed(calls), folder)


def _last(calls: Iterable[tuple[str, int]], folder: Path | None) -> str:
    """Return the last of some calls that is in the plugin."""
    if folder is None:
        return ""
    for file, line in reversed(list(calls)):
        path = Path(file)
        if path == folder or folder in path.parents:
            name = path.name if path == folder else path.relative_to(folder.parent)
            return f"{name}:{line}"
    return ""
