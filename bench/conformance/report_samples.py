"""Contents made up for checking formats of reports: whole, all but empty, and hostile."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image as Pixels

from bench.charts import Axis, Band, Cell, Chart, Dot, Line, Rule, Unit
from bench.report.content import (
    Block,
    Column,
    Confused,
    Content,
    DatasetPart,
    Finding,
    Image,
    Picture,
    Row,
    RunPart,
    Settings,
    Significance,
    StudyPart,
    Table,
    Value,
)

Naming = Callable[[str], str]
"""Takes the text that stands somewhere, and returns what is to stand there."""

HOSTILE = (
    "<hacked>",
    '"><hacked>',
    "'><hacked>",
    "</title></style></script></textarea><hacked>",
    "--><hacked>",
    "]]><hacked>",
    '" hacked="1',
    "' hacked='1",
    "x hacked=1",
    '";hacked();//',
    "javascript:hacked()",
    "https://hacked.example/a.png",
    "hacked{{ 7*7 }}",
    "=hacked()",
    "@hacked",
    "hacked$x_1&5%#",
    "hacked|cell",
    "first\n# hacked line",
    "[red]hacked[/red]",
    "hacked\x07\x1b[31m\x00",
    "\u202ehacked\u2066",
    "hacked \ud800",
    "",
    "hacked " * 60,
)
"""Names that somebody may give a dataset, a class, a model or an error."""


def unchanged(text: str) -> str:
    """Return a text as it is."""
    return text


def hostile(start: int) -> Naming:
    """Return what puts hostile names into all places, from some one of them on."""
    place = start - 1

    def name(text: str) -> str:
        nonlocal place
        place += 1
        return HOSTILE[place % len(HOSTILE)]

    return name


def whole(name: Naming) -> Content:
    """Return a content with every part that a report may have."""
    rows = tuple(_row(number, name) for number in range(3))
    block = Block(
        id="b0",
        title=name("digits, 3 epochs"),
        dataset=name("digits"),
        answer=name("cnn with adamw is best"),
        footnote=name("95 % intervals over 3 seeds"),
        metric=name("accuracy"),
        columns=(Column("score", name("Test accuracy"), True), Column("how", name("Tuning"))),
        rows=rows,
        axis=(0.5, 1.0),
        left_out=2,
        tradeoffs=(_dots(name),),
        learning=(_curves(name),),
        reached=_table("Time to 90 %", name),
        significance=Significance(_matrix(name), _table("Pairs", name), name("by Holm's method")),
        not_drawn=(name("Curves of the rest"),),
    )
    return Content(
        title=name("2 models on digits"),
        made=name("2026-01-01 00:00 UTC"),
        version=name("0.1.0"),
        counts=name("9 runs of 3 methods"),
        blocks=(block,),
        findings=(Finding(name("Rates"), name("adamw does best near 0.002"), _curves(name)),),
        datasets=(
            DatasetPart(
                id="d0",
                name=name("digits"),
                facts=((name("images"), name("8 × 8")),),
                counts=_table("Images of each class", name),
                samples=(Picture("item", name("three")),),
                warnings=(name("2 images stand in both splits"),),
            ),
        ),
        studies=(
            StudyPart(
                id="s0",
                title=name("cnn with adamw"),
                answer=name("20 trials found a rate of 0.004"),
                facts=((name("sampler"), name("tpe")),),
                charts=(_curves(name),),
                trials=_table("The best trials", name),
            ),
        ),
        runs=(_run(0, name), _run(2, name)),
        settings=Settings(
            rows=tuple((row.id, row.label) for row in rows),
            common=((name("protocol.epochs"), name("3")),),
            own={row.id: {name("model"): name("cnn")} for row in rows},
            left_out=1,
        ),
        images={"item": _image()},
        warnings=(name("a record is cut short"),),
    )


def little() -> dict[str, Content]:
    """Return contents with hardly anything in them, by what to call them."""
    empty = Content("no runs", "2026-01-01 00:00 UTC", "0.1.0", "no runs")
    block = Block("b0", "digits", "digits", "no run has succeeded", "", "accuracy", (), ())
    failed = Row("b0-r0", None, None, "cnn", {}, errors=("out of memory",))
    ranked = Row("b0-r1", 1, 1, "cnn", {})
    bare = Content(
        *("one", "", "", ""),
        blocks=(Block("b0", "digits", "", "", "", "", (), (ranked, failed)),),
        datasets=(DatasetPart("d0", "digits"),),
        studies=(StudyPart("s0", "cnn", ""),),
        runs=(RunPart("r0", "0", "cnn", "b0-r1"),),
        refresh=5.0,
    )
    return {
        "an empty content": empty,
        "a block without rows": Content("one", "", "", "", blocks=(block,)),
        "parts that are all but empty": bare,
    }


def _row(number: int, name: Naming) -> Row:
    failed, score = number == 2, 0.9 - number / 10
    cells = {"score": Value(name(f"{score:.1%}"), score, name("3 seeds"), f"run-{number}")}
    return Row(
        id=f"b0-r{number}",
        rank=None if failed else number + 1,
        tie_group=None if failed else number + 1,
        label=name(f"cnn · sgd {number}"),
        cells={} if failed else {**cells, "how": Value(name("default"), name("default"))},
        interval=None if failed else (score, score - 0.1, score + 0.1),
        errors=(name("diverged in epoch 2"),) if failed else (),
        runs=(f"{number:012x}",),
        part="" if number == 1 else f"run-{number}",
        tuned=number == 0,
        default=(0.8, 0.7, 0.9) if number == 0 else None,
    )


def _run(number: int, name: Naming) -> RunPart:
    item = Picture("item", name("three, taken for eight"), False, "item")
    return RunPart(
        id=f"run-{number}",
        run=f"{number:012x}",
        label=name("cnn · sgd, seed 0"),
        row=f"b0-r{number}",
        sentence=name("fits well"),
        charts=(_curves(name), _matrix(name)),
        confused=(Confused(f"run-{number}-0-1", name("three taken for eight"), (item,), 31),),
        classes=_table("Classes", name),
        wrong=(item,),
        doubtful=(item,),
        seen=(item,),
        settings=((name("lr"), name("0.002")),),
        environment=((name("device"), name("cpu")),),
        provenance=((name("dataset"), name("ab12")),),
        command=name("bench run --models cnn"),
        notes=(name("3 pictures had no room"),),
        status="ok" if number == 0 else "failed",
        log=(name("Traceback (most recent call last):"),),
        layer=name("features.7"),
    )


def _table(title: str, name: Naming) -> Table:
    columns = (Column("name", name("Name")), Column("value", name("Value"), True))
    rows = tuple(
        (Value(name(text), name(text), name("said once")), Value(name("7"), 7.0))
        for text in ("three", "eight")
    )
    return Table(name(title), columns, rows, name("each counts once"))


def _dots(name: Naming) -> Chart:
    dot = Dot(1.5, 0.9, 0, name("cnn"), name("cnn: 90 %"), "run-0", False, 1.0, 2.0, 0.8, 1.0)
    return Chart(
        name="tradeoff",
        title=name("Time against accuracy"),
        x=Axis(name("time"), Unit.SECONDS, log=True),
        y=Axis(name("accuracy"), Unit.SHARE),
        marks=(dot, Dot(15, 0.8, 1, hollow=True), Line((1, 20), (0.7, 0.9), -1, dashed=True)),
        series=(name("cnn"), name("resnet")),
        note=name("the line is the front"),
    )


def _curves(name: Naming) -> Chart:
    x, y = (1.0, 2.0, 3.0), (0.5, float("nan"), 0.9)
    return Chart(
        name="curves",
        title=name("Accuracy by epoch"),
        x=Axis(name("epoch"), Unit.COUNT),
        y=Axis(name("accuracy"), Unit.SHARE),
        marks=(Band(x, y, y), Line(x, y, 0, name("seed 0")), Rule(y=0.75, label=name("target"))),
        series=(name("cnn"),),
        note=name("mean of 3 seeds"),
        wide=True,
    )


def _matrix(name: Naming) -> Chart:
    names = (name("three"), name("eight"))
    return Chart(
        name="confusion",
        title=name("Which class is taken for which"),
        x=Axis(name("predicted"), categories=names),
        y=Axis(name("true"), categories=names),
        marks=tuple(
            Cell(x, y, 0.5, name("31"), name("31 of 100"), "run-0-0-1", x == y)
            for x in range(2)
            for y in range(2)
        ),
    )


def _image() -> Image:
    buffer = io.BytesIO()
    Pixels.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(buffer, "PNG")
    return Image(buffer.getvalue(), "image/png", 8, 8)
