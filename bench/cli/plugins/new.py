"""`bench plugins new`: a package of one's own, which installs and passes its test as it is."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bench.cli.common import NamedPath
from bench.registry import load_registry
from bench.scaffold import Package, check_name, write
from bench.specs import KINDS


@click.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice([*KINDS]), required=True, help="What it is to offer.")
@click.option(
    "--folder",
    type=NamedPath(path_type=Path),
    help="Folder to make for the package.  [default: NAME, in the working folder]",
)
def command(name: str, kind: str, folder: Path | None) -> None:
    """Begin a plugin: write a package that installs and passes its test.

    NAME is that of the package; of a name like `bench-lion`, users type `lion`.
    """
    check_name(name, kind, load_registry())
    package = Package(name, kind)
    folder = folder or Path(name)
    written = write(package, folder)
    click.echo(f"wrote `{folder}`: {', '.join(written)}")
    click.echo(f"\nThe plugin is {package.module}.py. To try it and to check it:\n")
    for line in (
        f"cd {shlex.quote(str(folder))}",
        "pip install -e '.[test]'",
        "pytest",
        f"bench plugins check {package.module}",
        package.command,
    ):
        click.echo(f"  {line}")
