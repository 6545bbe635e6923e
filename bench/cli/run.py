"""`bench run`: from flags and a file to a ranked leaderboard."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from bench import api, files
from bench.addresses import masked
from bench.cli.common import NamedPath, print_json, registry_with_warnings
from bench.cli.fields import ALL_FIELDS, FieldCommand, config_of, field_options
from bench.config import ExperimentConfig, to_toml
from bench.console import Console
from bench.errors import BenchError
from bench.forecast import PlannedRun, tuning_seconds
from bench.plan_table import plan_summary, plan_table
from bench.ranking_table import print_leaderboard
from bench.records import digest
from bench.terminal import terminal
from bench.text import byte_size


@click.command("run", cls=FieldCommand)
@click.option(
    "-c",
    "--config",
    "files_given",
    multiple=True,
    type=NamedPath(path_type=Path),
    help="Experiment file, TOML or YAML; flags override it.",
)
@field_options(*ALL_FIELDS)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done and stop.")
@click.option(
    "--save-config",
    type=NamedPath(path_type=Path),
    help="Write what the flags mean as an experiment file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the leaderboard as JSON.")
def command(
    files_given: tuple[Path, ...],
    only_plan: bool,
    save_config: Path | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Train every cell of an experiment and rank the results.

    What is finished already is reused; what was interrupted or failed is done again.
    """
    config = config_of(files_given, flags)
    if save_config is not None:
        files.write_text(save_config, to_toml(config.values()))
    registry = registry_with_warnings()
    what, planned = api.prepare(config, registry)
    if only_plan:
        _print_plan(planned, config, as_json)
        return 0
    with Console(live=True) as console:
        console.plan(planned, config)
        keep_command(config)
        result = api.execute(config, registry, what, planned, console)
    if as_json:
        print_json(result.leaderboard.to_dict())
    elif result.records:
        print_leaderboard(result.leaderboard)
    if result.interrupted:
        click.echo("interrupted; the same command goes on from here", err=True)
        return 130
    return 1 if result.failed or result.fruitless else 0


def _print_plan(planned: list[PlannedRun], config: ExperimentConfig, as_json: bool) -> None:
    disk = sum(run.disk_bytes(config.keep, config.pictures) for run in planned if not run.cached)
    if as_json:
        rows = [
            {
                **run.spec.to_dict(),
                "cached": run.cached,
                "begun": run.begun,
                "estimated_seconds": run.seconds,
            }
            for run in planned
        ]
        cells = {run.spec.cell: tuning_seconds(run, config) for run in planned}
        tuning = {"budget": str(config.budget), "cells": len(cells), "seconds": sum(cells.values())}
        print_json(
            {
                "schema": 1,
                "runs": rows,
                "disk_bytes": disk,
                "tuning": tuning if config.budget else None,
            }
        )
        return
    console = terminal(sys.stdout)
    console.print(plan_table(planned))
    console.print(f"{plan_summary(planned, config)}, {byte_size(disk)} of disk")


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return masked(value) if isinstance(value, str) else value


def keep_command(config: ExperimentConfig) -> None:
    """Leave beside the results the file that makes them again."""
    words, values = ["bench", *sys.argv[1:]], config.values()
    # Results are for sharing; passwords in addresses, of a database or a tracker, are not.
    words = [masked(word) for word in words]
    if config.storage:
        values["storage"] = masked(config.storage)
    if config.set:
        values["set"] = {name: _masked(value) for name, value in values["set"].items()}
    text = f"# {shlex.join(words)}\n{to_toml(values)}"
    name = digest(text)[:8]
    try:
        files.write_text(config.results / "experiments" / f"{name}.toml", text)
    except BenchError as error:
        click.echo(f"warning: {error}", err=True)
