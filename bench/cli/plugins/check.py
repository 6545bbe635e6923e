"""`bench plugins check`: what the conformance kit says of components."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli.common import NamedPath, json_option, print_json
from bench.conformance.checking import SECONDS, Verdict, check
from bench.conformance.choosing import chosen
from bench.conformance.recipes import PATH, suited
from bench.conformance.rules import DATA_DIR, LOADED, Failure
from bench.errors import UsageError
from bench.registry import Offer, Plugin, load_registry
from bench.text import duration, listing, one_line
from bench.words import parse_value


@click.command("check")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PARAM=VALUE",
    help="Use this in place of a param's default; `path=PATH` is what a source loads.",
)
@click.option(
    "--data-dir",
    type=NamedPath(path_type=Path, file_okay=False, exists=True),
    help="Folder with datasets of your own.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True, max=86_400),
    default=SECONDS,
    show_default=True,
    help="What a rule may take before it counts as one that does not end; it is at least 60 for "
    "trackers, 180 for executors.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    settings: tuple[str, ...],
    data_dir: Path | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Check that components keep the rules of their kinds; exit with 1 where one does not.

    NAME is a plugin, a distribution or a component: `NAME`, `KIND:NAME`, globs allowed. Each
    component is checked in a process of its own; nothing is downloaded.
    """
    registry = load_registry()
    broken: list[Plugin] = []
    offers: list[Offer] = []
    for name in names:
        unloaded, found = chosen(registry, name)
        broken += [plugin for plugin in unloaded if plugin not in broken]
        offers += [offer for offer in found if offer not in offers]
    if not (offers or broken):
        raise UsageError(
            f"{listing(names)} offers no component, so that nothing is checked; return some from a "
            "hook such as `register_models` (`bench plugins info` shows which hooks it has)"
        )
    params = _params(settings, offers)
    DATA_DIR.set(data_dir.absolute() if data_dir else None)
    verdicts = [_unloaded(plugin) for plugin in broken]
    for verdict in verdicts:
        _tell(verdict)
    if offers:
        # Torch is imported before the first verdict, which takes a while.
        what = "1 component" if len(offers) == 1 else f"{len(offers):,} components"
        click.echo(f"checking {what} ...", err=True)
    verdicts += check(offers, seconds, params, told=_tell)
    if as_json:
        skipped = [
            {"kind": verdict.kind, "name": verdict.name, "rule": rule, "reason": reason}
            for verdict in verdicts
            for rule, reason in verdict.skipped.items()
        ]
        components = [verdict.to_dict() for verdict in verdicts]
        print_json({"schema": 1, "components": components, "skipped": skipped})
    else:
        _print(verdicts)
    ctx.exit(0 if all(verdict.ok for verdict in verdicts) else 1)


def _params(settings: Sequence[str], offers: Sequence[Offer]) -> dict[str, Any]:
    """Return the params that are set.

    Raises:
        UsageError: none of the components has one.
    """
    params = {}
    for text in settings:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"--set {text}: write PARAM=VALUE, for example `--set path=photos`")
        if not any(suited({name: value}, offer) for offer in offers):
            raise UsageError(f"--set {text}: none of the components has a param `{name}`")
        # A path is text even where it looks like a number.
        params[name] = value if name == PATH else parse_value(value)
    return params


def _unloaded(plugin: Plugin) -> Verdict:
    """Return the verdict on a plugin that nothing could be listed of."""
    failure = Failure(
        LOADED,
        plugin.error or "",
        "mend what it says; once `bench plugins list` shows no error of it, check again",
    )
    return Verdict("plugin", plugin.name, plugin.name, (failure,), seconds=plugin.seconds)


def _tell(verdict: Verdict) -> None:
    """Say on stderr how it goes, a line for each component."""
    count = len(verdict.failures)
    said = "ok" if verdict.ok else f"{count} {'rule' if count == 1 else 'rules'} broken"
    took = duration(verdict.seconds)
    click.echo(one_line(f"{verdict.kind} {verdict.name}: {said} ({took})", 200), err=True)


def _print(verdicts: Sequence[Verdict]) -> None:
    """Print what is wrong and what was not checked, and the sum of it last."""
    for verdict in verdicts:
        label = one_line(f"{verdict.kind} {verdict.name}", 120)
        if not verdict.ok:
            click.echo(label)
        for failure in verdict.failures:
            click.echo(f"  {failure.rule}: {one_line(failure.evidence)}")
            click.echo(f"    fix: {one_line(failure.fix)}")
    reasons: dict[str, dict[str, list[str]]] = {}
    for verdict in verdicts:
        for rule, reason in verdict.skipped.items():
            reasons.setdefault(one_line(reason), {}).setdefault(rule, []).append(verdict.name)
    for reason, rules in reasons.items():
        names = list(dict.fromkeys(name for found in rules.values() for name in found))
        click.echo(f"not checked: {listing(rules, 3)} of {listing(names, 3)}: {reason}")
    sound = sum(verdict.ok for verdict in verdicts)
    click.echo(f"components that keep all rules checked here: {sound:,} of {len(verdicts):,}")
