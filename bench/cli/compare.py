"""`bench compare`: what is better and what is worse in B than in A."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench import change_tables, changes, gates, sides
from bench.changes import Comparison
from bench.cli.common import print_json, print_warnings, registry_with_warnings, results_option
from bench.errors import ConfigError
from bench.gates import Finding, Verdict
from bench.specs import Metric
from bench.text import did_you_mean, listing, one_line

FORMATS = ("table", "md", "json")


@click.command("compare")
@click.argument("a")
@click.argument("b")
@results_option
@click.option(
    "--fail-on",
    metavar="LIMITS",
    help="Limits that B must keep, for example 'accuracy:-0.5pp,latency_ms:+10%'.",
)
@click.option("--metrics", help="Compare these too, separated by commas: log_loss,latency_ms.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="How to print.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    a: str,
    b: str,
    results: Path,
    fail_on: str | None,
    metrics: str | None,
    form: str,
    as_json: bool,
) -> int:
    """Compare the rows of two results folders, runs or saved leaderboards.

    A and B are each a folder, a leaderboard.json, or the beginning of a run's id. With --fail-on
    the exit code is 1 for a real regression, 3 where something could not be measured, else 0.
    """
    registry = registry_with_warnings()
    limits = gates.parse(fail_on, registry) if fail_on is not None else None
    one, other = sides.read(a, results), sides.read(b, results)
    print_warnings(dict.fromkeys([*one.warnings, *other.warnings]))
    known = changes.known_metrics(one, other)
    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    asked = [changes.quantity(name, registry) for name in names]
    for each in asked:
        if each.name not in known and each.wanted is None:
            hint = did_you_mean(each.name, [*known, *registry.names(Metric.kind)])
            raise ConfigError(
                f"`--metrics`: no row has a metric `{each.name}`{hint}; there are "
                f"{listing(known, 20)}, and those of `bench list metrics`"
            )
    gates.check_known(limits or (), known)
    asked += [limit.quantity for limit in limits or ()]
    comparison = changes.compare(one, other, asked)
    findings = gates.judge(comparison, limits) if limits is not None else None
    code = gates.exit_code(findings or ())
    if as_json or form == "json":
        print_json(change_tables.to_dict(comparison, findings, code))
    elif form == "md":
        click.echo(change_tables.to_markdown(comparison, findings), nl=False)
    else:
        _print(comparison, findings)
    return code


def _print(comparison: Comparison, findings: list[Finding] | None) -> None:
    """Print tables, what they mean, and what the limits say of them, the verdict last."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from bench.terminal import terminal

    console = terminal(sys.stdout)
    for title, rows in change_tables.blocks(comparison).items():
        table = Table(
            title=Text(one_line(title), style="bold"),
            title_justify="left",
            header_style="dim",
            box=SIMPLE_HEAD,
            padding=(0, 1),
        )
        for heading in change_tables.HEADINGS:
            right = heading in ("seeds", "A", "B")
            table.add_column(heading, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        console.print(table)
    for note in change_tables.notes(comparison):
        console.print(Text(one_line(note, 2000), style="dim"))
    console.print(Text(one_line(change_tables.summary(comparison), 2000), style="bold"))
    if findings is not None:
        grave = [each for each in findings if each.verdict is not Verdict.KEPT]
        for line in change_tables.told(grave if len(findings) > change_tables.SHOWN else findings):
            console.print(Text(one_line(line, 1000)))
        console.print(Text(one_line(change_tables.conclusion(findings)), style="bold"))
