"""`bench leaderboard`: rank what is stored."""

from __future__ import annotations

from pathlib import Path

import click

from bench import latex, leaderboard, rankings, rows, tables
from bench.cli.common import print_json, print_warnings, results_option
from bench.store import Store

FORMATS = ("table", "md", "csv", "tex", "json")
TOP = 100


@click.command("leaderboard")
@results_option
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="How to print.")
@click.option(
    "--sort",
    type=click.Choice(list(rows.SORTS)),
    default="score",
    show_default=True,
    help="Column to order rows by; ranks stay those of the test score.",
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
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Draw curves, rankings and searched learning rates into this folder as well, PNG and SVG.",
)
def command(
    results: Path, form: str, sort: str, top: int, as_json: bool, figures: Path | None
) -> None:
    """Rank what is stored in a results folder, within one dataset and protocol each."""
    store = Store(results)
    # Pictures show the curves of runs, so they need more than what the index keeps.
    drawn = figures is not None
    board = (
        leaderboard.build(store.records(), store, sort) if drawn else rankings.stored(store, sort)
    )
    print_warnings(store.warnings)
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


def _draw(board: leaderboard.Leaderboard, store: Store, folder: Path) -> None:
    """Write pictures and say so on stderr, since stdout may be JSON."""
    from bench import figures, rate_series, series, studies

    found, warnings = studies.read_all(store.root)
    print_warnings(warnings)
    written = figures.write(series.sheets_of(board, store), folder)
    written += figures.write_rates(rate_series.rate_sheets(found), folder)
    if not written:
        click.echo("no pictures: no run here has succeeded", err=True)
    for path in written:
        click.echo(f"drew `{path}`", err=True)
