"""The params and protocol fields that `--set` overrides, and whether each was of use."""

from __future__ import annotations

import fnmatch
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bench.config import protocol_value
from bench.errors import ConfigError, PluginError
from bench.records import ComponentRef
from bench.registry import Offer
from bench.text import did_you_mean, listing

PROTOCOL = "protocol"


class Overrides:
    """The params that `--set` overrides, and whether each was of use.

    Args:
        settings: the values of each `NAME.PARAM` and `protocol.FIELD`.
        source: where they come from, for messages.
    """

    def __init__(self, settings: Mapping[str, tuple[Any, ...]], source: str = "--set") -> None:
        self._source = source
        self.protocol: dict[str, tuple[Any, ...]] = {}
        self._params: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._used: set[tuple[str, str]] = set()
        self._seen: set[str] = set()
        self._params_by_name: dict[str, set[str]] = {}
        for key, values in settings.items():
            # The last dot separates, since a model's name may hold dots.
            name, dot, param = key.rpartition(".")
            if not dot:
                raise ConfigError(f"{source} {key}: write NAME.PARAM=VALUE or protocol.FIELD=VALUE")
            if not values:
                raise ConfigError(f"{source} {key}: it has no value")
            if name == PROTOCOL:
                field = param.replace("-", "_")
                self.protocol[field] = tuple(
                    protocol_value(field, value, f"{source} {key}") for value in values
                )
            else:
                self._params[name, param] = values

    def variants(self, offer: Offer, base: ComponentRef | None = None) -> Iterator[ComponentRef]:
        """Yield the component with every combination of the params set for it.

        Args:
            offer: the component.
            base: what it is called and the params that it has where none are set; by default
                those of the component itself.
        """
        component = offer.component
        defaults = defaults_of(offer)
        own = base.name if base else component.name
        start = {**defaults, **(base.params if base else {})}
        self._seen.add(own)
        names = dict.fromkeys((own, component.name, *component.aliases))
        for name in names:
            self._params_by_name.setdefault(name, set()).update(defaults)
        grid: dict[str, list[Any]] = {}
        for (name, param), values in self._params.items():
            if name not in names and not any(fnmatch.fnmatchcase(n, name) for n in names):
                continue
            if param not in defaults:
                continue
            if component.is_source and param == "path":
                scheme = component.aliases[0] if component.aliases else component.name
                raise ConfigError(
                    f"{self._source} {name}.{param}: it is what stands after `{scheme}:`"
                )
            self._used.add((name, param))
            where = f"`{own}.{param}`"
            grid[param] = [typed(value, defaults[param], where) for value in values]
        for combination in itertools.product(*grid.values()):
            params = {**start, **dict(zip(grid, combination, strict=True))}
            yield ComponentRef(own, offer.plugin.name, params)

    def check_all_used(self) -> None:
        """Raise ConfigError for a setting that no chosen component has."""
        for name, param in self._params:
            if (name, param) in self._used:
                continue
            fitting = [n for n in self._params_by_name if fnmatch.fnmatchcase(n, name)]
            if not fitting:
                hint = did_you_mean(name, [*self._seen, PROTOCOL])
                chosen = listing(sorted(self._seen))
                raise ConfigError(
                    f"{self._source} {name}.{param}: `{name}` is not among the chosen components "
                    f"({chosen}){hint}"
                )
            known = sorted(set().union(*(self._params_by_name[n] for n in fitting)))
            has = f"its params are {listing(known)}" if known else "it has no params"
            raise ConfigError(
                f"{self._source} {name}.{param}: `{name}` has no param `{param}`"
                f"{did_you_mean(param, known)}; {has}"
            )


def defaults_of(offer: Offer) -> dict[str, Any]:
    """Return the params of a component with their default values.

    Raises:
        PluginError: its factory does not tell them, or one cannot be recorded.
    """
    component = offer.component
    try:
        defaults = component.defaults
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"{component.kind} `{component.name}` of plugin {offer.plugin.label} "
            f"has a factory without a signature: {error}"
        ) from error
    for param, default in defaults.items():
        if not _is_plain(default):
            raise PluginError(
                f"{component.kind} `{component.name}` of plugin {offer.plugin.label}: the "
                f"default of `{param}` is no number, text, boolean, null or list of these"
            )
    return defaults


def _is_plain(value: Any) -> bool:
    """Return whether JSON can hold a value, as records need; it knows no infinity and no NaN."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def typed(value: Any, default: Any, where: str) -> Any:
    """Return a value in the type of the default it replaces.

    Args:
        value: what is given.
        default: what it replaces.
        where: the param, for messages.

    Raises:
        ConfigError: it does not fit.
    """
    if not _is_plain(value):
        raise ConfigError(f"{where} wants a finite number, not {value!r}")
    wanted = type(default)
    if default is None or value is None or isinstance(value, wanted):
        fits = not (isinstance(value, bool) and wanted is int)
        fits = fits and not (value is None and default is not None)
        if fits:
            return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if wanted is tuple and isinstance(value, list):
        return tuple(value)
    if wanted is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ConfigError(f"{where} wants {_article(wanted.__name__)}, not {value!r}")


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
