"""`bench show`: all that is known of one run, or of one study."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bench import studies
from bench.answers import AnswerBook
from bench.cli import class_tables
from bench.cli.common import json_option, print_columns, print_json, print_warnings, results_option
from bench.cli.curve_tables import Curves, Target
from bench.curves import parse_target
from bench.errors import UnknownNameError, UsageError
from bench.leaderboard import circumstances_of
from bench.protocol import is_in_use
from bench.records import RunRecord, RunStatus, canonical
from bench.store import Store
from bench.studies import StudyRecord
from bench.text import byte_size, duration, listing, one_line

LOG_LINES = 20
WIDTH = 100
"""Characters of a line of settings."""


@click.command("show")
@click.argument("name", metavar="RUN|STUDY")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="[METRIC:]VALUE",
    help="Of a run: say when val first reached this accuracy, or loss:VALUE, or score:VALUE.",
)
@click.option(
    "--split",
    type=click.Choice(("val", "test")),
    help="Of a run: which predictions the table of classes is made from; test where there are any.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Of a study: draw its trials and params into this folder as well, PNG and SVG.",
)
@results_option
@json_option
def command(
    name: str,
    targets: tuple[str, ...],
    split: str | None,
    figures: Path | None,
    results: Path,
    as_json: bool,
) -> None:
    """Show one run: settings, metrics, curves, environment; or a study and its trials.

    RUN is the beginning of its id, as `bench list runs` shows it; STUDY that of its id, its name,
    as `bench list studies` shows them, or what `--study` called it.
    """
    wanted = [parse_target(text) for text in targets]
    found, warnings = studies.read_all(results)
    study = _matching(found, name)
    store = Store(results)
    if study is None:
        if figures is not None:
            raise UsageError("`--figures` is for studies; of runs, see `bench leaderboard`")
        record = _run(store, name, bool(found))
        print_warnings([*warnings, *store.warnings])
        _show_run(store, record, wanted, split, as_json=as_json)
        return
    if wanted or split:
        option = "--target" if wanted else "--split"
        raise UsageError(f"`{option}` is for runs, and `{name}` is a study")
    same = store.ids(name)
    if same and name not in (study.name, study.label):
        raise UnknownNameError(
            f"`{name}` begins study `{study.id}` and {listing(f'run {each}' for each in same)}; "
            "give more digits"
        )
    print_warnings([*warnings, *store.warnings])
    _show_study(study, figures, as_json=as_json)


def _matching(found: Sequence[StudyRecord], name: str) -> StudyRecord | None:
    """Return the study that has this name, or whose id begins so; None where there is none.

    Raises:
        UnknownNameError: there are several.
    """
    named = [study for study in found if name and name in (study.name, study.label)]
    several = named or [study for study in found if name and study.id.startswith(name)]
    if len(several) > 1:
        ids = listing(study.id for study in several)
        what = "are called" if named else "start with"
        raise UnknownNameError(f"{len(several)} studies {what} `{name}`: {ids}; give one's id")
    return several[0] if several else None


def _run(store: Store, name: str, has_studies: bool) -> RunRecord:
    try:
        return store.find(name)
    except UnknownNameError as error:
        if has_studies and not store.ids(name):
            raise UnknownNameError(
                f"no run and no study in `{store.root}` is `{name}` or starts with it; see "
                "`bench list runs` and `bench list studies`"
            ) from error
        raise


def _show_study(study: StudyRecord, folder: Path | None, *, as_json: bool) -> None:
    from bench import study_series
    from bench.cli import study_tables

    view = study_series.view_of(study)
    if as_json:
        print_json(study_tables.to_dict(view))
    else:
        study_tables.print_study(view)
    if folder is None:
        return
    from bench import figures

    written = figures.write_study(view, folder)
    if not written:
        click.echo("no pictures: no trial has begun", err=True)
    for path in written:  # on stderr, since stdout may be JSON
        click.echo(f"drew `{path}`", err=True)


def _show_run(
    store: Store,
    record: RunRecord,
    wanted: Sequence[Target],
    split: str | None,
    *,
    as_json: bool,
) -> None:
    folder = store.folder(record.id)
    others = _other_seeds(store, record) if wanted else []
    curves = Curves.read(folder, record, others)
    # A trial is handed no test split.
    split = split or ("test" if "test" in record.metrics else "val")
    answers = AnswerBook(store).of(record, split)
    if as_json:
        files = sorted(str(path) for path in folder.iterdir())
        classes = class_tables.to_dict(answers, split)
        print_json(
            {**record.to_dict(), **curves.to_dict(wanted), "classes": classes, "files": files}
        )
        return
    _print_record(record, store)
    if answers is not None:
        class_tables.print_classes(answers, split)
    elif record.status is RunStatus.OK:
        click.echo(f"\nno table of classes: it has no {split} predictions that can be read")
    curves.print(wanted)
    click.echo(f"\nfiles in {folder}")
    for path in sorted(folder.iterdir()):
        click.echo(f"  {path.name}")
    log = folder / "log.txt"
    if record.error and log.exists() and (text := log.read_text("utf-8", "replace").strip()):
        click.echo(f"\nlast lines of {log}")
        for line in text.splitlines()[-LOG_LINES:]:
            click.echo(f"  {one_line(line)}")


def _other_seeds(store: Store, record: RunRecord) -> list[Path]:
    """Return the folders of finished runs that differ from a run in nothing but their seed."""
    method = record.spec.method
    alike = [e.id for e in store.entries() if e.method == method and e.status == RunStatus.OK]
    same = canonical(circumstances_of(record))
    return [
        store.folder(each.id)
        for each in store.records(alike)
        if each.id != record.id and canonical(circumstances_of(each)) == same
    ]


def _print_record(record: RunRecord, store: Store) -> None:
    spec = record.spec
    rows: list[tuple[str, str]] = [("run", record.id), ("status", str(record.status))]
    if spec.role:
        rows.append(("role", spec.role))
    if record.error:
        rows.append(("error", record.error))
    rows += _members(record, store)
    for kind, ref in spec.components.items():
        params = ", ".join(f"{name}={value}" for name, value in ref.params.items())
        rows += _wrapped(kind, f"{ref.name} ({params})" if params else ref.name)
    protocol = {
        name: value
        for name, value in spec.protocol.items()
        if value is not None and is_in_use(name, spec.settings)
    }
    rows += _wrapped("protocol", ", ".join(f"{k}={v}" for k, v in protocol.items()))
    if spec.pinned:
        pinned = ", ".join(f"{name}={spec.protocol[name]}" for name in spec.pinned)
        rows.append(("pinned", pinned))
    rows.append(("seed", str(spec.seed)))
    for split, metrics in record.metrics.items():
        rows += _wrapped(split, _numbers(metrics))
    told = {name: value for name, value in record.environment.items() if name != "ensemble"}
    for part in (record.timing, record.profile, told if spec.members else record.environment):
        rows += [_measured(name, value) for name, value in part.items()]
    rows += [("started", record.started_at), ("finished", record.finished_at)]
    print_columns(("", ""), rows)


def _members(record: RunRecord, store: Store) -> list[tuple[str, str]]:
    """Return an ensemble's members, each with its weight, and what else was chosen."""
    told = record.environment.get("ensemble")
    known = told if isinstance(told, dict) else {}
    weights = known.get("weights")
    weights = weights if isinstance(weights, dict) else {}
    rows = []
    for run in record.spec.members:
        member = store.read(run)
        who = member.spec.label if member else "no longer there"
        weight = f", weight {_value(weights[run])}" if run in weights else ""
        rows.append(("member", f"{run} {who}{weight}"))
    rest = {name: value for name, value in known.items() if name != "weights" and value != ""}
    return rows + [_measured(name, value) for name, value in rest.items()]


def _wrapped(name: str, text: str) -> list[tuple[str, str]]:
    """Return a long list of settings as several rows, of which the first has the name."""
    lines = textwrap.wrap(one_line(text, 2000), WIDTH, break_on_hyphens=False)
    return [(name if place == 0 else "", line) for place, line in enumerate(lines)]


def _numbers(metrics: Any) -> str:
    plain = {name: value for name, value in metrics.items() if not isinstance(value, dict)}
    return ", ".join(f"{name} {_value(value)}" for name, value in plain.items())


def _measured(name: str, value: Any) -> tuple[str, str]:
    """Return a field's name in words and its value in the unit that the name ends with."""
    words = name.replace("_", " ")
    number = not isinstance(value, bool) and isinstance(value, int | float)
    sensible = number and math.isfinite(value) and value >= 0
    for unit, text in _UNITS.items():
        if name.endswith(f"_{unit}"):
            # "train" alone would look like a split beside val and test.
            words = words if unit == "seconds" else words.removesuffix(f" {unit}")
            return words, text(value) if sensible else _value(value)
    return words, _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value) or "none"
    return str(value)


_UNITS: dict[str, Callable[[float], str]] = {
    "seconds": duration,
    "bytes": byte_size,
    "ms": lambda milliseconds: f"{milliseconds:.3g} ms",
}
"""The endings of fields that hold a quantity, and how it is printed."""
