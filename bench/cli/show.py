"""`bench show`: all that is known of one run, or of one study."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench import studies
from bench.answers import AnswerBook
from bench.cli import class_tables
from bench.cli.common import (
    NamedPath,
    json_option,
    print_columns,
    print_json,
    print_warnings,
    results_option,
)
from bench.cli.curve_tables import Curves, Target
from bench.curves import parse_target
from bench.errors import UnknownNameError, UsageError
from bench.leaderboard import circumstances_of
from bench.protocol import is_in_use
from bench.records import RunRecord, RunStatus, canonical
from bench.report.facts import measured, spoken
from bench.specs import Answers
from bench.store import Store
from bench.studies import StudyRecord
from bench.text import listing, one_line

LOG_LINES = 20
PICTURES = "pictures"
"""The folder of pictures that no other is named for."""
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
    "--plot",
    "--figures",
    "figures",
    is_flag=False,
    flag_value=PICTURES,
    type=NamedPath(path_type=Path, file_okay=False),
    metavar="[FOLDER]",
    help="Draw it as well, PNG and SVG, into this folder, by default `pictures` here: of a run its "
    "curves, what it said of the split and its worst mistakes; of a study its trials and params.",
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
        record = _run(store, name, bool(found))
        print_warnings([*warnings, *store.warnings])
        _show_run(store, record, wanted, split, figures, as_json=as_json)
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
    pictures: Path | None,
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
    else:
        _print_run(store, record, curves, wanted, answers, split)
    if pictures is not None:
        _draw_run(store, record, answers, split, pictures)


def _print_run(
    store: Store,
    record: RunRecord,
    curves: Curves,
    wanted: Sequence[Target],
    answers: Answers | None,
    split: str,
) -> None:
    folder = store.folder(record.id)
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


def _draw_run(
    store: Store, record: RunRecord, answers: Answers | None, split: str, folder: Path
) -> None:
    """Draw what there is of a run, and say what there is not."""
    from bench import figures

    names = []
    for path in figures.write_run(record, store, answers, split, folder):
        click.echo(f"drew `{path}`", err=True)  # on stderr, since stdout may be JSON
        names.append(path.name)
    lacking = []
    if not any("-loss." in name for name in names):
        lacking.append("curves")
    if answers is None:
        lacking.append(f"{split} predictions")
    elif answers.probabilities is None:
        lacking.append("probabilities, so no ROC curves and the like")
    mistaken = answers is not None and not answers.right.all()
    if mistaken and not any(name.endswith("-mistakes.png") for name in names):
        lacking.append("pictures of its mistakes")
    if lacking:
        click.echo(f"not drawn: it has no {'; no '.join(lacking)}", err=True)


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
        rows += [measured(name, value) for name, value in part.items()]
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
        weight = f", weight {spoken(weights[run])}" if run in weights else ""
        rows.append(("member", f"{run} {who}{weight}"))
    rest = {name: value for name, value in known.items() if name != "weights" and value != ""}
    return rows + [measured(name, value) for name, value in rest.items()]


def _wrapped(name: str, text: str) -> list[tuple[str, str]]:
    """Return a long list of settings as several rows, of which the first has the name."""
    lines = textwrap.wrap(one_line(text, 2000), WIDTH, break_on_hyphens=False)
    return [(name if place == 0 else "", line) for place, line in enumerate(lines)]


def _numbers(metrics: Any) -> str:
    plain = {name: value for name, value in metrics.items() if not isinstance(value, dict)}
    return ", ".join(f"{name} {spoken(value)}" for name, value in plain.items())
