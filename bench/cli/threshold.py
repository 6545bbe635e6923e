"""`bench threshold`: an operating point of a run, chosen on val, reported on test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench import costs, stats, thresholds
from bench.answers import AnswerBook
from bench.cli.common import json_option, print_json, print_table, print_warnings, results_option
from bench.errors import ConfigError, StoreError, UnknownNameError, UsageError
from bench.records import RunRecord
from bench.rows import percent
from bench.specs import Answers, Task
from bench.store import Store
from bench.text import did_you_mean, listing, one_line
from bench.thresholds import OperatingPoint, Outcome, Wish

COULD_NOT = 3
_COUNTS = ("said", "have", "n")
_PRICES = ("false_positive", "false_negative")


@click.command("threshold")
@click.argument("name", metavar="RUN")
@click.option(
    "--precision",
    type=float,
    metavar="SHARE",
    help="The highest recall at this precision or a better one.",
)
@click.option(
    "--recall",
    type=float,
    metavar="SHARE",
    help="The highest precision at this recall or a better one.",
)
@click.option(
    "--cost",
    metavar="PRICES|FILE",
    help="The lowest cost: `false_positive=1,false_negative=10` of one class; or a CSV file of "
    "what saying a column of an item of a row costs, for the least expected cost of all classes.",
)
@click.option(
    "--class",
    "label",
    metavar="NAME",
    help="The class that is said or not; of two the second where left out, of labels each.",
)
@results_option
@json_option
def command(
    name: str,
    precision: float | None,
    recall: float | None,
    cost: str | None,
    label: str | None,
    results: Path,
    as_json: bool,
) -> int:
    """Choose on val from which probability a class is said, and report on test.

    RUN is the beginning of its id, as `bench list runs` shows it. Exit code 3 says that val cannot
    reach the wish.
    """
    wish = _wish(precision, recall, cost)
    store = Store(results)
    record = store.find(name)
    print_warnings(store.warnings)
    book = AnswerBook(store)
    val = book.of(record, "val")
    if val is None:
        raise StoreError(
            f"run `{record.id}` has no val predictions that can be read in "
            f"`{store.folder(record.id)}`; `bench run --rerun` makes them again"
        )
    test = book.of(record, "test")
    if wish is None:
        assert cost is not None
        return _by_costs(record, Path(cost), label, val, test, as_json=as_json)
    places = _places(val, label)
    points = [thresholds.choose(wish, place, val, test, val.names[place]) for place in places]
    if as_json:
        print_json(_plain(record, wish, points))
    else:
        _print(record, wish, points, val, test)
    print_warnings(_warnings(wish, points))
    return COULD_NOT if any(point.threshold is None for point in points) else 0


def _wish(precision: float | None, recall: float | None, cost: str | None) -> Wish | None:
    """Return what is wished for; None where it is a file of costs."""
    given = {"--precision": precision, "--recall": recall, "--cost": cost}
    if sum(value is not None for value in given.values()) != 1:
        raise UsageError(f"give one of {listing(given)}")
    for option, share in (("--precision", precision), ("--recall", recall)):
        if share is not None and not 0 < share <= 1:
            raise ConfigError(f"{option} is {share:g}; give a share above 0 and up to 1")
    if precision is not None:
        return Wish("precision", precision)
    if recall is not None:
        return Wish("recall", recall)
    assert cost is not None
    if "=" not in cost or Path(cost).exists():
        return None
    prices: dict[str, float] = {}
    for part in cost.split(","):
        key, _, text = part.partition("=")
        key = key.strip().replace("-", "_")
        if key not in _PRICES or key in prices:
            fault = (
                "is given twice" if key in prices else f"is no price{did_you_mean(key, _PRICES)}"
            )
            raise ConfigError(f"--cost: `{key}` {fault}; give {' and '.join(_PRICES)}")
        try:
            prices[key] = float(text)
        except ValueError:
            prices[key] = math.nan
        if not (math.isfinite(prices[key]) and prices[key] >= 0):
            raise ConfigError(f"--cost: `{key}` is `{text}`; prices are numbers from 0 on")
    if len(prices) < 2 or not any(prices.values()):
        raise ConfigError("--cost needs both `false_positive` and `false_negative`, one above 0")
    return Wish("cost", 0.0, prices["false_positive"], prices["false_negative"])


def _places(val: Answers, label: str | None) -> list[int]:
    """Return the classes that are asked about."""
    names = val.names
    if label is not None:
        if label not in names:
            hint = did_you_mean(label, names)
            raise UnknownNameError(f"--class: there is no class `{label}`{hint}; {listing(names)}")
        return [names.index(label)]
    if val.task is Task.MULTI_LABEL:
        return [*range(len(names))]
    if len(names) == 2:
        return [1]
    raise UsageError(
        f"the run has {len(names)} classes; name one against the rest by `--class` "
        f"({listing(names)}), or give the costs of all in a file"
    )


def _print(
    record: RunRecord,
    wish: Wish,
    points: Sequence[OperatingPoint],
    val: Answers,
    test: Answers | None,
) -> None:
    reported = f", reported on test ({len(test.ids):,})" if test else "; it has no test split"
    click.echo(f"run {record.id}: {record.spec.label}")
    of = f", of `{one_line(points[0].name, 40)}`" if len(points) == 1 else ""
    click.echo(f"wish: {wish.words}{of}")
    click.echo(f"chosen on val ({len(val.ids):,} items){reported}\n")
    rows = []
    for point in points:
        chosen = "–" if point.threshold is None else str(point.threshold)
        for split, outcome in point.outcomes.items():
            rows.append([point.name, split, chosen, *_cells(outcome, wish)])
        # What the run says by itself, for comparison; with many labels it would double the table.
        if len(points) == 1:
            for split, outcome in point.usual.items():
                rows.append([point.name, split, "as run", *_cells(outcome, wish)])
    heads = ["class", "split", "threshold", "precision", "said", "recall", "have"]
    heads += ["cost an item"] if wish.kind == "cost" else []
    if len(points) == 1:  # it stands above the table
        heads, rows = heads[1:], [row[1:] for row in rows]
    print_table(heads, rows, _COUNTS)
    click.echo()
    for point in points:
        if point.threshold is None:
            click.echo(f"`{one_line(point.name, 40)}`: {point.why_not}")


def _cells(outcome: Outcome, wish: Wish) -> list[str]:
    shares = [percent(each) if each else "–" for each in (outcome.precision, outcome.recall)]
    cells = [shares[0], f"{outcome.said:,}", shares[1], f"{outcome.positives:,}"]
    return [*cells, _cost(outcome.cost(wish))] if wish.kind == "cost" else cells


def _cost(interval: stats.Interval) -> str:
    return f"{interval.mean:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def _warnings(wish: Wish, points: Sequence[OperatingPoint]) -> list[str]:
    """Return a line for each class whose wish, met on val, test does not bear out."""
    lines = []
    for point in points:
        test = point.outcomes.get("test")
        if test is not None and wish.kind == "cost":
            pays = test.cost(wish).mean < point.usual["test"].cost(wish).mean
            if not pays and point.outcomes["test"] != point.usual["test"]:
                lines.append(
                    f"`{one_line(point.name, 40)}`: on test the threshold costs no less than what "
                    "the run says by itself"
                )
        if test is None or test.meets(wish):
            continue
        reached = test.precision if wish.kind == "precision" else test.recall
        name = f"`{one_line(point.name, 40)}`: on test"
        if reached is None:
            nothing = "nothing is said" if wish.kind == "precision" else "no item has it"
            lines.append(f"{name} {nothing}, so its {wish.kind} is not known")
            continue
        noise = (
            "which its interval holds"
            if reached.high >= wish.least
            else "which its interval does not reach"
        )
        lines.append(
            f"{name} its {wish.kind} is {percent(reached)}, below the {wish.least:.1%} that was "
            f"wished for, {noise}"
        )
    return lines


def _plain(record: RunRecord, wish: Wish, points: Sequence[OperatingPoint]) -> dict[str, Any]:
    sought: dict[str, Any] = {wish.kind: wish.least}
    if wish.kind == "cost":
        sought = {name: getattr(wish, name) for name in _PRICES}
    return {
        "schema": 1,
        "run": record.id,
        "wish": sought,
        "chosen_on": "val",
        "classes": [
            {
                "class": point.name,
                "threshold": point.threshold,
                "why_not": point.why_not or None,
                **_splits(point.outcomes, wish),
                "as_run": _splits(point.usual, wish),
                "met_on_test": point.outcomes["test"].meets(wish)
                if wish.kind != "cost" and "test" in point.outcomes
                else None,
            }
            for point in points
        ],
    }


def _splits(outcomes: Mapping[str, Outcome], wish: Wish) -> dict[str, Any]:
    return {split: outcome.to_dict(wish) for split, outcome in outcomes.items()}


def _by_costs(
    record: RunRecord,
    path: Path,
    label: str | None,
    val: Answers,
    test: Answers | None,
    *,
    as_json: bool,
) -> int:
    """Report the decisions of the least expected cost beside those of the run itself."""
    if val.task is Task.MULTI_LABEL:
        raise UsageError("a file of costs is for tasks with one class an image; give prices")
    if label is not None:
        raise UsageError("`--class` goes with prices; a file of costs is about all classes")
    prices = costs.read(path, val.names)
    table: dict[str, dict[str, dict[str, stats.Interval]]] = {}
    splits = {"val": val, **({"test": test} if test else {})}
    for split, answers in splits.items():
        decisions = {"least_cost": costs.least(answers, prices), "as_run": answers.predicted}
        table[split] = {
            which: {
                "cost": thresholds.mean_interval(costs.paid(answers, said, prices)),
                "accuracy": stats.wilson(int((said == answers.labels).sum()), len(answers.ids)),
            }
            for which, said in decisions.items()
        }
    val_costs = [table["val"][which]["cost"].mean for which in ("least_cost", "as_run")]
    helps = val_costs[0] < val_costs[1]
    if as_json:
        plain = {
            split: {
                which: {
                    key: {**vars(interval), "n": len(splits[split].ids)}
                    for key, interval in each.items()
                }
                for which, each in found.items()
            }
            for split, found in table.items()
        }
        wish = {"costs": prices.tolist(), "classes": [*val.names]}
        print_json({"schema": 1, "run": record.id, "wish": wish, "helps_on_val": helps, **plain})
        return 0
    click.echo(f"run {record.id}: {record.spec.label}")
    click.echo("wish: least expected cost by the probabilities of all classes\n")
    rows = [
        [
            *(split, which.replace("_", " "), _cost(each["cost"])),
            *(percent(each["accuracy"]), f"{len(splits[split].ids):,}"),
        ]
        for split, found in table.items()
        for which, each in found.items()
    ]
    print_table(["split", "decisions", "cost an item", "accuracy", "n"], rows, _COUNTS)
    click.echo()
    if helps:
        click.echo("on val the decisions of the least expected cost are cheaper")
    else:
        click.echo("on val they are no cheaper: keep those of the run")
    return 0
