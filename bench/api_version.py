"""The version of what plugins are written against, and whether a plugin's is understood.

A plugin's module says `BENCH_API = 1`. docs/plugins/versions.md has the policy.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from bench.errors import PluginError

API_VERSION = 1
"""Counts up with every release that breaks plugins."""
OLDEST = 1
"""The oldest version that is still understood."""
UNDECLARED = 1
"""What is taken of a plugin that does not say: the version that was there before any other."""
VARIABLE = "BENCH_API"
_STATED = re.compile(rf"^{VARIABLE}\s*(?::[^=\n]+)?=\s*(-?\d+)\s*(?:#.*)?$", re.MULTILINE)


def declared(found: Any, target: str = "") -> int | None:
    """Return the version that a plugin declares, or None.

    Args:
        found: what its entry point names: a module, or an object of one.
        target: of its entry point, `module` or `module:object`; the object's class may be of
            another module.

    Raises:
        PluginError: it is no whole number.
    """
    names = target.partition(":")[0], getattr(found, "__module__", None) or type(found).__module__
    places = (found, *(sys.modules.get(name.strip()) for name in names))
    stated = (getattr(place, VARIABLE, None) for place in places)
    value = next((each for each in stated if each is not None), None)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise PluginError(
        f"its `{VARIABLE}` is {value!r}; write a whole number, as `{VARIABLE} = {API_VERSION}`"
    )


def declared_in_source(target: str) -> int | None:
    """Return the version that a module declares which cannot be imported, or None.

    A plugin for another version often fails at import, on a name that this one lacks.

    Args:
        target: of its entry point, `module` or `module:object`.
    """
    try:
        spec = importlib.util.find_spec(target.partition(":")[0])
        source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
    except Exception:  # finding a submodule imports what stands above it, which may do anything
        return None
    stated = _STATED.search(source)
    return int(stated[1]) if stated else None


def check(version: int | None, distribution: str) -> None:
    """Refuse a plugin that is written against what this version does not have.

    Args:
        version: as declared.
        distribution: that brings the plugin.

    Raises:
        PluginError: it is too new or too old.
    """
    version = UNDECLARED if version is None else version
    if version > API_VERSION:
        raise PluginError(
            f"it is written for plugin API {version}, and this bench has {API_VERSION}; "
            f"install a newer bench-harness, or an older `{distribution}`"
        )
    if version < OLDEST:
        known = f"{OLDEST}" if OLDEST == API_VERSION else f"{OLDEST} to {API_VERSION}"
        raise PluginError(
            f"it is written for plugin API {version}, and this bench understands {known}; "
            f"install a newer `{distribution}`, or an older bench-harness"
        )
