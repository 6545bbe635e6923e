"""`bench plugins`: what is installed, what is in it, whether it keeps its promises; a new one."""

from __future__ import annotations

import click

from bench.cli.lazy import LazyGroup

COMMANDS = {
    "list": (
        "bench.cli.plugins.list",
        "List plugins: version, API, components, load time, error.",
    ),
    "info": ("bench.cli.plugins.info", "Show a plugin or a component: docs, params, source."),
    "check": ("bench.cli.plugins.check", "Check that components keep the rules of their kinds."),
    "new": ("bench.cli.plugins.new", "Begin a plugin: a package that installs and passes."),
}


class Plugins(LazyGroup):
    """The commands about plugins."""

    table = COMMANDS


@click.group(
    "plugins",
    cls=Plugins,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List plugins, look into them, check them, or begin a new one.

    Alone it is `bench plugins list`.
    """
    if ctx.invoked_subcommand is None:
        listing = ctx.command.get_command(ctx, "list")  # type: ignore[attr-defined]
        ctx.invoke(listing, as_json=as_json)
    elif as_json:
        words = f"bench plugins {ctx.invoked_subcommand}"
        raise click.UsageError(f"`--json` stands behind the command: `{words} --json`")
