"""Results folders made of plain records, and what holds of any report of one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from samples import make_record, make_spec

from bench.charts import Band, Chart, Dot
from bench.records import RunRecord
from bench.registry import Registry
from bench.report import preparing
from bench.report.content import Block, Content
from bench.store import Store


def prepare(store: Store, top: int = preparing.TOP) -> Content:
    store.root.mkdir(exist_ok=True)
    content = preparing.prepare(store, Registry(), top)
    check(content)
    return content


def check(content: Content) -> None:
    """Check what holds of every content: ids, references, numbers, sizes."""
    rows = [row for block in content.blocks for row in block.rows]
    parts = [block.id for block in content.blocks] + [row.id for row in rows]
    parts += [part.id for part in (*content.runs, *content.datasets, *content.studies)]
    assert len({*parts}) == len(parts)
    for row in rows:
        assert row.label
        assert row.part in {"", *(run.id for run in content.runs)}
    for run in content.runs:
        assert run.row in {row.id for row in rows}
    charts = [chart for block in content.blocks for chart in charts_of(block)]
    charts += [finding.chart for finding in content.findings if finding.chart is not None]
    assert len({chart.name for chart in charts}) == len(charts)
    for chart in charts:
        assert len(chart.series) <= 8
        for mark in chart.marks:
            numbers = mark.x, mark.y if not isinstance(mark, Band) else (*mark.low, *mark.high)
            flat = [each for n in numbers for each in (n if isinstance(n, tuple) else (n,))]
            assert all(number is None or math.isfinite(number) for number in flat)
            if isinstance(mark, Dot) and mark.link:
                assert mark.link in parts
    for block in content.blocks:
        names = [column.name for column in block.columns]
        assert len({*names}) == len(names)
        assert all({*names} == {*row.cells} for row in block.rows)
        texts = [cell.text for row in block.rows for cell in row.cells.values()]
        assert not any("nan" in text.split() for text in texts)
        assert 0 <= block.axis[0] < block.axis[1] <= 1
        for row in block.rows:
            assert row.interval is None or block.axis[0] <= row.interval[1]
            assert row.interval is None or row.interval[2] <= block.axis[1]
    for own in content.settings.own.values():
        assert not {*own} & {name for name, _ in content.settings.common}
    assert {row for row, _ in content.settings.rows} == {*content.settings.own}


def charts_of(block: Block) -> list[Chart]:
    matrix = [block.significance.chart] if block.significance else []
    return [*block.tradeoffs, *block.learning, *matrix]


def chart_of(block: Block, name: str) -> Chart:
    (chart,) = (each for each in charts_of(block) if each.name == f"{block.id}-{name}")
    return chart


def write(
    store: Store,
    records: Iterable[RunRecord],
    curve: Sequence[float] = (0.5, 0.7, 0.8),
    **fields: Any,
) -> list[RunRecord]:
    """Commit records with their curves: train a tenth ahead, a second an epoch."""
    written = [*records]
    for record in written:
        store.write(record)
        lines = [
            {
                "epoch": place,
                "epochs": len(curve),
                "train_loss": 1 - val,
                "train_accuracy": min(1.0, val + 0.1),
                "val_loss": 1.1 - val,
                "val_accuracy": val,
                "lr": 0.1,
                "seconds": 1.0,
                "images_per_second": 100.0,
                "steps": 10 * place,
                **fields,
            }
            for place, val in enumerate(curve, 1)
        ]
        text = "\n".join(map(json.dumps, lines))
        (store.folder(record.id) / "epochs.jsonl").write_text(text)
    return written


def seeded(model: str, accuracies: Iterable[float], **fields: Any) -> list[RunRecord]:
    """Return a record for each seed, whose last epoch was kept."""
    record = {name: fields.pop(name) for name in ("profile", "environment") if name in fields}
    timing = {"train_seconds": 3.0, "images_per_second": 100.0, "best_epoch": 3}
    timing |= fields.pop("timing", {})
    return [
        make_record(make_spec(model, seed=seed, **fields), accuracy, timing=timing, **record)
        for seed, accuracy in enumerate(accuracies)
    ]
