"""What a new plugin may be called: nothing that would hide, or be hidden by, what is there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import sys

from bench.errors import UsageError
from bench.origins import NONE
from bench.registry import Registry
from bench.specs import Component

PREFIX = "bench-"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""A name of a distribution, as the specification of Python packages (PEP 508) has it."""
_LONGEST = 64
_OWN = ("bench", "conftest", "setup", "test", "tests")
"""Modules and folders that a package of ours has, or that its tests look for."""


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it: `My_Plugin` is `my-plugin`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def module_of(name: str) -> str:
    """Return the module that a distribution of that name has."""
    return normal(name).replace("-", "_")


def component_of(name: str) -> str:
    """Return what users are to type: the name without the prefix that tells plugins on an index."""
    return normal(name).removeprefix(PREFIX)


def check_name(name: str, kind: str, registry: Registry) -> None:
    """Check the name of a new plugin and of its component.

    Raises:
        UsageError: it is no name of a package, or something here has it already.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` is no name for a package: letters, digits, `-`, `_` and `.`, with a letter "
            f"or digit at both ends{_proposal(name)}"
        )
    if len(name) > _LONGEST:
        raise UsageError(f"the name has {len(name)} characters; take at most {_LONGEST}")
    module = module_of(name)
    if (why := _conflict(name, module, kind, registry)) is not None:
        raise UsageError(why)


def _conflict(name: str, module: str, kind: str, registry: Registry) -> str | None:
    """Return what speaks against a name, or None."""
    proposal = _proposal(name)
    if keyword.iskeyword(module):
        return f"`{module}` is a keyword of Python{proposal}"
    if not module.isidentifier():
        return f"`{module}` would be a module, whose name begins with a letter{proposal}"
    if module in sys.stdlib_module_names:
        return f"`{module}` is a module of Python's own{proposal}"
    if module in _OWN:
        return f"`{module}` has a meaning of its own in a package{proposal}"
    for plugin in registry.plugins:
        if module in (plugin.name, plugin.module) or normal(name) == normal(plugin.distribution):
            return f"plugin {plugin.label} is installed already; take another name"
    if (version := _installed(name)) is not None:
        return f"`{name}` {version} is installed already, as another package{proposal}"
    if _is_module(module):
        return f"a module `{module}` is installed already{proposal}"
    component = component_of(name)
    if component == NONE and kind == "weights":
        return f"`{NONE}` stands for no weights at all{proposal}"
    if component in registry.names(kind):
        owners = [o.plugin.label for o in registry.offers(kind) if component in _names(o.component)]
        return f"{kind} `{component}` is offered by {owners[0]}; take another name"
    return None


def _names(component: Component) -> tuple[str, ...]:
    return (component.name, *component.aliases)


def _installed(name: str) -> str | None:
    """Return the version of the distribution of that name that is installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_module(module: str) -> bool:
    """Return whether a module of that name can be imported; a mere folder is none."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def _proposal(name: str) -> str:
    """Say what to do: try a name that is made of the given one, where that can be."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()
    words = words.removeprefix(PREFIX).strip("-")
    proposal = f"{PREFIX}{words}"
    return f"; try `{proposal}`" if words and proposal != normal(name) else "; take another name"
