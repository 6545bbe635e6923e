"""Contents of reports made by hand: rich ones, hostile ones, large ones."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
from PIL import Image as Pixels

from bench.charts import Axis, Band, Cell, Chart, Dot, Line, Rule, Unit
from bench.report.content import (
    Block,
    Column,
    Confused,
    Content,
    DatasetPart,
    Facts,
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

HOSTILE = (
    "<script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "'onmouseover='window.hacked=1",
    "</style><script>window.hacked=1</script>",
    "]]><svg onload=window.hacked=1>",
    "<!-- {{ 7*7 }} {% raw %}",
    "javascript:window.hacked=1",
    "https://example.org/a.png",
    "$x^2$ _a_ [red]=cmd|' /C calc'!A0 &amp; %#\\",
    "\u202eright to left \u05d0\u05d1\u05d2",
    "half of a pair \ud800",
    "nothing\x00 and bell \x07",
    "",
    "long" * 100,
)
"""Names that someone could give a class, a model, a dataset, a param or an error."""

COLUMNS = (
    Column("score", "Test accuracy", numeric=True),
    Column("n", "n", numeric=True),
    Column("seeds", "Seeds", numeric=True),
    Column("tuning", "Tuning"),
    Column("val", "Val accuracy", numeric=True),
    Column("train", "Train s", numeric=True),
    Column("latency", "Latency ms", numeric=True),
    Column("parameters", "Parameters", numeric=True),
)

METHODS = (
    ("resnet18 · adamw", 0.835, 0.007, 51.7, 11_200_000),
    ("resnet18 · sgd", 0.822, 0.010, 22.3, 11_200_000),
    ("resnet18 · momentum", 0.820, 0.022, 45.4, 11_200_000),
    ("cnn · adamw", 0.813, 0.013, 5.1, 211_800),
    ("cnn · momentum", 0.801, 0.015, 4.5, 211_800),
    ("cnn · sgd", 0.795, 0.027, 4.1, 211_800),
    ("cnn3 · adamw", 0.754, 0.022, 1.5, 94_000),
    ("cnn3 · momentum", 0.730, 0.008, 2.3, 94_000),
    ("cnn3 · sgd", 0.706, 0.026, 3.6, 94_000),
)
GROUPS = (1, 1, 1, 1, 1, 1, 7, 7, 9)
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "bag")


def rich() -> Content:
    """Every part of a report filled, with names as people give them."""
    images = {f"item-{number}": _image(number) for number in range(24)}
    images["photo"] = _image(3, size=96, colour=True)
    images["map"] = _heat(96)
    keys = tuple(images)
    block = _block(_rows(METHODS))
    runs = tuple(
        _run(number, f"{label}, seed 0", f"b0-r{number}", keys)
        for number, (label, *_) in enumerate(METHODS[:4])
    )
    return Content(
        title="4 models and 3 optimizers on fashion-mnist-mini",
        made="2026-11-23 08:00 UTC",
        version="0.1.0",
        counts="30 runs of 10 methods on 1 dataset; 3 runs of 1 method failed.",
        blocks=(block,),
        findings=(
            Finding("Learning rates", "adamw does best near 0.002 everywhere.", _curves("rates")),
        ),
        datasets=(_dataset(keys),),
        studies=(_study(),),
        runs=runs,
        settings=_settings(block.rows),
        images=images,
        warnings=("runs/ab12cd34/record.json is cut short; it is left out",),
    )


def hostile() -> Content:
    """The rich content, with a hostile name wherever a name can stand."""
    names = _Names()
    content = rich()
    block = content.blocks[0]
    rows = tuple(
        replace(
            row,
            label=names.next(),
            errors=(names.next(), names.next()),
            cells={
                name: Value(names.next(), sort=names.next(), hover=names.next())
                for name in row.cells
            },
        )
        for row in block.rows
    )
    block = replace(
        block,
        title=names.next(),
        dataset=names.next(),
        answer=names.next(),
        footnote=names.next(),
        metric=names.next(),
        columns=tuple(replace(column, heading=names.next()) for column in block.columns),
        rows=rows,
        tradeoffs=tuple(_renamed(chart, names) for chart in block.tradeoffs),
    )
    runs = tuple(
        replace(
            run,
            label=names.next(),
            sentence=names.next(),
            charts=tuple(_renamed(chart, names) for chart in run.charts),
            confused=tuple(
                replace(
                    each,
                    title=names.next(),
                    pictures=tuple(replace(p, caption=names.next()) for p in each.pictures),
                )
                for each in run.confused
            ),
            classes=_table("Classes", names),
            settings=names.facts(),
            environment=names.facts(),
            provenance=names.facts(),
            command=names.next(),
            notes=(names.next(),),
        )
        for run in content.runs
    )
    return replace(
        content,
        title=HOSTILE[0],
        made=names.next(),
        version=names.next(),
        counts=names.next(),
        blocks=(block, replace(block, id="b1", rows=(), title=names.next())),
        findings=(Finding(names.next(), names.next(), _renamed(_curves("rates"), names)),),
        datasets=tuple(
            replace(
                each,
                name=names.next(),
                facts=names.facts(),
                samples=tuple(replace(p, caption=names.next()) for p in each.samples),
                warnings=(names.next(), *HOSTILE),
            )
            for each in content.datasets
        ),
        studies=tuple(
            replace(each, title=names.next(), answer=names.next(), facts=names.facts())
            for each in content.studies
        ),
        runs=runs,
        settings=Settings(
            tuple((row.id, row.label) for row in rows),
            names.facts(),
            {row.id: dict(names.facts()) for row in rows},
        ),
        warnings=HOSTILE,
    )


def large(rows: int = 1000) -> Content:
    """A block of many rows, and twenty runs in detail with their pictures."""
    content = rich()
    generator = np.random.default_rng(0)
    methods = [
        (
            f"model_{number % 50} · optimizer{number % 7} · lr {10 ** -(1 + number % 4):g}",
            0.9 - 0.4 * number / rows,
            0.01 + 0.01 * float(generator.random()),
            float(generator.integers(1, 90_000)) / 10,
            int(generator.integers(10_000, 20_000_000)),
        )
        for number in range(rows - 1)
    ]
    images = {
        f"item-{number}": _image(number, size=64, colour=True) for number in range(400)
    } | dict(content.images)
    keys = tuple(images)
    block = _block(_rows(methods))
    runs = tuple(
        _run(number, f"{label}, seed 0", f"b0-r{number}", keys[number * 20 :] + keys)
        for number, (label, *_) in enumerate(methods[:20])
    )
    return replace(
        content, blocks=(block,), runs=runs, images=images, settings=_settings(block.rows)
    )


class _Names:
    """Hands out hostile names in turn."""

    def __init__(self) -> None:
        self._place = -1

    def next(self) -> str:
        self._place = (self._place + 1) % len(HOSTILE)
        return HOSTILE[self._place]

    def facts(self) -> Facts:
        return tuple((self.next(), self.next()) for _ in HOSTILE)


def _rows(methods: list[tuple[str, float, float, float, int]] | tuple) -> tuple[Row, ...]:
    rows = []
    for number, (label, score, half, seconds, parameters) in enumerate(methods):
        group = GROUPS[number] if number < len(GROUPS) else 10 + (number - 10) // 4 * 4
        tuned = number in (0, 3)
        low, high = score - half, score + half
        rows.append(
            Row(
                id=f"b0-r{number}",
                rank=group,
                tie_group=group,
                label=label,
                cells={
                    "score": Value(f"{score:.1%} ({low:.1%} to {high:.1%})", score, "3 seeds"),
                    "n": Value("1,000", 1000.0),
                    "seeds": Value("3", 3.0),
                    "tuning": Value("20 trials" if tuned else "default"),
                    "val": Value(f"{score + 0.02:.1%}", score + 0.02),
                    "train": Value(f"{seconds:.1f}", seconds),
                    "latency": Value(f"{seconds / 10:.2f}", seconds / 10),
                    "parameters": Value(f"{parameters / 1e6:.1f}M", float(parameters)),
                },
                interval=(score, low, high),
                errors=("1 of 4 runs: timeout after 30 s",) if number == 5 else (),
                runs=(f"{number:08x}",),
                part=f"run-{number:08x}" if number < 4 else "",
                tuned=tuned,
                default=(score - 0.02, low - 0.02, high - 0.02) if tuned else None,
            )
        )
    number = len(rows)
    cells = {column.name: Value("–") for column in COLUMNS}
    error = "3 runs diverged: the loss was nan in epoch 2 of 5 at a learning rate of 100"
    rows.append(Row(f"b0-r{number}", None, None, "cnn · sgd 100", cells, errors=(error,)))
    return tuple(rows)


def _block(rows: tuple[Row, ...]) -> Block:
    scored = [row for row in rows if row.interval][:30]
    return Block(
        id="b0",
        title="fashion-mnist-mini · epochs 5, batch size 32",
        dataset="fashion-mnist-mini",
        answer="resnet18 with adamw, resnet18 with sgd, resnet18 with momentum and 3 more cannot "
        "be told apart on 1,000 test images with 3 seeds; cnn with sgd trains fastest",
        footnote="95 % t interval over seeds. Gaps under about 3.3 points are beyond this set.",
        metric="accuracy",
        columns=COLUMNS,
        rows=rows,
        axis=(0.65, 0.85),
        left_out=0,
        tradeoffs=(_tradeoff("train", "Training time", scored), _tradeoff("size", "Size", scored)),
        learning=(_curves("loss"), _curves("accuracy"), _curves("rates", wide=True)),
        reached=_table("Time to 75 % on val", None),
        significance=Significance(
            _matrix("pairs", [row.label for row in scored[:9]], ""),
            _table("Pairs", None),
            "Hierarchical paired bootstrap, corrected by Holm's method.",
        ),
    )


def _tradeoff(name: str, title: str, rows: list[Row]) -> Chart:
    dots = tuple(
        Dot(
            x=1.5 + 5 * number,
            y=row.interval[0],
            series=number // 3 % 8,
            label=row.label if number < 3 else "",
            hover=f"{row.label}: {row.interval[0]:.1%}",
            link=row.part or row.id,
            y_low=row.interval[1],
            y_high=row.interval[2],
        )
        for number, row in enumerate(rows[:9])
        if row.interval
    )
    return Chart(
        name=f"tradeoff-{name}",
        title=f"{title} against accuracy",
        x=Axis(title, Unit.SECONDS, log=True),
        y=Axis("test accuracy", Unit.SHARE),
        marks=(*dots, Line((1.5, 10, 40), (0.7, 0.8, 0.83), series=-1, dashed=True)),
        series=("resnet18", "cnn", "cnn3"),
        note="The dashed line is the Pareto front.",
    )


def _curves(name: str, wide: bool = False) -> Chart:
    x = tuple(float(epoch) for epoch in range(1, 21))
    marks = []
    for series in range(3):
        y = tuple(0.9 - 0.5 * math.exp(-epoch / (4 + series)) for epoch in x)
        marks.append(Band(x, tuple(v - 0.03 for v in y), tuple(v + 0.03 for v in y), series))
        marks.append(Line(x, y, series, hover=f"line {series}"))
    marks.append(Rule(y=0.75, label="target"))
    return Chart(
        name=f"curves-{name}",
        title=f"Validation {name} by epoch",
        x=Axis("epoch", Unit.COUNT),
        y=Axis(name, Unit.SHARE),
        marks=tuple(marks),
        series=("adamw", "momentum", "sgd"),
        wide=wide,
    )


def _matrix(name: str, labels: list[str] | tuple[str, ...], prefix: str) -> Chart:
    cells = tuple(
        Cell(
            x=x,
            y=y,
            depth=0.9 if x == y else (x * 3 + y * 5) % 10 / 20,
            text="91" if x == y else str((x * 3 + y * 5) % 10),
            hover=f"{labels[y]} taken for {labels[x]}",
            link=f"{prefix}-{y}-{x}" if prefix and (x, y) == (0, 1) else "",
            right=x == y,
        )
        for x in range(len(labels))
        for y in range(len(labels))
    )
    names = tuple(labels)
    return Chart(
        name=name,
        title="Confusion matrix" if prefix else "Pairs",
        x=Axis("said", categories=names),
        y=Axis("truth", categories=names),
        marks=cells,
        wide=not prefix,
    )


def _run(number: int, label: str, row: str, keys: tuple[str, ...]) -> RunPart:
    part = f"run-{number:08x}"
    pictures = tuple(
        Picture(key, f"shirt, said coat {50 + place} %", right=place % 3 == 0)
        for place, key in enumerate(keys[:12])
    )
    roc = Chart(
        "roc",
        "ROC",
        Axis("false positive rate", Unit.SHARE),
        Axis("true positive rate", Unit.SHARE),
        (Line((0, 0.1, 0.4, 1), (0, 0.7, 0.95, 1), hover="area 0.93"), Rule()),
        ("macro average",),
    )
    dots = tuple(Dot(0.05 + 0.1 * place, 0.1 * place, hover="10 items") for place in range(10))
    reliability = Chart(
        "reliability",
        "Reliability",
        Axis("confidence", Unit.SHARE, low=0, high=1),
        Axis("accuracy", Unit.SHARE, low=0, high=1),
        (*dots, Rule()),
    )
    return RunPart(
        id=part,
        run=f"{number:08x}",
        label=label,
        row=row,
        sentence="fits well: val loss falls to the end, 0.03 above train loss",
        charts=(_curves("loss"), _matrix("confusion", CLASSES, part), roc, reliability),
        confused=(
            Confused(f"{part}-1-0", "trouser taken for t-shirt: 31 of 100", pictures[:5], 31),
        ),
        classes=_table("Classes", None),
        wrong=pictures[:6],
        doubtful=pictures[6:],
        seen=(Picture("photo", "daisy, said daisy 98 %", True, overlay="map"),) * 3,
        settings=(("optimizer.lr", "0.002"), ("protocol.epochs", "5")),
        environment=(("python", "3.11"), ("torch", "2.15"), ("device", "cpu, 1 thread")),
        provenance=(("dataset", "sha256 ab12…"), ("began", "2026-11-23 07:00 UTC")),
        command="bench run --models cnn --optimizers adamw --set adamw.lr=0.002 --seeds 1",
        notes=("3 pictures had no room",),
        layer="features.7",
    )


def _dataset(keys: tuple[str, ...]) -> DatasetPart:
    counts = Table(
        "Images of each class",
        (Column("class", "Class"), Column("train", "Train", True), Column("test", "Test", True)),
        tuple((Value(name), Value("400", 400.0), Value("100", 100.0)) for name in CLASSES),
    )
    return DatasetPart(
        id="d0",
        name="fashion-mnist-mini",
        facts=(("images", "28 × 28, 1 channel"), ("fingerprint", "ab12cd34")),
        counts=counts,
        samples=tuple(Picture(key, name) for key, name in zip(keys, CLASSES * 2, strict=False)),
        warnings=("2 images of test stand in train, too",),
    )


def _study() -> StudyPart:
    return StudyPart(
        id="s0",
        title="cnn with adamw on fashion-mnist-mini",
        answer="20 trials found lr 0.004, 1.8 points above the default on val.",
        facts=(("sampler", "tpe"), ("trials", "20")),
        charts=(_curves("best so far"), _curves("importance")),
        trials=_table("The best trials", None),
    )


def _settings(rows: tuple[Row, ...]) -> Settings:
    return Settings(
        rows=tuple((row.id, row.label) for row in rows),
        common=(("protocol.epochs", "5"), ("protocol.batch_size", "32")),
        own={
            row.id: {
                "model": row.label.split(" · ")[0],
                "optimizer": row.label.split(" · ")[1],
                "optimizer.lr": "0.002",
                **({"optimizer.momentum": "0.9"} if "momentum" in row.label else {}),
            }
            for row in rows
        },
    )


def _table(title: str, names: _Names | None) -> Table:
    columns = (Column("name", "Name"), Column("value", "Value", True), Column("more", "More", True))
    rows = tuple(
        (
            Value(names.next() if names else CLASSES[number]),
            Value(f"{number * 11 % 7}", float(number * 11 % 7), hover="counted once"),
            Value("–" if number == 3 else f"{number / 8:.1%}", None if number == 3 else number / 8),
        )
        for number in range(8)
    )
    return Table(title, columns, rows, note="Each counts once.")


def _renamed(chart: Chart, names: _Names) -> Chart:
    def name(mark):
        fields = ("label", "hover", "text")
        return replace(mark, **{each: names.next() for each in fields if hasattr(mark, each)})

    def axis(old: Axis) -> Axis:
        return replace(
            old, label=names.next(), categories=tuple(names.next() for _ in old.categories)
        )

    return replace(
        chart,
        title=names.next(),
        note=names.next(),
        series=tuple(names.next() for _ in chart.series),
        x=axis(chart.x),
        y=axis(chart.y),
        marks=tuple(name(mark) for mark in chart.marks),
    )


def _image(number: int, size: int = 28, colour: bool = False) -> Image:
    y, x = np.mgrid[0:size, 0:size] / size
    wave = (
        number / 100
        + np.sin(6 * x * (1 + number % 5)) * np.cos(5 * y * (1 + number % 3))
        + (x - 0.5) ** 2
    )
    pixels = np.uint8(np.clip(127 + 100 * wave, 0, 255))
    if colour:
        pixels = np.stack([pixels, pixels[::-1], np.uint8(255 * y)], axis=2)
    return _file(pixels, "JPEG" if colour else "PNG")


def _heat(size: int) -> Image:
    """A map to be laid over a picture: the more a place says, the less can be seen through it."""
    y, x = np.mgrid[0:size, 0:size] / size
    opacity = np.uint8(200 * np.exp(-8 * ((x - 0.4) ** 2 + (y - 0.5) ** 2)))
    red = np.full_like(opacity, 255)
    return _file(np.stack([red, opacity, 0 * red, opacity], axis=2), "PNG")


def _file(pixels: np.ndarray, form: str) -> Image:
    buffer = io.BytesIO()
    Pixels.fromarray(pixels).save(buffer, form, quality=70)
    height, width = pixels.shape[:2]
    return Image(buffer.getvalue(), f"image/{form.lower()}", width, height)
