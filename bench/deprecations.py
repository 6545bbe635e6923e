"""Names and hooks of the plugin door that go: what replaces them, and who still uses them.

Whatever goes is named here for at least a release before it does, and stays here after it went, so
that both the warning and the error say what to write.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Deprecation:
    """What is known of a thing that goes.

    Attributes:
        since: the release that began to warn.
        removed: the release without it.
        instead: what to write.
        target: of a name, where the object is meanwhile, `module:object`; empty once it is gone.
    """

    since: str
    removed: str
    instead: str
    target: str = ""

    def warning(self, what: str) -> str:
        """Return what is told of it while it works."""
        return (
            f"{what} is deprecated since {self.since} and goes with {self.removed}; "
            f"use {self.instead}"
        )

    def error(self, what: str) -> str:
        """Return what is told of it once it is gone."""
        return f"{what} is gone since {self.removed}; use {self.instead}"


NAMES: dict[str, Deprecation] = {}
"""By a name of `bench`, without the `bench.`."""
HOOKS: dict[str, Deprecation] = {}
"""By the name of a hook. One that still works is in `bench.hookspecs` as well."""

_heard: list[list[str]] = []
_CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)'")


@contextlib.contextmanager
def heard(messages: list[str]) -> Iterator[None]:
    """Put what is told meanwhile into a list, each once, rather than warn of it."""
    _heard.append(messages)
    try:
        yield
    finally:
        _heard.pop()


def tell(message: str, stacklevel: int) -> None:
    """Tell whoever listens, or else warn of the line that many calls above the caller."""
    if not _heard:
        warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
    elif message not in _heard[-1]:
        _heard[-1].append(message)


def resolve(name: str) -> Any:
    """Return what a name of `bench` that goes still stands for; called by `bench.__getattr__`.

    Raises:
        AttributeError: it is gone, or was never there.
    """
    known = NAMES.get(name)
    if known is None:
        raise AttributeError(f"module `bench` has no attribute `{name}`")
    if not known.target:
        raise AttributeError(known.error(f"`bench.{name}`"))
    tell(known.warning(f"`bench.{name}`"), stacklevel=3)
    module, _, attribute = known.target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def of_hook(name: str, *, known: bool) -> None:
    """Tell of a hook that goes.

    Args:
        name: of the hook that a plugin implements.
        known: whether `bench` still has it.

    Raises:
        LookupError: it is gone.
    """
    found = HOOKS.get(name)
    if found is None:
        return
    if not known:
        raise LookupError(found.error(f"hook `{name}`"))
    tell(found.warning(f"hook `{name}`"), stacklevel=2)


def behind(error: BaseException) -> str | None:
    """Return what to write where `from bench import NAME` failed because the name is gone.

    Python drops what the `AttributeError` said of it.
    """
    if not isinstance(error, ImportError) or error.name != "bench":
        return None
    name = _CANNOT_IMPORT.search(str(error))
    known = NAMES.get(name[1]) if name else None
    return known.error(f"`bench.{name[1]}`") if name and known else None
