"""All pairs of some rows compared, which the index keeps: nothing else of a report takes as long.

The comparisons of a block are kept with a hash of the runs that they are of, their predictions and
the code that compares; new ones take their place.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import answers, comparison, rankings, stats
from bench.answers import AnswerBook
from bench.index import Entry, Stamp
from bench.records import digest
from bench.report import choice
from bench.report.choice import Shown
from bench.rows import Row
from bench.store import Store


@dataclass(frozen=True)
class Pairs:
    """The comparisons of all pairs of some rows, in the order of `itertools.combinations`.

    Attributes:
        found: the first row of a pair less the second.
        corrected: p-values corrected for all of them (see `bench.stats.correct`).
    """

    found: tuple[stats.Difference, ...] = ()
    corrected: tuple[float, ...] = ()


def compared(
    groups: Sequence[Sequence[Shown]], entries: Iterable[Entry], book: AnswerBook, store: Store
) -> list[Pairs]:
    """Return the comparisons within groups of rows, each group of a block of its own.

    Args:
        groups: of rows; those whose comparisons are not known get their records.
        entries: of all runs.
        book: their predictions.
        store: is left with the warnings of what could not be read.
    """
    wanted = {run for rows in groups for shown in rows for run in shown.row.runs}
    stamps = {entry.id: entry.stamp for entry in entries if entry.id in wanted}
    places = [_place(rows) for rows in groups]
    keys = [_key(rows, stamps, store) for rows in groups]
    kept = store.recall(places)
    known = [_remembered(kept.get(p), key) for p, key in zip(places, keys, strict=True)]
    left = [rows for rows, pairs in zip(groups, known, strict=True) if pairs is None]
    choice.read((shown for rows in left for shown in rows), store)
    made: dict[str, str] = {}
    result = []
    for rows, pairs, place, key in zip(groups, known, places, keys, strict=True):
        if pairs is None:
            pairs = _compared(rows, book)
            # What cannot be used is named each time, and so is not remembered.
            if book.unusable.keys().isdisjoint(run for shown in rows for run in shown.row.runs):
                made[place] = _text(pairs, key)
        result.append(pairs)
    store.remember(made)
    return result


def _compared(rows: Sequence[Shown], book: AnswerBook) -> Pairs:
    runs = [shown.runs for shown in rows]
    found = [
        comparison.compare(a, b, book) if a and b else stats.Difference.untested(math.nan)
        for a, b in itertools.combinations(runs, 2)
    ]
    return Pairs(tuple(found), tuple(stats.correct(found)))


def _place(rows: Sequence[Shown]) -> str:
    """Return where the index keeps the pairs of a block."""
    return f"pairs:{digest(_contest(rows[0].row) if rows else None)[:12]}"


def _contest(row: Row) -> list[object]:
    return [row.dataset, row.content, {**row.protocol, **row.pinned}, row.mode]


def _key(rows: Sequence[Shown], stamps: Mapping[str, Stamp], store: Store) -> str:
    """Return a hash of all that the comparisons are made from."""
    runs = [
        [(run, stamps.get(run), answers.stamp(store.folder(run))) for run in shown.row.runs]
        for shown in rows
    ]
    return digest([rankings.source(), runs])


def _text(pairs: Pairs, key: str) -> str:
    """Return pairs as the index keeps them; numbers that JSON has no word for are text there."""
    found = [
        {name: value if name == "test" else _plain(value) for name, value in asdict(each).items()}
        for each in pairs.found
    ]
    return json.dumps({"key": key, "found": found, "corrected": pairs.corrected})


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _remembered(text: str | None, key: str) -> Pairs | None:
    """Return the pairs that the index has kept, or None where they are others or damaged."""
    try:
        kept = json.loads(text) if text else {}
        if kept["key"] != key:
            return None
        found = [_difference(each) for each in kept["found"]]
        return Pairs(tuple(found), tuple(map(float, kept["corrected"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _difference(plain: Mapping[str, Any]) -> stats.Difference:
    """Read what `_text` wrote of a difference."""
    numbers = {name: float(value) for name, value in plain.items() if name != "test"}
    return stats.Difference(test=stats.Test(plain["test"]), **numbers)
