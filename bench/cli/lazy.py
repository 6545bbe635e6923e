"""Groups of commands that are imported only when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import ClassVar

import click
from click.shell_completion import CompletionItem

Table = Mapping[str, tuple[str, str]]
"""name -> (module, one-line help); the module's `command` is the click command."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called.

    Help and completion need no more than the table. A group of it is a subclass with a `table`.
    """

    table: ClassVar[Table] = {}

    def lines(self) -> dict[str, str]:
        """Return the names of the commands with their help, in the order of listings."""
        return {name: text for name, (_, text) in self.table.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.lines())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a command."""
        if name not in self.table:
            return None
        command = importlib.import_module(self.table[name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines().items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing any."""
        found = [
            CompletionItem(name, help=text)
            for name, text in self.lines().items()
            if name.startswith(incomplete)
        ]
        # Of a group, click's own would import every command; options are a plain command's.
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest one."""
        if not args or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        command = self.get_command(ctx, args[0])
        if command is None:
            from bench.text import did_you_mean

            hint = did_you_mean(args[0], self.lines())
            path = ctx.command_path
            words = f"{path} {args[0]}".partition(" ")[2]
            raise click.UsageError(f"there is no command `{words}`{hint}; see `{path} --help`")
        return args[0], command, args[1:]
