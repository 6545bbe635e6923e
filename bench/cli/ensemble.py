"""`bench ensemble`: several runs combined into one, which is ranked beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench import comparison, ensembles, leaderboard, members, rankings, stats, tables
from bench.answers import AnswerBook
from bench.cli.common import NamedPath, print_json, print_warnings, registry_with_warnings
from bench.cli.fields import ALL_FIELDS, FieldCommand, config_of, field_options
from bench.combining import WAYS
from bench.ensembles import VOTES, Built, Recipe
from bench.errors import StoreError, UsageError
from bench.leaderboard import Leaderboard
from bench.records import RunRecord
from bench.rows import METRIC_NAMES
from bench.store import Store
from bench.text import listing

CHOOSERS = ("models", "optimizers", "datasets", "results")
"""The fields that choose among finished runs too."""
_DEFAULT_MEMBERS = 5


@click.command("ensemble", cls=FieldCommand)
@click.argument("patterns", nargs=-1, metavar="[RUN|PATTERN]...")
@click.option(
    "--how",
    type=click.Choice(list(WAYS)),
    default="soft",
    show_default=True,
    help="soft: mean probabilities; hard: majority of votes; greedy: members added one by one, by "
    "their use on val; stacking: a logistic regression on val; bagging, boosting: train the "
    "members, then combine them.",
)
@click.option("--name", help="What its row is called.  [default: ensemble-HOW]")
@click.option(
    "--steps", type=click.IntRange(1, 1000), help="greedy: members to add.  [default: 30]"
)
@click.option(
    "--select-by",
    type=click.Choice(["log_loss", "score"]),
    help="greedy: what of val decides; score is the metric that ranks.  [default: log_loss]",
)
@click.option(
    "--members",
    "count",
    type=click.IntRange(2, 1000),
    help=f"bagging, boosting: members to train for each ensemble.  [default: {_DEFAULT_MEMBERS}]",
)
@click.option(
    "--seeds",
    metavar="apart|together|N",
    help="Of finished runs: apart, an ensemble for every seed; together, one of all runs; apart by "
    "default where methods have the same seeds. Of bagging and boosting: ensembles of every "
    "method.  [default: 1]",
)
@click.option(
    "-c",
    "--config",
    "files_given",
    multiple=True,
    type=NamedPath(path_type=Path),
    help="bagging, boosting: experiment file, TOML or YAML; flags override it.",
)
@field_options(*(name for name in ALL_FIELDS if name not in ("seeds", "resample")))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    patterns: tuple[str, ...],
    how: str,
    name: str | None,
    steps: int | None,
    select_by: str | None,
    count: int | None,
    seeds: str | None,
    files_given: tuple[Path, ...],
    as_json: bool,
    **flags: Any,
) -> int:
    """Combine several runs into one, which is ranked beside them.

    RUN is the beginning of an id, PATTERN a glob of model names; without any, all runs that a
    leaderboard ranks take part, as far as --models, --optimizers and --datasets let them. What is
    chosen is chosen on val. With --how bagging or boosting the members are trained first, by any
    options of `bench run`.
    """
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    options = {"steps": steps, "select_by": select_by}
    idle = [key for key, value in options.items() if value is not None and how != "greedy"]
    if idle:
        raise UsageError(f"`--{idle[0].replace('_', '-')}` does nothing here; it is for greedy")
    if how in VOTES:
        if count is not None or files_given:
            what = "--members" if count is not None else "--config"
            raise UsageError(f"`{what}` does nothing here; it is for bagging and boosting")
        recipe = Recipe(how, {"steps": steps or 30, "select_by": select_by or "log_loss"}, name)
        if how != "greedy":
            recipe = Recipe(how, {}, name)
        return _combine(recipe, patterns, seeds, given, as_json)
    if patterns:
        raise UsageError(
            f"`--how {how}` trains its members; name models by `--models`, not {listing(patterns)}"
        )
    if seeds is not None:
        given["seeds"] = seeds
    count = count or _DEFAULT_MEMBERS
    return _train(Recipe(how, {"members": count}, name), count, files_given, given, as_json)


def _combine(
    recipe: Recipe,
    patterns: Sequence[str],
    seeds: str | None,
    given: dict[str, Any],
    as_json: bool,
) -> int:
    for key in given:
        if key not in CHOOSERS:
            spelt = key.replace("_", "-")
            raise UsageError(f"`--{spelt}` does nothing here; it is for bagging and boosting")
    if seeds not in (None, members.APART, members.TOGETHER):
        raise UsageError(
            f"`--seeds {seeds}`: of finished runs it is `{members.APART}` or `{members.TOGETHER}`"
        )
    store = Store(Path(given.get("results", "results")))
    globs = {key: _split(given.get(key)) for key in ("models", "optimizers", "datasets")}
    chosen = members.candidates(store, patterns, **globs)
    print_warnings(store.warnings)
    if not chosen:
        raise UsageError(
            f"there is no finished run in `{store.root}` to make an ensemble of; `bench run` makes "
            "some, and members of bagging and boosting are named by their ids"
        )
    members.check_alike(chosen)
    book = AnswerBook(store)
    groups = members.by_seed(chosen, seeds)
    built = [ensembles.build(group, recipe, store, book, seed=seed) for seed, group in groups]
    _write_leaderboard(store)
    board = leaderboard.build([*chosen, *(each.record for each in built)], store)
    _print(built, board, chosen, book, as_json)
    return 0


def _write_leaderboard(store: Store) -> None:
    try:
        tables.write(rankings.stored(store), store)
    except StoreError as error:  # what was there already can be read where nothing can be written
        print_warnings([str(error)])


def _train(
    recipe: Recipe, count: int, paths: tuple[Path, ...], given: dict[str, Any], as_json: bool
) -> int:
    from bench import api, trained_ensembles
    from bench.cli.run import keep_command
    from bench.console import Console

    config = trained_ensembles.member_config(config_of(paths, given), recipe.how, count)
    registry = registry_with_warnings()
    what, planned = api.prepare(config, registry)
    with Console(live=True) as console:
        console.plan(planned, config)
        if recipe.how == "boosting":
            console.message(f"these are first rounds; up to {count - 1} more follow each")
        keep_command(config)
        trained = trained_ensembles.train(
            *(recipe, count, config, registry, what, planned, console)
        )
    result = trained.result
    for note in trained.notes:
        click.echo(note, err=True)
    if result.interrupted:
        click.echo("interrupted; the same command goes on from here", err=True)
        return 130
    used = {run for each in trained.built for run in each.record.spec.members}
    store = Store(config.results)
    own = [record for record in result.records if record.id in used]
    _print(trained.built, result.leaderboard, own, AnswerBook(store), as_json)
    return 1 if result.failed or not trained.built else 0


def _print(
    built: Sequence[Built],
    board: Leaderboard,
    chosen: Sequence[RunRecord],
    book: AnswerBook,
    as_json: bool,
) -> None:
    """Print what was built, the rows of ensembles and members, and whether it was worth it."""
    verdicts = _verdicts([each.record for each in built], chosen, book)
    for each in built:
        record = each.record
        word = "built" if each.is_new else "already there:"
        used, of = record.environment["ensemble"]["members"], len(record.spec.members)
        count = str(of) if used == of else f"{used} of {of}"
        seed = record.spec.seed
        click.echo(
            f"{word} {record.spec.model.name} of {count} runs, seed {seed} ({record.id})", err=True
        )
    if as_json:
        rows = [{"new": each.is_new, **each.record.to_dict()} for each in built]
        print_json(
            {"schema": 1, "ensembles": rows, "verdicts": verdicts, "leaderboard": board.to_dict()}
        )
        return
    from bench.ranking_table import print_leaderboard

    print_leaderboard(board)
    for verdict in verdicts:
        click.echo(verdict)


def _verdicts(
    built: Sequence[RunRecord], chosen: Sequence[RunRecord], book: AnswerBook
) -> list[str]:
    """Say of each ensemble method whether it is ahead of its best member, as val sees it."""
    by_method: dict[str, list[RunRecord]] = {}
    for record in built:
        by_method.setdefault(record.spec.method, []).append(record)
    said = []
    for runs in by_method.values():
        taken = {run for record in runs for run in record.spec.members}
        rivals: dict[str, list[RunRecord]] = {}
        for record in chosen:
            if record.id in taken:
                # A method against a method where each seed has an ensemble, else a run.
                place = record.spec.method if len(runs) > 1 else record.id
                rivals.setdefault(place, []).append(record)
        if not rivals:
            continue
        best = max(rivals.values(), key=_val_score)
        gap = comparison.compare(runs, best, book)
        points = f"{100 * gap.estimate:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
        word = "cannot be told apart from"
        if gap.p < stats.ALPHA:
            word = "is ahead of" if gap.estimate > 0 else "is behind"
        spec = best[0].spec
        which = "" if len(runs) > 1 else f", run {best[0].id}"
        said.append(
            f"{runs[0].spec.model.name} {word} its best member on val, {spec.model_label} with "
            f"{spec.optimizer.name}{which}: {points} of test "
            f"{METRIC_NAMES[comparison.metric_of(best[0])]}, {gap.test}, p = {gap.p:.2g}"
        )
    return said


def _val_score(records: Sequence[RunRecord]) -> float:
    scores = [comparison.score_of(record, "val") or 0.0 for record in records]
    return sum(scores) / len(scores)


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
