"""`bench clean`: give disk space back."""

from __future__ import annotations

import click

from bench import cache, files
from bench.cli.common import json_option, print_columns, print_json
from bench.text import byte_size, duration

DAY = 24 * 3600.0


@click.command("clean")
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Remove what was not used for so many days.",
)
@click.option("--all", "everything", is_flag=True, help="Remove everything, downloads included.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@json_option
def command(days: float, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Remove stored datasets, unpacked archives, downloads and the measured speed of models.

    Results are left alone.

    All of it can be made or fetched again. The cache also keeps itself below its limit
    (BENCH_CACHE_LIMIT, 50 GB by default) when a dataset is stored.
    """
    found = sorted(cache.entries(), key=lambda entry: entry.used, reverse=True)
    chosen = [entry for entry in found if everything or entry.used >= days * DAY]
    if not dry_run:
        for entry in chosen:
            cache.remove(entry)
    freed = sum(entry.size for entry in chosen)
    left = sum(entry.size for entry in found) - (0 if dry_run else freed)
    if as_json:
        rows = [
            {"path": str(e.path), "what": e.what, "bytes": e.size, "unused_seconds": e.used}
            for e in chosen
        ]
        totals = {"bytes": freed, "left_bytes": left, "dry_run": dry_run}
        print_json({"schema": 1, "removed": rows, **totals})
        return
    print_columns(
        ("what", "size", "unused for"),
        [(entry.what, byte_size(entry.size), duration(entry.used)) for entry in chosen],
    )
    verb = "would be removed" if dry_run else "removed"
    click.echo(
        f"{byte_size(freed)} {verb}, {byte_size(left)} left in `{files.cache_folder()}`", err=True
    )
