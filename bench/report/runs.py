"""What a report tells of one run."""

from __future__ import annotations

import dataclasses
import math
import shlex
from pathlib import Path
from typing import Any

from bench import confusion, curves, repeat, stats
from bench.answers import AnswerBook
from bench.ensembles import VOTES
from bench.errors import BenchError
from bench.records import EpochMetrics, RunRecord, RunStatus
from bench.registry import Registry
from bench.report import answer_charts, facts, learning_charts, run_pictures
from bench.report.content import Column, RunPart, Table, Value
from bench.report.gallery import Gallery
from bench.report.run_pictures import RunPictures
from bench.report.shelf import Shelf
from bench.specs import Answers, Task
from bench.store import Store
from bench.text import one_line

LOG_LINES = 20
LOG_BYTES = 20_000
"""Of the end of a log that its last lines are looked for in."""
MOST_CLASSES = 30
"""Classes of which all are in the table; of more those with the lowest F1."""


def run_part(
    record: RunRecord,
    row_id: str,
    label: str,
    book: AnswerBook,
    store: Store,
    registry: Registry,
    shelf: Shelf,
    gallery: Gallery | None = None,
) -> RunPart:
    """Return what is told of a run; of one that failed, its error and how far it came.

    Args:
        record: of the run.
        row_id: of the row of the leaderboard that it belongs to.
        label: the method, and the seed.
        book: has its predictions.
        store: has what else it left.
        registry: of the components that its command names.
        shelf: takes its pictures.
        gallery: the runs whose pictures it may borrow; only its own and its members' where None.
    """
    prefix = f"run-{record.id}"
    folder = store.folder(record.id)
    epochs = curves.read_epochs(folder / "epochs.jsonl")
    split = "test" if "test" in record.metrics else "val"
    answers = book.of(record, split)
    notes: list[str] = []
    shown = RunPictures()
    charts = tuple(
        dataclasses.replace(chart, name=f"{prefix}-{chart.name}")
        for chart in learning_charts.of_run(epochs, record)
    )
    classes = None
    if answers is not None:
        lent = gallery or Gallery(store)
        shown = run_pictures.of(record, answers, split, prefix, lent, shelf)
        opened = {each.link for each in shown.confused}
        charts += answer_charts.of(answers, prefix, opened)
        classes = class_table(answers, split)
        notes += shown.notes
        if answers.probabilities is None:
            notes.append("No probabilities were stored, so there are no ROC curves and the like.")
    elif record.status is RunStatus.OK:
        notes.append(f"It has no {split} predictions that can be read.")
    command, why = command_of(record, registry)
    return RunPart(
        prefix,
        record.id,
        one_line(label),
        row_id,
        sentence_of(record, epochs),
        charts,
        shown.confused,
        classes,
        shown.wrong,
        shown.doubtful,
        shown.seen,
        facts.settings_of(record),
        facts.environment_of(record),
        (*facts.provenance_of(record), *facts.measured_of(record)),
        command,
        tuple([*notes, why] if why else notes),
        str(record.status),
        () if record.status is RunStatus.OK else _log(folder / "log.txt"),
        shown.layer,
    )


def sentence_of(record: RunRecord, epochs: list[EpochMetrics]) -> str:
    """Return what the curves of a run say of its fit, or how it ended."""
    if record.status is not RunStatus.OK:
        return f"{record.status}: {one_line(record.error or 'no cause was recorded')}"
    _, verdict = curves.fit_of(epochs, record)
    if verdict is not None:
        return f"{verdict.kind}: {verdict.sentence}"
    return record.spec.role


def class_table(answers: Answers, split: str) -> Table:
    """Return precision, recall with its interval, F1 and n of each class."""
    rows = confusion.by_class(answers)
    shown, note = rows, ""
    if len(rows) > MOST_CLASSES:
        shown = sorted(rows, key=lambda row: (row["f1"], -row["n"]))[:MOST_CLASSES]
        note = f"The {MOST_CLASSES} of {len(rows)} classes with the lowest F1. "
    average = "average_precision" in rows[0]
    several = answers.task is Task.MULTI_LABEL
    columns = (
        Column("class", "label" if several else "class"),
        Column("n", "n", numeric=True),
        Column("precision", "precision", numeric=True),
        Column("recall", "recall", numeric=True),
        Column("interval", "95 % of recall", numeric=True),
        Column("f1", "F1", numeric=True),
        *([Column("average_precision", "average precision", numeric=True)] if average else []),
    )
    note += "Intervals of recall by Wilson."
    title = f"{split}, by {'label' if several else 'class'}"
    return Table(title, columns, tuple(_class_row(row) for row in shown), note)


def command_of(record: RunRecord, registry: Registry) -> tuple[str, str]:
    """Return what makes a run again, and what must be known of it; empty where there is none.

    A command trains the seeds up to that of the run, of which finished ones are left as they are.
    """
    spec = record.spec
    if spec.members:
        how = str(spec.model.params.get("how"))
        if how not in VOTES:
            return "", f"It was made by `bench ensemble --how {how}`, which trains its members."
        words = ["bench", "ensemble", *spec.members, "--how", how, "--seeds", "together"]
        if spec.model.name != f"ensemble-{how}":
            words += ["--name", spec.model.name]
        for option in ("steps", "select_by"):
            if option in spec.model.params:
                words += [f"--{option.replace('_', '-')}", str(spec.model.params[option])]
        return shlex.join(words), ""
    if "round" in spec.draw:
        why = "A round of boosting is trained again by `bench ensemble --how boosting` alone."
        return "", why
    try:
        command = repeat.command_of(spec, registry, spec.seed + 1)
    except BenchError as error:
        return "", f"No command that trains it again: {one_line(str(error))}"
    told = []
    if spec.tuned:
        told.append("The command has the params that tuning found, not the search for them.")
    if spec.seed:
        told.append(f"Seeds come from 0 on: the command trains those before {spec.seed} as well.")
    return command, " ".join(told)


def _class_row(row: dict[str, Any]) -> tuple[Value, ...]:
    n, recall = row["n"], row["recall"]
    interval = Value("–")
    if n:
        found = stats.wilson(round(recall * n), n)
        interval = Value(f"{found.low:.1%} to {found.high:.1%}", found.low)
    name = one_line(row["class"], answer_charts.LONGEST_NAME)
    return (
        Value(name, name.casefold()),
        Value(f"{n:,}", float(n)),
        _share(row["precision"]),
        _share(recall) if n else Value("–"),
        interval,
        Value(f"{row['f1']:.3f}", row["f1"]),
        *([_number(row["average_precision"])] if "average_precision" in row else []),
    )


def _share(value: float) -> Value:
    return Value(f"{value:.1%}", value)


def _number(value: float) -> Value:
    return Value(f"{value:.3f}", value) if math.isfinite(value) else Value("–")


def _log(path: Path) -> tuple[str, ...]:
    """Return the last lines of a log, each folded; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    lines = [one_line(line) for line in text.splitlines()]
    return tuple([line for line in lines if line][-LOG_LINES:])
