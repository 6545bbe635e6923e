"""`bench report`: one file that answers the question, with its evidence."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench import files
from bench.cli.common import NamedPath, print_warnings, registry_with_warnings, results_option
from bench.errors import PluginError, StoreError, UsageError
from bench.foreign_code import calling
from bench.registry import Offer, Registry, load_registry
from bench.report import preparing
from bench.report.content import Content
from bench.selectors import with_params
from bench.specs import Report
from bench.store import Store
from bench.text import byte_size, listing, one_line

Writer = Callable[[Content], str]


def _complete_formats(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in load_registry().names(Report.kind) if name.startswith(incomplete)]


@click.command("report")
@click.option(
    "-o",
    "--output",
    type=NamedPath(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Where to write it; `-` prints it. By default `report` with the format's ending, in the "
    "results folder.",
)
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    shell_complete=_complete_formats,
    help="How it is written: html, md, or what a plugin offers (`bench list reports`), with params "
    "after a colon. By default as the ending of the file says, else html.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=preparing.TOP,
    show_default=True,
    metavar="ROWS",
    help="Rows of which a run is told in detail, with its classes, mistakes and curves.",
)
@click.option(
    "--figures",
    type=NamedPath(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write its pictures into this folder as well, PNG and SVG.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Write it again whenever a run has finished, until Ctrl-C; the page reloads itself.",
)
@results_option
def command(
    output: Path | None,
    form: str | None,
    top: int,
    figures: Path | None,
    watch: bool,
    results: Path,
) -> None:
    """Write one file that answers the question, with its evidence.

    The file stands alone: it asks for no network and no other file.
    """
    registry = registry_with_warnings()
    chosen, write = _format(registry, form, output)
    store, is_printed = Store(results), output == Path("-")
    if watch and (is_printed or figures is not None):
        option = "`-o -`" if is_printed else "`--figures`"
        raise UsageError(f"`--watch` writes one file again and again; leave out {option}")
    if output is not None and not is_printed and store.owns(output):
        raise UsageError(
            f"`{output}` is one of the files that `bench` itself keeps in `{results}`; name "
            "another by `-o`"
        )
    path = output or results / f"report{chosen.suffix}"
    if watch:
        _watch(registry, write, path, top, store)
        return
    content = _prepare(store, registry, top)
    if figures is not None:
        files.check_writable(figures)
    if is_printed:
        click.echo(write(content), nl=False)
    else:
        try:
            _write(write, content, path)
        except StoreError as error:
            if output is not None:
                raise
            raise StoreError(f"{error}; `-o FILE` writes it elsewhere") from error
    if figures is not None:
        from bench.figures import write_report

        drawn = sum(1 for _ in write_report(content, figures))
        click.echo(f"drew {drawn:,} pictures into `{figures}`", err=True)


def _format(registry: Registry, form: str | None, output: Path | None) -> tuple[Report, Writer]:
    """Return the format that a name or else the ending of the file asks for, and what writes it.

    Raises:
        UnknownNameError: there is no such format.
        UsageError: none writes files with that ending.
    """
    params: dict[str, Any] = {}
    if form is not None:
        offer, params = with_params(Report.kind, form, registry)
    elif output is None or not output.suffix:
        offer = registry.default(Report.kind)
    else:
        known = [(each, each.component) for each in registry.offers(Report.kind)]
        suffixes = {each.suffix.lower(): o for o, each in known if isinstance(each, Report)}
        if output.suffix.lower() not in suffixes:
            raise UsageError(
                f"`{output}`: no format ends in `{output.suffix}`; name a file that ends in "
                f"{listing(suffixes)}, or choose a format by `--format`"
            )
        offer = suffixes[output.suffix.lower()]
    assert isinstance(offer.component, Report)
    return offer.component, functools.partial(_text, offer, params)


def _text(offer: Offer, params: dict[str, Any], content: Content) -> str:
    """Return a report as a format writes it.

    Raises:
        PluginError: the format failed, or returned something else than text.
    """
    who = f"report `{offer.name}` of plugin {offer.plugin.label}"
    advice = " (`--debug` shows where); choose another by `--format`"
    with calling(f"{who} failed", advice=advice):
        text = offer.component.factory(content, **params)
    if not isinstance(text, str):
        raise PluginError(
            f"{who} returned {type(text).__name__}, not str; choose another by `--format`"
        )
    return text


def _prepare(store: Store, registry: Registry, top: int) -> Content:
    try:
        return preparing.prepare(store, registry, top)
    finally:
        print_warnings(dict.fromkeys(store.warnings))


def _write(write: Writer, content: Content, path: Path) -> None:
    text = write(content)
    files.write_text(path, text)
    for block in content.blocks:
        click.echo(f"{block.title}: {block.answer}")
    click.echo(f"wrote `{path}` ({byte_size(len(text.encode('utf-8', 'replace')))})")


LOOK = 2.0
"""Seconds between two looks at what has finished."""
REFRESH = 5.0
"""Seconds after which the page renews itself, which costs its reader more than a look costs us."""


def _watch(registry: Registry, write: Writer, path: Path, top: int, store: Store) -> None:
    """Write the report whenever something has changed in its folder, until Ctrl-C.

    Then it is written once more as a page that does not renew itself, for others to read.
    """
    last: str | None = None
    content: Content | None = None
    is_waiting = False
    try:
        while True:
            found = store.stamp()
            if found != last:
                last = found
                try:
                    latest = _prepare(store, registry, top)
                    _write(write, replace(latest, refresh=REFRESH), path)
                    content = latest
                except preparing.NothingToReportError:
                    if not is_waiting:
                        click.echo(
                            f"waiting for the first run in `{store.root}`; Ctrl-C ends it", err=True
                        )
                    is_waiting = True
                except PluginError as error:  # its next report may succeed
                    print_warnings([one_line(str(error))])
            time.sleep(LOOK)
    except KeyboardInterrupt:
        if content is not None:
            files.write_text(path, write(content))
        raise
