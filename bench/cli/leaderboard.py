"""`bench leaderboard`: rank what is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from bench import comparison, latex, leaderboard, rankings, rows, scoring, tables
from bench.answers import AnswerBook
from bench.cli.common import (
    NamedPath,
    complete_names,
    print_json,
    print_warnings,
    registry_with_warnings,
    results_option,
)
from bench.errors import UnknownNameError
from bench.leaderboard import Leaderboard
from bench.records import RunRecord
from bench.registry import load_registry
from bench.specs import Metric
from bench.store import Store
from bench.text import did_you_mean, listing

FORMATS = ("table", "md", "csv", "tex", "json")
TOP = 100
LEVEL = re.compile(r"accuracy_level_\d+")
"""The metrics of a tree, which rows show unasked."""


def _complete_sort(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    names = [*rows.SORTS, *load_registry().names(Metric.kind)]
    return [name for name in names if name.startswith(incomplete)]


@click.command("leaderboard")
@results_option
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="How to print.")
@click.option(
    "--sort",
    default="score",
    show_default=True,
    metavar="COLUMN|METRIC",
    shell_complete=_complete_sort,
    help=f"What to order rows by, best first; ranks stay those of the test score. Any metric, or "
    f"{', '.join(rows.SORTS)}.",
)
@click.option(
    "--metrics",
    default="",
    metavar="NAMES",
    shell_complete=complete_names("metric"),
    help="Metrics to show besides, computed from stored predictions; params after a colon: "
    "f1_macro,ece:bins=20. `bench list metrics` shows them.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=TOP,
    show_default=True,
    metavar="ROWS",
    help="Rows of each block that the table shows, and how many more there are; 0 for all.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--figures",
    type=NamedPath(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Draw curves, rankings and searched learning rates into this folder as well, PNG and SVG.",
)
def command(
    results: Path,
    form: str,
    sort: str,
    metrics: str,
    top: int,
    as_json: bool,
    figures: Path | None,
) -> None:
    """Rank what is stored in a results folder, within one dataset and protocol each."""
    store = Store(results)
    board = _board(store, sort, metrics, with_records=figures is not None)
    if as_json or form == "json":
        print_json(board.to_dict())
    elif form == "md":
        click.echo(tables.to_markdown(board), nl=False)
    elif form == "tex":
        click.echo(latex.to_latex(board), nl=False)
    elif form == "csv":
        click.echo(tables.to_csv(board), nl=False)
    else:
        from bench.ranking_table import print_leaderboard

        print_leaderboard(board, top)
    if figures is not None:
        _draw(board, store, figures)


def _board(store: Store, sort: str, metrics: str, *, with_records: bool) -> Leaderboard:
    """Return the leaderboard of a store; print what could not be read or computed.

    Pictures and further metrics want the records; the rest is what the index keeps.
    """
    if sort in rows.SORTS and not metrics and not with_records:
        board = rankings.stored(store, sort)
        print_warnings(store.warnings)
        return board
    records = store.records()
    scorer = _scorer(metrics, sort, records, store)
    board = leaderboard.build(records, store, sort, scorer)
    print_warnings([*store.warnings, *(scorer.notes if scorer else ())])
    return board


def _scorer(
    names: str, sort: str, records: Sequence[RunRecord], store: Store
) -> scoring.Scorer | None:
    """Return what computes the metrics that are wanted, that of the order among them.

    Raises:
        UnknownNameError: there is no such metric or column.
        UsageError: one suits no run.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    stored = {name for record in records for name in record.metrics.get("test", {})}
    is_shown = sort in rows.SORTS or (LEVEL.fullmatch(sort) and sort in stored)
    if not is_shown and sort not in asked:
        asked.append(sort)
    if not asked:
        return None
    registry = registry_with_warnings()
    columns = [*rows.SORTS, *registry.names(Metric.kind)]
    if asked[-1] == sort and re.split("[:@]", sort)[0] not in columns:
        hint = did_you_mean(sort, columns)
        raise UnknownNameError(
            f"--sort: there is no column and no metric `{sort}`{hint}; columns are "
            f"{listing(rows.SORTS)}, and `bench list metrics` shows the metrics"
        )
    scorer = scoring.Scorer(scoring.choose(asked, registry), AnswerBook(store), store)
    scorer.check_suits(record for record in records if comparison.is_scored(record))
    return scorer


def _draw(board: Leaderboard, store: Store, folder: Path) -> None:
    """Write pictures and say so on stderr, since stdout may be JSON."""
    from bench import figures, rate_series, series, studies

    found, warnings = studies.read_all(store.root)
    print_warnings(warnings)
    written = figures.write(series.sheets_of(board, store), folder)
    written += figures.write_standings(board.standings, folder)
    written += figures.write_rates(rate_series.rate_sheets(found), folder)
    if not written:
        click.echo("no pictures: no run here has succeeded", err=True)
    for path in written:
        click.echo(f"drew `{path}`", err=True)
