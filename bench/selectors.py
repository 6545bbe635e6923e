"""A component with params in one word, `NAME:PARAM=VALUE`, where no `--set` speaks of it."""

from __future__ import annotations

from typing import Any

from bench.errors import ConfigError, UnknownNameError
from bench.registry import Offer, Registry
from bench.specs import KINDS
from bench.text import did_you_mean, listing
from bench.words import parse_value


def with_params(kind: str, text: str, registry: Registry) -> tuple[Offer, dict[str, Any]]:
    """Return the component that a word names, and all its params.

    Args:
        kind: of the component.
        text: `NAME` or `NAME@PLUGIN`, or either with `PARAM=VALUE` after further colons.
        registry: who offers it.

    Raises:
        UnknownNameError: there is no such component, or it has no such param.
        AmbiguousNameError: several plugins offer it and none was named.
        ConfigError: no name; a param without a value, or of another type than its default.
    """
    name, *options = text.split(":")
    if not name.strip():
        shown = f"`bench list {KINDS[kind].plural}` shows them all"
        raise ConfigError(f"{kind} `{text}`: no name is given; {shown}")
    offer = registry.get(kind, name)
    defaults = offer.component.defaults
    params = dict(defaults)
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"{kind} `{text}`: params are written `{name}:PARAM=VALUE`")
        if key not in params:
            known = f"it has {listing(params)}" if params else "it takes no params at all"
            hint = did_you_mean(key, params)
            raise UnknownNameError(f"{kind} `{name}` has no param `{key}`{hint}; {known}")
        params[key] = _like(defaults[key], parse_value(value), f"{kind} `{text}`")
    return offer, params


def _like(default: Any, value: Any, where: str) -> Any:
    """Return a value as the type of the default it replaces."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if default is not None and type(value) is not type(default):
        raise ConfigError(f"{where}: {value!r} is no {type(default).__name__}")
    return value
