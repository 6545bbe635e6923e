"""`bench completion`: the script that teaches a shell our words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    For bash: add `eval "$(bench completion bash)"` to ~/.bashrc; zsh alike. For fish:
    `bench completion fish > ~/.config/fish/completions/bench.fish`.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "bench", "_BENCH_COMPLETE").source())
