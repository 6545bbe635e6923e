"""`bench merge`: several results folders made one."""

from __future__ import annotations

from pathlib import Path

import click

from bench import merging, rankings, tables
from bench.cli.common import NamedPath, json_option, print_json, print_warnings, results_option
from bench.store import Store


@click.command("merge")
@click.argument(
    "sources",
    nargs=-1,
    required=True,
    type=NamedPath(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER...",
)
@results_option
@json_option
def command(sources: tuple[Path, ...], results: Path, as_json: bool) -> None:
    """Copy the finished runs, ensembles and studies of results folders into --results.

    Sources are only read, and may be in use. Where --results has another result of a run already,
    it keeps its own, unless that failed. A merge that was stopped is done again.
    """
    result = merging.merge(sources, results)
    print_warnings(merging.named(result.warnings))
    print_warnings(merging.named(result.conflicts))
    print_warnings(merging.named(result.left))
    store = Store(results)
    if result.changed or not (results / "leaderboard.json").exists():
        tables.write(rankings.stored(store), store)
    if as_json:
        print_json({"schema": 1, **vars(result)})
    else:
        click.echo(result.summary)
