"""`bench predict`: what a run's network says of images that nobody has labelled."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from bench.cli.common import (
    NamedPath,
    json_option,
    print_json,
    print_warnings,
    progress_bar,
    registry_with_warnings,
    results_option,
)
from bench.cli.told import SHEET_IMAGES, Drawing, Told, table
from bench.errors import UsageError
from bench.text import duration


@click.command("predict")
@click.argument("run")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-o",
    "--output",
    type=NamedPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the table (CSV) here instead of printing it.",
)
@click.option(
    "--sheet",
    type=NamedPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"Draw a contact sheet as well, of {SHEET_IMAGES} images at most: .png, .jpg or .webp.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="NUMBER|LABEL=NUMBER,...",
    help="Probability from which a label counts as present; of two classes, the second.",
)
@click.option(
    "--top", type=click.IntRange(1), default=3, show_default=True, help="Likeliest classes to tell."
)
@click.option("--batch-size", type=click.IntRange(1), help="Images at a time.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--on-bad",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="Files that cannot be read: stop, or leave them out, name them and exit with 1.",
)
@results_option
@json_option
def command(
    run: str,
    paths: tuple[str, ...],
    output: Path | None,
    sheet: Path | None,
    thresholds: tuple[str, ...],
    top: int,
    batch_size: int | None,
    device: str,
    on_bad: str,
    results: Path,
    as_json: bool,
) -> int:
    """Predict images with the weights that a run has left, prepared as it prepared its own.

    RUN is the beginning of its id, as `bench list runs` shows it. PATH is an image, a folder (with
    all images below it) or a table (.csv, .tsv) with a column of paths.
    """
    from bench import errand, inbox, reuse
    from bench.jobs import JobKind
    from bench.store import Store
    from bench.verdicts import Judge, thresholds_of

    store = Store(results)
    record = store.find(run)
    print_warnings(store.warnings)
    registry = registry_with_warnings()
    voters = reuse.voters_of(record, store, registry)
    networks = [network for network, _ in voters]
    first = networks[0]
    # Of an ensemble it is its own, not that of a member.
    usual = record.environment.get("threshold")
    judge = Judge(
        task=first.task,
        classes=first.classes,
        taxonomy=first.taxonomy,
        thresholds=thresholds_of(thresholds, first.task, first.classes, usual),
        top=min(top, len(first.classes)),
    )
    drawing = None if sheet is None else Drawing(sheet)
    pictures = inbox.gather(paths)
    _keep_apart({"-o": output, "--sheet": sheet}, [*map(Path, paths), *(p.path for p in pictures)])
    print_warnings(note for each in networks for note in reuse.notes(each, registry))
    payload = {
        "networks": [each.to_dict() for each in networks],
        "weights": [weight for _, weight in voters],
        "paths": [str(picture.path.absolute()) for picture in pictures],
        "device": device,
        "batch_size": batch_size,
        "on_bad": on_bad,
    }
    # Rows that appear on the same terminal show the progress, and a bar would cut into them.
    beside = output is not None or as_json or not sys.stdout.isatty()
    bar = progress_bar("predicting", shown=beside)
    with table(output, printed=not as_json) as file, bar as progress:
        told = Told(judge, pictures, file, drawing, keep=as_json)

        def receive(report: dict[str, Any]) -> None:
            told.receive(report)
            progress(told.done, len(pictures))

        specs = [each.spec for each in networks]
        facts = errand.carry_out(JobKind.PREDICT, payload, registry, specs, receive)
    if drawing is not None:
        drawing.save(f"{record.spec.model_label}, run {record.id}", told.predicted)
    if as_json:
        about = {"run": record.id, "model": record.spec.model.name, "task": str(judge.task)}
        names = {"classes": [*judge.classes], "thresholds": judge.said_from}
        said = {"images": told.rows, "skipped": told.skipped()}
        device_facts = {name: facts[name] for name in ("device", "device_name", "precision")}
        print_json({"schema": 1, **about, **names, **said, **device_facts})
    _say(told, facts, output)
    return 1 if told.bad else 0


def _keep_apart(outputs: Mapping[str, Path | None], read: Iterable[Path]) -> None:
    """Refuse to write over what is to be read, whatever it is called, or two files in one."""
    inputs = {os.path.realpath(path) for path in read}
    for option, path in outputs.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in inputs:
            raise UsageError(
                f"`{option} {path}` would replace what is to be read; name another file"
            )
        inputs.add(place)


def _say(told: Told, facts: dict[str, Any], output: Path | None) -> None:
    """Say on stderr what was done, and what could not be read."""
    for line in told.complaints():
        click.echo(f"warning: {line}", err=True)
    count, seconds = told.predicted, facts["seconds"]
    where = f"{output}: " if output is not None else ""
    rate = f", {count / seconds:,.0f} a second" if seconds > 0 and count > 1 else ""
    noun = "image" if count == 1 else "images"
    click.echo(
        f"{where}{count:,} {noun} in {duration(seconds)}{rate} on {facts['device_name']}", err=True
    )
