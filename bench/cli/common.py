"""Options and outputs that several verbs share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import files
from bench.errors import StoreError, UsageError
from bench.registry import Registry, load_registry
from bench.specs import KINDS
from bench.text import listing

if TYPE_CHECKING:
    from PIL.Image import Image

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class NamedPath(click.Path):
    """A path; an empty text, which would mean the working folder, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or say what is wrong with it."""
        if value == "":
            self.fail("it is empty; name a path, or leave the option out", param, ctx)
        return super().convert(value, param, ctx)


results_option = click.option(
    "--results",
    type=NamedPath(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder with the records.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def registry_with_warnings() -> Registry:
    """Load the plugins; say in one line each which are broken, and what they use that goes."""
    registry = load_registry()
    for plugin in registry.plugins:
        if plugin.error:
            click.echo(
                f"warning: plugin `{plugin.name}` of {plugin.distribution} {plugin.version} "
                f"could not be loaded: {plugin.error}",
                err=True,
            )
        print_warnings(f"plugin {plugin.label}: {told}" for told in plugin.deprecations)
    return registry


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    click.echo(files.dump_json(value, indent=1))


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings on stderr."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def print_columns(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns, with headings on a terminal only, so that pipes stay simple."""
    from bench.text import one_line

    table = [[one_line(cell, 120) for cell in row] for row in rows]
    if sys.stdout.isatty():
        table.insert(0, list(headings))
    if not table:
        return
    widths = [max(len(row[i]) for row in table) for i in range(len(headings))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()
) -> None:
    """Print an indented table with its headings, cut to what a line can hold.

    Args:
        headings: of the columns.
        rows: a cell for each column.
        right: the columns that are aligned to the right, as counts are.
    """
    from bench.text import one_line

    table = [[one_line(cell, 40) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (
            cell.rjust(width) if heading in right else cell.ljust(width)
            for heading, cell, width in zip(headings, row, widths, strict=True)
        )
        click.echo("  " + "  ".join(cells).rstrip())


def complete_names(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return a completion of comma-separated component names."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        head, comma, last = incomplete.rpartition(",")
        names = load_registry().names(kind)
        return [head + comma + name for name in names if name.startswith(last)]

    return complete


def complete_kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the plural of a kind."""
    plurals = [*(spec.plural for spec in KINDS.values()), "runs", "studies"]
    return [plural for plural in plurals if plural.startswith(incomplete)]


def check_picture(output: Path) -> str:
    """Return the format of a picture that is to be written, by the ending of its name.

    Raises:
        UsageError: no format is known by it.
    """
    known = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    found = known.get(output.suffix.lower())
    if found is None:
        raise UsageError(f"`{output}`: the picture's ending is one of {listing(known)}")
    return found


def save_picture(picture: Image, output: Path) -> None:
    """Write a picture in the format that its name speaks of.

    Raises:
        StoreError: it cannot be written.
    """
    kind = check_picture(output)
    with files.atomic_open(output) as file:
        try:
            picture.save(file, kind)
        except OSError as error:
            raise StoreError(f"cannot write `{output}`: {error}") from error


@contextlib.contextmanager
def progress_bar(verb: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, nothing where stderr is piped."""
    if not shown or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import Progress

    from bench.terminal import terminal

    with Progress(console=terminal(sys.stderr), transient=True) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
