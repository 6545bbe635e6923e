"""What a results folder keeps of the datasets of its runs, so that reports need not have them.

<results>/datasets/<fingerprint>.json    counts, shapes, what the check has found
<results>/datasets/<fingerprint>.npz     a few samples
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import arrays, files, thumbnails
from bench.specs import Task

SCHEMA = 1
ROOM = 300_000
"""Bytes that the samples may take."""
PENDING = "it was not checked yet"
"""Why a dataset has no findings whose check is still to come."""

_MOST_BYTES = 64 * 2**20
_FINGERPRINT = re.compile(r"[0-9a-f]{8,128}")


@dataclass(frozen=True)
class Card:
    """What is kept of a dataset.

    Attributes:
        fingerprint: of its content.
        name: of the dataset when the card was written.
        task: what its labels ask for.
        classes: names in the order of their labels.
        counts: by split, the images of each class; of several labels each counts.
        items: by split, how many images.
        image_shape: (H, W, C) as stored.
        ids: (P,) of the samples, places in `train`.
        labels: (P,) the class that each sample shows; ascending.
        images: (P, h, w, C) uint8, at most 96 pixels high and wide; (0, 0, 0, C) without samples.
        findings: what `bench data check` prints as JSON; None where it was not checked.
        why_not: why it was not checked.
    """

    fingerprint: str
    name: str
    task: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    items: Mapping[str, int]
    image_shape: tuple[int, int, int]
    ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]
    findings: Mapping[str, Any] | None = None
    why_not: str = ""


def paths(results: Path, fingerprint: str) -> tuple[Path, Path]:
    """Return where a dataset's card is, and its samples.

    Raises:
        ValueError: it is no fingerprint, but might be a path to somewhere else.
    """
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError("it is no fingerprint")
    folder = results / "datasets"
    return folder / f"{fingerprint}.json", folder / f"{fingerprint}.npz"


def fingerprints(results: Path) -> list[str]:
    """Return the fingerprints of the datasets that a results folder has cards of, readable or not.

    Raises:
        OSError: the folder cannot be read.
    """
    folder = results / "datasets"
    found = folder.glob("*.json") if folder.is_dir() else iter(())
    return sorted(path.stem for path in found if _FINGERPRINT.fullmatch(path.stem))


def read(results: Path, fingerprint: str) -> Card | None:
    """Return the card of a dataset; None where there is none that can be read."""
    try:
        path, samples = paths(results, fingerprint)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            return None
        card = _card(json.loads(content))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if card.fingerprint != fingerprint:
        return None
    try:
        stored, about = arrays.read(samples, _MOST_BYTES)
        images = thumbnails.unpack(stored, about)
        ids, labels = (_places(stored[name], len(images)) for name in ("ids", "labels"))
    except (ValueError, KeyError):
        return card
    known = len(labels) == 0 or int(labels.max()) < len(card.classes)
    return replace(card, ids=ids, labels=labels, images=images) if known else card


def unreadable(results: Path, fingerprint: str, card: Card | None) -> list[Path]:
    """Return the files of a dataset that are there and cannot be read.

    Args:
        results: the folder.
        fingerprint: of the dataset.
        card: what `read` has returned.
    """
    try:
        path, samples = paths(results, fingerprint)
    except ValueError:
        return []
    if card is None:
        return [path] if path.exists() else []
    return [samples] if not len(card.images) and samples.exists() else []


def write(results: Path, card: Card) -> None:
    """Write the card of a dataset, its samples first if it has any.

    Raises:
        StoreError: it cannot be written.
    """
    _, samples = paths(results, card.fingerprint)
    if len(card.images):
        _, stored, about = thumbnails.pack(card.images, ROOM)
        content = {**stored, "ids": card.ids, "labels": card.labels}
        files.write_bytes(samples, arrays.packed(content, {"schema": SCHEMA, **about}))
    note(results, card)


def note(results: Path, card: Card) -> None:
    """Write the card of a dataset anew, and leave its samples as they are.

    Raises:
        StoreError: it cannot be written.
    """
    path, _ = paths(results, card.fingerprint)
    plain = {
        "schema": SCHEMA,
        "fingerprint": card.fingerprint,
        "name": card.name,
        "task": card.task,
        "classes": list(card.classes),
        "counts": {split: list(counts) for split, counts in card.counts.items()},
        "items": dict(card.items),
        "image_shape": list(card.image_shape),
        "findings": None if card.findings is None else dict(card.findings),
        "why_not": card.why_not,
    }
    files.write_json(path, plain)


def _card(plain: Any) -> Card:
    """Return what a file says, without samples.

    Raises:
        ValueError, KeyError, TypeError or AttributeError: it is no card.
    """
    if plain["schema"] != SCHEMA:
        raise ValueError("it is of another version")
    classes = tuple(_texts(plain["classes"]))
    counts = {
        _text(split): tuple(_whole(each) for each in values)
        for split, values in plain["counts"].items()
    }
    items = {_text(split): _whole(number) for split, number in plain["items"].items()}
    height, width, channels = (_whole(edge) for edge in plain["image_shape"])
    findings = plain["findings"]
    unlike = any(len(values) != len(classes) for values in counts.values())
    if unlike or {*counts} != {*items} or not (findings is None or isinstance(findings, dict)):
        raise ValueError("its parts do not go together")
    return Card(
        fingerprint=_text(plain["fingerprint"]),
        name=_text(plain["name"]),
        task=str(Task(plain["task"])),
        classes=classes,
        counts=counts,
        items=items,
        image_shape=(height, width, channels),
        ids=np.zeros(0, np.int64),
        labels=np.zeros(0, np.int64),
        images=np.zeros((0, 0, 0, channels), np.uint8),
        findings=findings,
        why_not=_text(plain["why_not"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it is no text")
    return value


def _texts(values: Any) -> Iterator[str]:
    if not isinstance(values, list):
        raise TypeError("they are no list")
    return map(_text, values)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise TypeError("it is no count")
    return value


def _places(values: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    if values.shape != (count,) or values.dtype != np.int64 or (values < 0).any():
        raise ValueError("they are no places")
    return values
