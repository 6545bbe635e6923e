"""How another process comes by the component that is to be checked: a recipe, as plain data."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bench.conformance.rules import DATA_DIR
from bench.entry_points import EntryPoint
from bench.errors import PluginError, UsageError
from bench.overrides import defaults_of, typed
from bench.registry import Offer, Plugin, Registry
from bench.specs import Component
from bench.text import did_you_mean, listing

PATH = "path"
TAKERS = ("build", "load", "locate", "hints", "origin", "preprocessing", "pretrained")
"""What takes the params of a component; a metric's `compute` and `per_item` do as well."""


@dataclass(frozen=True)
class Recipe:
    """A component by its names, and what it is to be made with.

    Attributes:
        module: the value of its plugin's entry point.
        kind: of the component.
        name: of the component; of a source, without a path.
        plugin: the name of its plugin.
        distribution: that offers the plugin.
        version: of the distribution.
        params: in place of the defaults of these names; of a source, `path` is among them.
        data_dir: the user's folder with datasets.
    """

    module: str
    kind: str
    name: str
    plugin: str
    distribution: str
    version: str
    params: Mapping[str, Any] = field(default_factory=dict)
    data_dir: str | None = None

    @classmethod
    def of(cls, offer: Offer, params: Mapping[str, Any] | None = None) -> Self:
        """Return the recipe of a component, and of the params that were bound to it."""
        plugin, component = offer.plugin, offer.component
        bound = _bound(component)
        # A source at a path has another name; its own comes first among the others.
        name = component.aliases[0] if component.is_source and PATH in bound else component.name
        return cls(
            module=plugin.module,
            kind=component.kind,
            name=name,
            plugin=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            params={**bound, **(params or {})},
            data_dir=str(folder) if (folder := DATA_DIR.get()) else None,
        )

    def offer(self) -> Offer:
        """Load the plugin and return the component with its params bound.

        Raises:
            PluginError: the plugin cannot be loaded here.
        """
        plugin = Plugin(self.plugin, self.distribution, self.version, self.module)
        point = EntryPoint(self.plugin, self.module, self.distribution, self.version)
        registry = Registry()
        registry.add(plugin, point.load)
        if plugin.error:
            raise PluginError(f"plugin {plugin.label} could not be loaded: {plugin.error}")
        found = registry.get(self.kind, self.name)
        return Offer(with_params(found, self.params), plugin)


def with_params(offer: Offer, params: Mapping[str, Any]) -> Component:
    """Return a component with other defaults.

    Raises:
        UsageError: it has no such param.
        ConfigError: a value does not suit its param.
    """
    component = offer.component
    defaults = defaults_of(offer)
    for name in params:
        if name not in defaults:
            hint = did_you_mean(name, defaults)
            has = f"its params are {listing(defaults)}" if defaults else "it has none"
            raise UsageError(
                f"{component.kind} `{component.name}` has no param `{name}`{hint}; {has}"
            )
    given = {
        name: typed(value, defaults[name], f"`{component.name}.{name}`")
        for name, value in params.items()
        if name != PATH or not component.is_source
    }
    if component.is_source and PATH in params:
        component = component.at(str(params[PATH]))
    if not given:
        return component
    bound: dict[str, Any] = {
        name: Given(taker, **given)
        for name in (*TAKERS, "compute", "per_item")
        if callable(taker := getattr(component, name, None))
    }
    return dataclasses.replace(component, **bound)


def suited(params: Mapping[str, Any], offer: Offer) -> dict[str, Any]:
    """Return those of some params that a component has."""
    try:
        known = offer.component.defaults
    except (TypeError, ValueError):  # a factory without a signature, which a rule complains of
        return {}
    return {name: value for name, value in params.items() if name in known}


class Given(functools.partial[Any]):
    """A factory with params that were given here, as against those that its plugin has bound."""


def _bound(component: Component) -> dict[str, Any]:
    """Return the params that were bound to a component here."""
    found: dict[str, Any] = {}
    factory: Any = component.factory
    while isinstance(factory, functools.partial):
        # Of a source, `path` is what stood after its colon.
        here = isinstance(factory, Given) or (component.is_source and [*factory.keywords] == [PATH])
        found = {**(factory.keywords if here else {}), **found}
        factory = factory.func
    return found
