"""`bench plugins list`: what is installed, and what could not be loaded."""

from __future__ import annotations

import click

from bench.cli.common import json_option, print_columns, print_json
from bench.registry import load_registry
from bench.specs import KINDS
from bench.text import duration


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List plugins: distribution, version, components, load time, error."""
    registry = load_registry()
    if as_json:
        rows = [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "module": plugin.module,
                "seconds": plugin.seconds,
                "error": plugin.error,
                "components": {
                    spec.plural: [c.name for c in plugin.components if c.kind == kind]
                    for kind, spec in KINDS.items()
                },
            }
            for plugin in registry.plugins
        ]
        print_json({"schema": 1, "plugins": rows})
        return
    table = []
    for plugin in registry.plugins:
        counts = []
        for kind, spec in KINDS.items():
            number = sum(component.kind == kind for component in plugin.components)
            if number:
                counts.append(f"{number:,} {spec.kind if number == 1 else spec.plural}")
        offered = f"broken: {plugin.error}" if plugin.error else ", ".join(counts) or "observer"
        version = f"{plugin.distribution} {plugin.version}"
        table.append((plugin.name, version, duration(plugin.seconds), offered))
    print_columns(("plugin", "distribution", "load time", "components"), table)
