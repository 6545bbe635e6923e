"""`bench plugins info`: a plugin or a component, as its source has it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import click

from bench.cli.common import json_option, print_json, print_table, registry_with_warnings
from bench.cli.plugins import facts
from bench.conformance.choosing import is_meant
from bench.errors import UnknownNameError
from bench.files import dump_json
from bench.registry import Offer, Plugin, Registry, load_registry
from bench.specs import KINDS
from bench.study_series import spoken_space
from bench.text import did_you_mean, duration, listing

SHOWN = 12
"""So many names of a kind are shown of a plugin."""


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a plugin or of a component."""
    return sorted(name for name in _names(load_registry()) if name.startswith(incomplete))


@click.command("info")
@click.argument("name", shell_complete=complete)
@json_option
def command(name: str, as_json: bool) -> None:
    """Show a plugin or a component: docs, params with their defaults, search space, source.

    NAME is a plugin, a distribution or a component: `NAME`, `KIND:NAME`, `NAME@PLUGIN`, globs
    allowed.
    """
    registry = registry_with_warnings()
    plugins = [plugin for plugin in registry.plugins if name in (plugin.name, plugin.distribution)]
    offers = list(_offers(registry, name))
    if not plugins and not offers:
        hint = did_you_mean(name.partition("@")[0], _names(registry))
        raise UnknownNameError(
            f"no plugin or component is called `{name}`{hint}; `bench plugins` and `bench list` "
            "show what there is"
        )
    about = [{**facts.of_plugin(registry, each), **facts.of_module(each)} for each in plugins]
    components = [facts.of_component(offer) for offer in offers]
    if as_json:
        print_json({"schema": 1, "plugins": about, "components": components})
        return
    blocks = [*map(_plugin_lines, plugins, about), *map(_component_lines, components)]
    for number, lines in enumerate(blocks):
        click.echo("\n" * bool(number) + "\n".join(lines))
        if number >= len(about):
            _print_params(components[number - len(about)])


def _names(registry: Registry) -> set[str]:
    plugins = {name for each in registry.plugins for name in (each.name, each.distribution)}
    return plugins.union(*(registry.names(kind) for kind in KINDS))


def _offers(registry: Registry, name: str) -> Iterable[Offer]:
    """Yield what is called so: of every kind, and of every plugin, unless one is named."""
    return (offer for kind in KINDS for offer in registry.offers(kind) if is_meant(offer, name))


def _plugin_lines(plugin: Plugin, about: dict[str, Any]) -> list[str]:
    lines = [f"plugin {plugin.label}", *_docs(about["docs"])]
    version = str(about["api"]) + ("" if about["api_declared"] else " (undeclared)")
    lines += _pairs(
        ("error", plugin.error or ""),
        ("API version", version),
        ("load time", duration(plugin.seconds)),
        ("hooks", ", ".join(about["hooks"])),
        ("source", about["source"] or ""),
        *(("deprecated", told) for told in plugin.deprecations),
    )
    for plural, names in about["components"].items():
        if names:
            lines += _pairs((plural, listing(names, SHOWN).replace("`", "")))
    return lines


def _component_lines(about: dict[str, Any]) -> list[str]:
    lines = [f"{about['kind']} {about['name']}", *_docs(about["docs"])]
    offered = f"`{about['plugin']}` ({about['distribution']} {about['version']})"
    return [
        *lines,
        *_pairs(
            ("offered by", offered),
            ("aliases", ", ".join(about["aliases"])),
            ("default", "where none of its kind is named" if about["default"] else ""),
            *((name, _spoken(value)) for name, value in about["facts"].items()),
            ("source", about["source"] or ""),
            ("search", about["space_error"] or ""),
        ),
    ]


def _docs(text: str) -> list[str]:
    """Return a docstring as lines, without what would steer a terminal."""
    lines = textwrap.indent(text, "  ").splitlines()
    return ["", *("".join(filter(str.isprintable, line)) for line in lines), ""] if text else [""]


def _pairs(*pairs: tuple[str, str]) -> list[str]:
    return [f"  {name:14} {text}" for name, text in pairs if text]


def _spoken(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_spoken(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_spoken, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_params(about: dict[str, Any]) -> None:
    """Print the params with their defaults, and what a search may set of each."""
    space = about["space"]
    rows = []
    for name in dict.fromkeys((*about["params"], *space)):
        default = dump_json(about["params"][name]) if name in about["params"] else "–"
        searched = spoken_space(space[name]) if name in space else "–"
        if name in space and not space[name]["always"]:
            searched += ", in some trials"
        rows.append((name, default.strip(), searched))
    if rows:
        click.echo()
        print_table(("param", "default", "search"), rows)
    else:
        click.echo("\n  no params")
