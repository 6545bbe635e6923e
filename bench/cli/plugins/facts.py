"""What is known of a plugin and of a component without building anything, as plain data."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from bench import api_version
from bench.errors import PluginError
from bench.registry import Offer, Plugin, Registry
from bench.specs import KINDS
from bench.text import one_line
from bench.tuning.proposals import Part, try_out

_TOLD = ("name", "description", "aliases", "default", "preload")
"""Fields of a component that are told of by themselves; `preload` is of no use to a reader."""


def of_plugin(registry: Registry, plugin: Plugin) -> dict[str, Any]:
    """Return what is known of a plugin."""
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "api": api_version.UNDECLARED if plugin.api is None else plugin.api,
        "api_declared": plugin.api is not None,
        "seconds": plugin.seconds,
        "error": plugin.error,
        "deprecations": plugin.deprecations,
        "hooks": registry.hooks(plugin),
        "components": {
            spec.plural: [c.name for c in plugin.components if c.kind == kind]
            for kind, spec in KINDS.items()
        },
    }


def of_module(plugin: Plugin) -> dict[str, Any]:
    """Return the docs and the file of a plugin's module, also of one that cannot be imported."""
    name = plugin.module.partition(":")[0]
    module = sys.modules.get(name)
    source = getattr(module, "__file__", None)
    if module is None:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            found = None
        source = found.origin if found else None
    return {"docs": inspect.getdoc(module) or "" if module else "", "source": source}


def of_component(offer: Offer) -> dict[str, Any]:
    """Return what is known of a component.

    Its `suggest` is called, with trials that answer everything which may be answered.
    """
    component = offer.component
    factory = _definition(component.factory)
    docs = inspect.getdoc(factory) or ""
    summary = component.summary
    return {
        "kind": component.kind,
        "name": component.name,
        "aliases": list(component.aliases),
        "default": component.default,
        "plugin": offer.plugin.name,
        "distribution": offer.plugin.distribution,
        "version": offer.plugin.version,
        "docs": docs if docs.startswith(summary) else f"{summary}\n\n{docs}".strip(),
        "params": _plain(component.defaults),
        **_space(offer),
        "source": _place(factory),
        "facts": _facts(offer),
    }


def _definition(factory: Callable[..., Any]) -> Any:
    """Return the function or class that a factory comes down to."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    found = inspect.unwrap(factory)
    return found if inspect.isroutine(found) or inspect.isclass(found) else type(found)


def _place(defined: Any) -> str | None:
    """Return `file:line`, or None for what was not written in Python."""
    try:
        return f"{inspect.getsourcefile(defined)}:{inspect.getsourcelines(defined)[1]}"
    except (TypeError, OSError):
        return None


def _space(offer: Offer) -> dict[str, Any]:
    """Return the ranges and choices that a component proposes, or why it cannot."""
    component = offer.component
    part = Part(component.kind, component.name, offer, component.defaults, component.defaults)
    try:
        proposal = try_out(part, {})
    except PluginError as error:
        return {"space": {}, "space_error": one_line(str(error))}
    space = {
        name: {**domain.describe(), "always": name in proposal.always}
        for name, domain in proposal.asked.items()
    }
    return {"space": space, "space_error": None}


def _facts(offer: Offer) -> dict[str, Any]:
    """Return the fields that a component sets beside its factories, as far as they are data."""
    component = offer.component
    found: dict[str, Any] = {}
    for each in dataclasses.fields(component):
        value = getattr(component, each.name)
        default = each.default
        if each.default_factory is not dataclasses.MISSING:
            default = each.default_factory()
        if each.name in _TOLD or value == default or callable(value):
            continue
        found[each.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        known = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {name: _plain(each) for name, each in known.items() if each is not None}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)
