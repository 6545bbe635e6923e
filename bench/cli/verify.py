"""`bench verify`: whether published baselines are reached here."""

from __future__ import annotations

from typing import Any

import click

from bench import baselines
from bench.baselines import Baseline
from bench.cli.common import json_option, print_columns, print_json, registry_with_warnings
from bench.cli.fields import field_options
from bench.errors import UsageError
from bench.text import one_line

LEVELS = ("quick", "full")


@click.command("verify")
@click.argument("name", required=False)
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="quick",
    show_default=True,
    help="The published protocol, or a smaller one with an expectation of its own.",
)
@click.option("--list", "only_list", is_flag=True, help="List the baselines and stop.")
@click.option("--dataset", help="Another place of the same data, as idx:FOLDER.")
@field_options("data_dir", "offline", "results", "threads", "workers", "device", "timeout")
@json_option
def command(
    name: str | None,
    level: str,
    only_list: bool,
    dataset: str | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Train published baselines and say whether they come to what was published.

    NAME is one of them; without it all that have this level are checked. The exit code is 0 if all
    passed, 1 if one failed, 3 if one could not be measured, as without its data, and 130 if it was
    interrupted.
    """
    known = baselines.offered(registry_with_warnings())
    if only_list:
        _list(known, as_json)
        return 0
    chosen = [baselines.choose(known, name)] if name else [b for b in known if level in b.levels]
    if not chosen:
        raise UsageError("no plugin that is there offers a baseline; see `bench plugins`")
    if dataset is not None and name is None:
        raise UsageError("`--dataset` is the place of one baseline's data; name the baseline too")
    own = {key: value for key, value in flags.items() if value is not None}
    if dataset is not None:
        own["datasets"] = dataset

    from bench.verification import Outcome, Verification, verify  # it imports what trains

    done: list[Verification] = []
    for baseline in chosen:
        click.echo(f"{baseline.name}, {level}: {one_line(baseline.summary)}", err=True)
        done.append(verify(baseline, level, own))
        if not as_json:
            _print(done[-1])
        if done[-1].interrupted:
            break
    if as_json:
        print_json({"schema": 1, "baselines": [each.to_dict() for each in done]})
    if done[-1].interrupted:
        return 130
    outcomes = {each.outcome for each in done}
    if Outcome.FAILED in outcomes:
        return 1
    return 3 if Outcome.UNMEASURED in outcomes else 0


def _print(done: Any) -> None:
    """Print an outcome, on what it rests, and whom it is held against."""
    click.echo(f"{done.outcome}: {done.baseline.name}, {done.level}: {one_line(done.why, 1000)}")
    if done.measured is not None:
        known = done.environment
        noise = "t interval over seeds" if done.noise == "seeds" else "interval over test images"
        machine = f"torch {known['libraries']['torch']}, {known['device_name']}"
        click.echo(
            f"  {done.n:,} test images, {done.seeds} seed(s), 95 % {noise}; "
            f"bench {known['bench']}, {machine}"
        )
    click.echo(f"  expected: {one_line(done.expected.why)}")
    click.echo(f"  source: {one_line(done.baseline.source.title)}, {done.baseline.source.url}")
    click.echo(f"  not as there: {one_line(done.baseline.differs)}")


def _list(known: list[Baseline], as_json: bool) -> None:
    if as_json:
        print_json({"schema": 1, "baselines": [each.model_dump() for each in known]})
        return
    rows = [
        (
            baseline.name,
            name,
            f"{level.expected:.1%} ± {100 * level.tolerance:.1f}",
            baseline.summary,
            baseline.source.url,
        )
        for baseline in known
        for name, level in baseline.levels.items()
    ]
    print_columns(("baseline", "level", "expected", "what", "source"), rows)
