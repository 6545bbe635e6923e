"""`bench why`: would this run be reused, and if not, what has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench import ensembles
from bench.cli.common import json_option, print_json, registry_with_warnings, results_option
from bench.errors import BenchError
from bench.forecast import resolve_again
from bench.provenance import why
from bench.records import RunSpec, RunStatus
from bench.store import Store
from bench.text import one_line


@click.command("why")
@click.argument("run")
@results_option
@json_option
def command(run: str, results: Path, as_json: bool) -> None:
    """Say, field by field, why a run would or would not be reused.

    RUN is the beginning of its id, as `bench list runs` shows it.
    """
    store = Store(results)
    record = store.find(run)
    now: RunSpec | BenchError
    try:
        if record.spec.members:
            now = ensembles.resolve_again(record, store)
        else:
            now = resolve_again(record.spec, registry_with_warnings(), results)
    except BenchError as error:
        now = error
    differences = why(record.spec, now)
    finished = record.status is RunStatus.OK
    reused = finished and not differences
    if as_json:
        changes = [{"field": f, "then": old, "now": new} for f, old, new in differences]
        print_json(
            {
                "schema": 1,
                "id": record.id,
                "reused": reused,
                "status": str(record.status),
                "role": record.spec.role,
                "differences": changes,
            }
        )
        return
    run = f"run {record.id}" + (f" ({record.spec.role})" if record.spec.role else "")
    if reused:
        click.echo(f"{run} is reused: nothing that can change its result has changed")
        return
    if not finished:
        click.echo(f"{run} is done again: it ended as `{record.status}`")
    if differences:
        click.echo(f"{run} is not reused: {len(differences)} field(s) of its key differ")
    for field, old, new in differences:
        click.echo(f"  {field}: {_shown(old)} -> {_shown(new)}")


def _shown(value: Any) -> str:
    return "(none)" if value is None else one_line(str(value), 100)
