"""`bench hello`: a command that `bench --help` lists without importing this module."""

from __future__ import annotations

import click

TRY = "bench run --datasets shapes --models patches,cnn --optimizers signum,adamw"


@click.command()
@click.option("--name", default="there", show_default=True, help="Who is greeted.")
def command(name: str) -> None:
    """Greet, and say what to try."""
    click.echo(f"hello {name}, try `{TRY}`")
