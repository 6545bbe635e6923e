"""The pictures of one run: its curves, what it said of a split, its worst mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bench import curves, pictures
from bench.charts import Chart
from bench.contact_sheet import contact_sheet
from bench.records import RunRecord
from bench.report import answer_charts, learning_charts, run_pictures
from bench.report.gallery import Gallery
from bench.specs import Answers
from bench.store import Store
from bench.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_MISTAKES = 48
_TRIED = 400
"""Mistakes among which those are looked for that there is a picture of."""
_CELL = 160
"""Pixels of a mistake's picture."""


def title_of(record: RunRecord) -> str:
    """Return what stands above the pictures of a run."""
    return one_line(f"{record.spec.label} · {record.id}")


def charts_of(
    record: RunRecord, store: Store, answers: Answers | None, split: str
) -> Iterator[tuple[str, Chart]]:
    """Yield what there is to draw of a run, each with the name of its file.

    Args:
        record: of the run.
        store: has its curves.
        answers: what it said of the split; None where it cannot be read.
        split: `val` or `test`.
    """
    epochs = curves.read_epochs(store.folder(record.id) / "epochs.jsonl")
    for chart in learning_charts.of_run(epochs, record):
        yield chart.name, replace(chart, title=f"{title_of(record)} · {chart.title}")
    for chart in answer_charts.of(answers, "") if answers is not None else ():
        title = f"{title_of(record)} · {split} · {chart.title}"
        yield f"{split}-{chart.name}", replace(chart, title=title)


def mistakes_of(record: RunRecord, store: Store, answers: Answers, split: str) -> Image | None:
    """Return the worst mistakes on one sheet; None where there is no picture of any."""
    worst = pictures.worst(answers, _TRIED).tolist()
    found = Gallery(store).find(record, worst, split)
    shown = [each for each in worst if each in found][:MOST_MISTAKES]
    if not shown:
        return None
    places = {each: place for place, each in enumerate(answers.ids.tolist())}
    captions = [_folded(run_pictures.caption(answers, places[each])) for each in shown]
    count = int((~answers.right).sum())
    title = f"{title_of(record)} · {len(shown)} of {count:,} mistakes on {split}, worst first"
    return contact_sheet([found[each] for each in shown], captions, cell=_CELL, title=title)


def _folded(caption: str) -> str:
    """Return a caption on lines of its own: what it is, what it was taken for."""
    truth, _, said = caption.partition(", ")
    said, _, second = said.partition(" (")
    return "\n".join(filter(None, [truth, said, second.removesuffix(")")]))
