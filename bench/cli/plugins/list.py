"""`bench plugins list`: what is installed, and what could not be loaded."""

from __future__ import annotations

from typing import Any

import click

from bench import api_version
from bench.cli import foreign
from bench.cli.common import json_option, print_columns, print_json, print_warnings
from bench.cli.plugins import facts
from bench.registry import Plugin, Registry, load_registry
from bench.specs import KINDS
from bench.text import duration, one_line


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List plugins: distribution, version, API version, components, load time, error.

    Commands that distributions add to `bench` stand below.
    """
    from bench.cli import COMMANDS

    registry = load_registry()
    commands = foreign.commands(COMMANDS)
    if as_json:
        print_json(
            {
                "schema": 1,
                "api": api_version.API_VERSION,
                "plugins": [facts.of_plugin(registry, plugin) for plugin in registry.plugins],
                "commands": [_plain_command(command) for command in commands],
            }
        )
        return
    rows = [_row(registry, plugin) for plugin in registry.plugins]
    rows += [_command_row(command) for command in commands]
    print_columns(("plugin", "distribution", "API", "load time", "components"), rows)
    for plugin in registry.plugins:
        if plugin.error:
            click.echo(f"error: plugin {plugin.label}: {plugin.error}", err=True)
        print_warnings(f"plugin {plugin.label}: {told}" for told in plugin.deprecations)
    for command in commands:
        if command.problem:
            click.echo(f"error: {command.label}: {command.problem}", err=True)


def _plain_command(command: foreign.Foreign) -> dict[str, Any]:
    return {
        "name": command.name,
        "distribution": command.point.distribution,
        "version": command.point.version,
        "target": command.point.target,
        "error": command.problem,
    }


def _api(plugin: Plugin) -> str:
    """Return the API version of a plugin in words."""
    return f"{api_version.UNDECLARED} (undeclared)" if plugin.api is None else str(plugin.api)


def _offered(registry: Registry, plugin: Plugin) -> str:
    """Return how many components of each kind a plugin offers, or what else it does."""
    if plugin.error:
        return "broken: it could not be loaded"
    counts = []
    for kind, spec in KINDS.items():
        number = sum(component.kind == kind for component in plugin.components)
        if number:
            counts.append(f"{number:,} {spec.kind if number == 1 else spec.plural}")
    hooks = registry.hooks(plugin)
    if "register_baselines" in hooks:
        counts.append("baselines")
    if any(not hook.startswith("register_") for hook in hooks):
        counts.append("observer")
    return ", ".join(counts) or "nothing"


def _row(registry: Registry, plugin: Plugin) -> tuple[str, ...]:
    distribution = f"{plugin.distribution} {plugin.version}"
    seconds = duration(plugin.seconds)
    return plugin.name, distribution, _api(plugin), seconds, _offered(registry, plugin)


def _command_row(command: foreign.Foreign) -> tuple[str, ...]:
    distribution = f"{command.point.distribution} {command.point.version}"
    what = "no command" if command.problem else f"command `bench {command.name}`"
    return one_line(command.name), distribution, "–", "–", what
