"""Which components are meant where a plugin, a distribution or a component is named."""

from __future__ import annotations

import fnmatch

from bench.errors import UnknownNameError
from bench.registry import Offer, Plugin, Registry
from bench.specs import KINDS
from bench.text import did_you_mean, listing


def chosen(registry: Registry, name: str) -> tuple[list[Plugin], list[Offer]]:
    """Return the plugins and components that a name means.

    Args:
        registry: what is installed.
        name: of a plugin or distribution, which means all that it offers; or of a component:
            `NAME`, or `KIND:NAME` where several kinds have one. Globs are taken as well.

    Returns:
        The plugins that could not be loaded, and the components.

    Raises:
        UnknownNameError: nothing has that name.
    """
    plugins = [p for p in registry.plugins if name in (p.name, p.distribution)]
    if plugins:
        broken = [plugin for plugin in plugins if plugin.error]
        every = [offer for kind in KINDS for offer in registry.offers(kind)]
        return broken, [o for o in every if any(o.plugin is plugin for plugin in plugins)]
    found = [offer for kind in KINDS for offer in registry.offers(kind) if is_meant(offer, name)]
    if found:
        return [], found
    words = [
        *{word for plugin in registry.plugins for word in (plugin.name, plugin.distribution)},
        *{offer.name for kind in KINDS for offer in registry.offers(kind)},
        *{f"{kind}:{offer.name}" for kind in KINDS for offer in registry.offers(kind)},
    ]
    unloaded = [plugin.name for plugin in registry.plugins if plugin.error]
    also = f"; {listing(unloaded)} could not be loaded" if unloaded else ""
    raise UnknownNameError(
        f"no plugin, distribution or component is called `{name}`{did_you_mean(name, words)}"
        f"{also}; `bench plugins list` shows the plugins"
    )


def is_meant(offer: Offer, name: str) -> bool:
    """Return whether a name, as `KIND:NAME` or without the kind, is a component's."""
    component = offer.component
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS:
        if kind != component.kind:
            return False
        name = rest
    bare, _, plugin = name.partition("@")
    if plugin and plugin not in (offer.plugin.name, offer.plugin.distribution):
        return False
    names = (component.name, *component.aliases)
    return bare in names or any(fnmatch.fnmatchcase(each, bare) for each in names[:1])
