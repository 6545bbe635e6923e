"""What a report tells of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench import cards
from bench.cards import Card
from bench.inspection import telling
from bench.records import RunRecord
from bench.report.content import Column, DatasetPart, Facts, Picture, Table, Value
from bench.report.facts import spoken
from bench.report.shelf import Shelf
from bench.store import Store
from bench.text import one_line

MOST_CLASSES = 60
"""Classes of which all are in the table; of more, those with the fewest images."""
MOST_SAMPLES = 60
NAME = 60
"""Characters of the name of a class."""


def card_of(record: RunRecord, store: Store) -> tuple[Card | None, bool]:
    """Return the card of the dataset of a run, and whether one is there that cannot be read.

    The store is left with the warnings of what could not be read.
    """
    fingerprint = _fingerprint(record)
    card = cards.read(store.root, fingerprint) if fingerprint else None
    damaged = cards.unreadable(store.root, fingerprint, card)
    name = one_line(record.spec.dataset.name)
    store.warnings += [
        f"what is kept of dataset `{name}` is not shown: `{path}` cannot be read; restore it, or "
        "remove it and the next `bench run` on the dataset writes it anew"
        for path in damaged
    ]
    return card, card is None and bool(damaged)


def dataset_part(
    record: RunRecord,
    card: Card | None,
    shelf: Shelf,
    part_id: str = "d0",
    *,
    damaged: bool = False,
) -> DatasetPart:
    """Return what is told of the dataset of a run: by its card, else by the run's record.

    Args:
        record: of a run on it.
        card: of the dataset.
        shelf: takes its samples.
        part_id: of this part of the report.
        damaged: whether there is a card that cannot be read.
    """
    fingerprint = _fingerprint(record)
    name = one_line(record.spec.dataset.name)
    chosen = _chosen(record)
    if card is None:
        facts = (*_content(fingerprint, _known(record).get("variant")), *_told(record), *chosen)
        lacking = "There is no card of this dataset"
        renewed = "the next `bench run` on it writes one"
        if damaged:
            lacking = "The card of this dataset cannot be read"
            renewed += " once it is removed"
        why = f"{lacking}; `{_check(record)}` says what is wrong with it, and {renewed}."
        return DatasetPart(part_id, name, facts, warnings=(why,))
    samples = tuple(_samples(card, shelf))
    shape = " × ".join(map(str, card.image_shape))
    facts = (
        *_content(fingerprint, f"{shape} (height, width, channels)"),
        ("task", f"{one_line(card.task)}, {len(card.classes):,} classes"),
        *((f"{one_line(split)} as stored", f"{n:,} images") for split, n in card.items.items()),
        *chosen,
    )
    return DatasetPart(part_id, name, facts, _counts(card), samples, _warnings(card, record))


def _known(record: RunRecord) -> Mapping[str, Any]:
    """Return what the key of a run, which may be a foreign one, says of its dataset."""
    known = record.spec.key.get("dataset")
    return known if isinstance(known, Mapping) else {}


def _fingerprint(record: RunRecord) -> str:
    return str(_known(record).get("fingerprint") or "")


def _content(fingerprint: str, stored: Any) -> Facts:
    return ("content", fingerprint or "not known"), ("stored as", one_line(spoken(stored)))


def _told(record: RunRecord) -> Facts:
    """Return what a record says of the data: the task and the classes."""
    names = record.environment.get("classes")
    task = record.environment.get("task")
    facts = [("task", one_line(spoken(task)))] if task else []
    if isinstance(names, list) and names:
        shown = ", ".join(one_line(str(name), NAME) for name in names[:MOST_CLASSES])
        more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
        facts.append((f"{len(names)} classes", shown + more))
    return tuple(facts)


def _chosen(record: RunRecord) -> Facts:
    """Return how a run's train, val and test were chosen, and how large they are."""
    known = record.environment
    sizes = {"train": known.get("train_items")}
    sizes |= {split: record.metrics.get(split, {}).get("n") for split in ("val", "test")}
    facts = []
    for split, n in sizes.items():
        count = f"{n:,} images" if isinstance(n, int) else ""
        how = one_line(str(known.get(f"{split}_split") or ""))
        if count or how:
            facts.append((f"{split} of its runs", ", ".join(filter(None, (count, how)))))
    return tuple(facts)


def _counts(card: Card) -> Table:
    """Return the images of each class by split; of many classes those with the fewest."""
    splits = [*card.counts]
    totals = [sum(card.counts[split][place] for split in splits) for place in _places(card)]
    places, note = [*_places(card)], ""
    if len(places) > MOST_CLASSES:
        places = sorted(places, key=lambda place: (totals[place], place))[:MOST_CLASSES]
        note = f"The {MOST_CLASSES} of {len(totals):,} classes with the fewest images."
    columns = (
        Column("class", "class"),
        *(Column(f"n{number}", one_line(split), True) for number, split in enumerate(splits)),
        Column("all", "all", numeric=True),
    )
    rows = []
    for place in places:
        name = one_line(card.classes[place], NAME)
        numbers = [*(card.counts[split][place] for split in splits), totals[place]]
        cells = [Value(f"{number:,}", float(number)) for number in numbers]
        rows.append((Value(name, name.casefold()), *cells))
    return Table("images of each class, as stored", columns, tuple(rows), note)


def _places(card: Card) -> range:
    return range(len(card.classes))


def _samples(card: Card, shelf: Shelf) -> Iterator[Picture]:
    for pixels, label in zip(
        card.images[:MOST_SAMPLES], card.labels[:MOST_SAMPLES].tolist(), strict=True
    ):
        key = shelf.put(pixels)
        if key is not None:
            yield Picture(key, one_line(card.classes[label], NAME))


def _warnings(card: Card, record: RunRecord) -> tuple[str, ...]:
    """Return what the check found, in sentences; the answer first."""
    if card.findings is None:
        return (f"Not checked: {one_line(card.why_not) or 'nobody knows why'}.",)
    try:
        lines = [telling.answer(card.findings)]
        for name, count, examples in telling.rows(card.findings):
            warns = name.startswith("warning: ")
            text = name.removeprefix("warning: ") if warns else f"{name}: {count:,}"
            more = ["and more"] if not warns and count > len(examples) else []
            lines.append("; ".join([text, *examples, *more]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return (f"What its check found cannot be read; `{_check(record)}` says it again.",)
    return tuple(f"{line[:1].upper()}{line[1:]}." for line in lines)


def _check(record: RunRecord) -> str:
    return one_line(telling.command(record.spec))
