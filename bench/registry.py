"""From entry points to components: who offers what, and what could not be loaded.

Every plugin, built in or not, comes through the entry-point group `bench`. Each is loaded alone,
so that a broken one becomes a row that says why, and only asking for what it would have offered
is an error.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pluggy

from bench import api_version, deprecations, entry_points, hookspecs
from bench.errors import AmbiguousNameError, PluginError, UnknownNameError, UsageError
from bench.foreign_code import calling, naming_crashes, stdout_to_stderr
from bench.records import ComponentRef
from bench.specs import KINDS, UNFIT_FOR_NAMES, Component, Loss, Metric, Task
from bench.text import did_you_mean, listing, one_line

_GLOB = re.compile(r"[*?\[]")
HOOKS = tuple(
    name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")
)
_STRICT_VARIABLES = ("BENCH_STRICT_PLUGINS", "BENCH_PLUGINS_FATAL")


@dataclass
class Plugin:
    """One entry point and what became of it.

    Attributes:
        error: why nothing of it is listed, in one line; None where it loaded.
        seconds: what importing it and asking for its components took.
        api: the version of the plugin API that it declares; None where it does not.
        deprecations: what of `bench` it uses that goes, in one line each.
    """

    name: str
    distribution: str
    version: str
    module: str
    error: str | None = None
    seconds: float = 0.0
    components: list[Component] = field(default_factory=list)
    api: int | None = None
    deprecations: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """How messages name the plugin."""
        return f"`{self.name}` ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Offer:
    """A component and the plugin that offers it."""

    component: Component
    plugin: Plugin

    @property
    def name(self) -> str:
        """The component's name."""
        return self.component.name


class Registry:
    """All that the installed plugins offer.

    Attributes:
        plugins: every entry point found, in order of distribution and name.
        manager: the pluggy manager; its hooks reach every plugin that loaded.
    """

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._offers: dict[str, list[Offer]] = {kind: [] for kind in KINDS}
        self._by_name: dict[str, dict[str, list[Offer]]] = {kind: {} for kind in KINDS}

    def add(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        """Load a plugin and list its components, or note why that failed.

        Nothing of a plugin is listed unless all of it is sound.
        """
        self.plugins.append(plugin)
        start = time.perf_counter()
        module = None
        try:
            with deprecations.heard(plugin.deprecations):
                module = load()
                plugin.api = api_version.declared(module, plugin.module)
                api_version.check(plugin.api, plugin.distribution)
                self._check_hooks(plugin, module)
                plugin.components = list(_collect(module))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may even raise SystemExit at import
            # Another plugin of that name, which came first, stays.
            if module is not None and self.manager.get_plugin(plugin.name) is module:
                self.manager.unregister(name=plugin.name)
            plugin.components = []
            plugin.error = _reason(plugin, error, imported=module is not None)
        plugin.seconds = time.perf_counter() - start
        for component in plugin.components:
            offer = Offer(component, plugin)
            self._offers[component.kind].append(offer)
            for name in (component.name, *component.aliases):
                self._by_name[component.kind].setdefault(name, []).append(offer)

    def _check_hooks(self, plugin: Plugin, module: Any) -> None:
        if self.manager.has_plugin(plugin.name):
            raise PluginError(f"another plugin is already called `{plugin.name}`")
        self.manager.register(module, name=plugin.name)
        callers = self.manager.get_hookcallers(module) or []
        for caller in callers:
            try:
                deprecations.of_hook(caller.name, known=caller.has_spec())
            except LookupError as error:
                raise PluginError(str(error)) from None
            if not caller.has_spec():
                hint = did_you_mean(caller.name, HOOKS)
                raise PluginError(f"there is no hook `{caller.name}`{hint}")

    def hooks(self, plugin: Plugin) -> list[str]:
        """Return the names of the hooks that a plugin implements, sorted."""
        module = self.manager.get_plugin(plugin.name)
        if plugin.error or module is None:
            return []
        return sorted(caller.name for caller in self.manager.get_hookcallers(module) or [])

    def offers(self, kind: str) -> list[Offer]:
        """Return everything of a kind, in the order of the plugins."""
        return list(self._offers[kind])

    def names(self, kind: str) -> list[str]:
        """Return all names of a kind, aliases included, sorted."""
        return sorted(self._by_name[kind])

    def get(self, kind: str, name: str) -> Offer:
        """Return the component called `name` or `name@plugin`.

        Raises:
            UnknownNameError: nothing has that name.
            AmbiguousNameError: several plugins offer it and none was named.
        """
        bare, _, wanted = name.partition("@")
        found = self._by_name[kind].get(bare, [])
        if wanted:
            found = [o for o in found if wanted in (o.plugin.name, o.plugin.distribution)]
        if len(found) > 1:
            owners = " and ".join(offer.plugin.label for offer in found)
            choice = f"{bare}@{found[0].plugin.name}"
            raise AmbiguousNameError(
                f"{kind} `{bare}` is offered by {owners}; choose one, for example `{choice}`"
            )
        if not found:
            raise UnknownNameError(self._unknown(kind, name))
        return found[0]

    def of(self, kind: str, ref: ComponentRef) -> Offer:
        """Return the component that a run names; of a source, what stands before the colon."""
        name = ref.name
        if name not in self._by_name[kind]:
            name = name.partition(":")[0]
        return self.get(kind, f"{name}@{ref.plugin}")

    def _source(self, kind: str, selector: str) -> Offer | None:
        """Return the source that a selector like `folder:PATH` names, at that path, or None."""
        if not KINDS[kind].addressed or selector in self._by_name[kind]:
            return None
        scheme, colon, text = self._with_source(kind, selector).partition(":")
        if not colon:
            return None
        if scheme.partition("@")[0] not in self._by_name[kind]:
            known = [o.name for o in self._offers[kind] if o.component.is_source]
            hint = did_you_mean(scheme, known)
            raise UnknownNameError(
                f"no source is called `{scheme}`{hint}; a path stands after {listing(known, 20)}"
            )
        offer = self.get(kind, scheme)
        if not offer.component.is_source:
            raise UsageError(f"{kind} `{scheme}` takes no path; write `{scheme}` alone")
        if not text.strip():
            raise UsageError(f"{kind} `{selector}` lacks a path; write `{scheme}:PATH`")
        with calling(f"{kind} `{scheme}` of plugin {offer.plugin.label} takes no such path"):
            return Offer(offer.component.at(text), offer.plugin)

    def _with_source(self, kind: str, selector: str) -> str:
        """Return a path that stands alone with the source that its ending speaks for."""
        if re.match(r"[\w@-]+:", selector):
            return selector
        for offer in self._offers[kind]:
            if selector.lower().endswith(getattr(offer.component, "suffixes", ()) or "\0"):
                return f"{offer.name}:{selector}"
        return selector

    def select(self, kind: str, selectors: Iterable[str]) -> list[Offer]:
        """Return the components that names, globs, `name@plugin` and sources select, each once.

        Raises:
            UnknownNameError: a selector matches nothing.
        """
        chosen: dict[tuple[str, str], Offer] = {}
        for selector in selectors:
            source = self._source(kind, selector)
            if source is not None:
                path = source.component.defaults["path"]
                chosen.setdefault((str(path), source.plugin.name), source)
                continue
            bare, _, wanted = selector.partition("@")
            if _GLOB.search(bare) and bare not in self._by_name[kind]:
                names = [
                    offer.name
                    for offer in self._offers[kind]
                    if not wanted or wanted in (offer.plugin.name, offer.plugin.distribution)
                    if not offer.component.is_source
                ]
                matching = sorted(set(fnmatch.filter(names, bare)))
                suffix = f"@{wanted}" if wanted else ""
                found = [self.get(kind, name + suffix) for name in matching]
            else:
                found = [self.get(kind, selector)]
                if found[0].component.is_source:
                    raise UsageError(f"{kind} `{selector}` lacks a path; write `{selector}:PATH`")
            if not found:
                plural = KINDS[kind].plural
                raise UnknownNameError(
                    f"no {kind} matches `{selector}`; `bench list {plural}` shows them all"
                )
            for offer in found:
                chosen.setdefault((offer.name, offer.plugin.name), offer)
        return list(chosen.values())

    def default(self, kind: str, task: Task | None = None) -> Offer:
        """Return the one component of a kind, or of a task, that declares itself the default."""
        found = [offer for offer in self._offers[kind] if offer.component.is_default(task)]
        plural = KINDS[kind].plural
        if not found:
            raise UsageError(f"no {kind} is chosen; name one (`bench list {plural}` shows them)")
        if len(found) > 1:
            names = listing(f"{offer.name}@{offer.plugin.name}" for offer in found)
            raise AmbiguousNameError(f"several {plural} want to be the default ({names}); name one")
        return found[0]

    def _unknown(self, kind: str, name: str) -> str:
        plural = KINDS[kind].plural
        hint = did_you_mean(name.partition("@")[0], self._by_name[kind])
        sources = [o.name for o in self._offers[kind] if o.component.is_source]
        if sources and os.path.exists(name):
            hint = f" (a path stands after its source: {listing(sources, 20)})"
        broken = [plugin.label for plugin in self.plugins if plugin.error]
        message = f"no {kind} is called `{name}`{hint}; `bench list {plural}` shows them all"
        if broken and not hint:
            message += f" (not loaded: {', '.join(broken)}; `bench plugins` says why)"
        return message


def suits(offer: Offer, task: Task) -> bool:
    """Return whether a component is of use for a task; losses and metrics are choosy."""
    component = offer.component
    return not isinstance(component, Loss | Metric) or task in component.tasks


def load_registry() -> Registry:
    """Load every plugin that is installed, or those that `BENCH_PLUGINS` names.

    What plugins print while they load goes to stderr, so that stdout stays parseable.

    Raises:
        PluginError: one failed and `BENCH_STRICT_PLUGINS=1` makes that fatal.
    """
    registry = Registry()
    only = os.environ.get("BENCH_PLUGINS")
    wanted = None if only is None else {name.strip() for name in only.split(",") if name.strip()}
    with stdout_to_stderr(), naming_crashes():
        for point in entry_points.find(entry_points.PLUGINS):
            if wanted is not None and point.name not in wanted:
                continue
            plugin = Plugin(
                name=point.name,
                distribution=point.distribution,
                version=point.version,
                module=point.target,
            )
            registry.add(plugin, point.load)
    missing = (wanted or set()) - {plugin.name for plugin in registry.plugins}
    if missing:
        raise UsageError(f"BENCH_PLUGINS names {listing(sorted(missing))}, which is not installed")
    broken = [plugin for plugin in registry.plugins if plugin.error]
    if broken and any(os.environ.get(name, "") not in ("", "0") for name in _STRICT_VARIABLES):
        raise PluginError(f"plugin {broken[0].label} could not be loaded: {broken[0].error}")
    return registry


def _reason(plugin: Plugin, error: BaseException, *, imported: bool) -> str:
    """Return why a plugin is not listed: what it was written for tells more than a missing name."""
    if not imported:
        plugin.api = api_version.declared_in_source(plugin.module)
        try:
            api_version.check(plugin.api, plugin.distribution)
        except PluginError as mismatch:
            error = mismatch
    gone = deprecations.behind(error)
    return one_line(f"{type(error).__name__}: {error}" if gone is None else f"PluginError: {gone}")


def _collect(module: Any) -> Iterator[Component]:
    """Yield every component that a plugin's hooks return, checked."""
    seen: set[tuple[str, str]] = set()
    for kind, spec in KINDS.items():
        hook = getattr(module, f"register_{spec.plural}", None)
        if hook is None:
            continue
        for component in _returned(hook, spec.plural):
            if not isinstance(component, spec):
                raise PluginError(
                    f"`register_{spec.plural}` returned {type(component).__name__}, "
                    f"not bench.{spec.__name__}"
                )
            names: Sequence[str] = (component.name, *component.aliases)
            for name in names:
                if not isinstance(name, str) or not name.strip() or UNFIT_FOR_NAMES.search(name):
                    raise PluginError(
                        f"{kind} name {name!r} is empty or holds a comma, `@`, control or "
                        "invisible character"
                    )
                if (kind, name) in seen:
                    raise PluginError(f"it offers {kind} `{name}` twice")
                seen.add((kind, name))
            if not callable(component.factory):
                raise PluginError(f"{kind} `{component.name}` has no callable factory")
            _check_signature(component)
            yield component


def _check_signature(component: Component) -> None:
    """Refuse a factory whose params nobody can know, as those that are written in C may be."""
    factory = component.factory
    while isinstance(factory, functools.partial):
        factory = factory.func
    if inspect.isfunction(factory):  # nearly all are; looking at each would take its time
        return
    try:
        inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"{component.kind} `{component.name}` has a factory without a signature; "
            "wrap it in a function whose keywords are its params"
        ) from error


def _returned(hook: Callable[[], Any], plural: str) -> list[Any]:
    returned = hook()
    if returned is None or isinstance(returned, str) or not isinstance(returned, Iterable):
        raise PluginError(f"`register_{plural}` returned {type(returned).__name__}, not a list")
    return list(returned)
