"""Makes the card of a stored dataset: counts, a few samples, and what its check finds.

Counts and samples take a moment. The check reads every image once more from where the dataset came
from, so it is a job of its own, and one of sets that are small enough.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import cards, datastore, inspection, intake, thumbnails
from bench.cards import Card
from bench.errors import BenchError
from bench.inspection import telling
from bench.records import RunSpec
from bench.registry import Offer
from bench.specs import Dataset
from bench.stored import StoredDataset, open_stored

CHECKED_IMAGES = 20_000
"""Larger sets are not checked unasked."""
CHECKED_SECONDS = 60.0
"""And neither are those whose images take longer to read."""
SAMPLES = 60
SAMPLES_EACH = 4


class _TooLong(Exception):
    """A check takes longer than it may."""


def describe(spec: RunSpec, offer: Offer, results: Path, *, samples: bool) -> Card:
    """Write the card of a run's dataset, its check still to come, and return it.

    Args:
        spec: the run, its dataset stored.
        offer: the dataset's component.
        results: the results folder.
        samples: whether some images are kept in it.

    Raises:
        StoreError: it cannot be written.
        DataError: an image cannot be read.
    """
    listed = Path(spec.files) if spec.files else None
    stored = open_stored(spec.fingerprint, spec.variant, listed)
    labels = {split: stored.labels(split) for split in stored.counts}
    classes = len(stored.classes)
    total = sum(stored.counts.values())
    too_many = f"{total:,} images are more than {CHECKED_IMAGES:,}"
    card = Card(
        fingerprint=spec.fingerprint,
        name=spec.dataset.name,
        task=str(stored.task),
        classes=stored.classes,
        counts={split: _counts(values, classes) for split, values in labels.items()},
        items=dict(stored.counts),
        image_shape=stored.image_shape,
        ids=np.zeros(0, np.int64),
        labels=np.zeros(0, np.int64),
        images=np.zeros((0, 0, 0, stored.image_shape[2]), np.uint8),
        why_not=cards.PENDING if total <= CHECKED_IMAGES else why_not(spec, too_many),
    )
    if samples:
        card = _with_samples(card, stored, labels["train"])
    cards.write(results, card)
    return card


def check(spec: RunSpec, offer: Offer, results: Path) -> None:
    """Check a run's dataset, and write on its card what was found, or why nothing was.

    Raises:
        StoreError: the card cannot be written.
    """
    card = cards.read(results, spec.fingerprint)
    if card is None or card.why_not != cards.PENDING:
        return
    try:
        found = _found(spec, offer).to_dict()
        card = dataclasses.replace(card, findings=found, why_not="")
    except _TooLong:
        reason = f"reading its images takes longer than {CHECKED_SECONDS:.0f} s"
        card = dataclasses.replace(card, why_not=why_not(spec, reason))
    except BenchError as error:
        card = dataclasses.replace(card, why_not=why_not(spec, str(error)))
    cards.note(results, card)


def why_not(spec: RunSpec, reason: str) -> str:
    """Return why a run's dataset was not checked, and the command that does it."""
    return f"{reason}; `{telling.command(spec)}` checks it"


def _counts(labels: npt.NDArray[np.integer], classes: int) -> tuple[int, ...]:
    counts = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return tuple(int(count) for count in counts)


def _with_samples(card: Card, stored: StoredDataset, labels: npt.NDArray[np.integer]) -> Card:
    """Return a card with a few training images of each class: the first, in their stored order.

    That is the order of a hash of what they show, so they are as good as drawn by lot. Copies are
    left out.
    """
    count = len(card.classes)
    # Of more classes than there is room for, some, evenly spaced.
    shown = range(count)[:: -(-count // SAMPLES)]
    each = min(SAMPLES_EACH, SAMPLES // len(shown))
    originals = stored.originals("train")
    single = originals == np.arange(len(originals))
    taken: dict[int, int] = {}
    for label in shown:
        having = np.flatnonzero(
            single & (labels[:, label] > 0 if labels.ndim == 2 else labels == label)
        )
        fresh = [place for place in having[: each + len(taken)].tolist() if place not in taken]
        taken.update(dict.fromkeys(fresh[:each], label))
    ids = np.array(list(taken), np.int64)
    if not len(ids):
        return card
    images = thumbnails.shrunk(np.ascontiguousarray(stored.images("train")[ids]))
    return dataclasses.replace(
        card, ids=ids, labels=np.array(list(taken.values()), np.int64), images=images
    )


def _found(spec: RunSpec, offer: Offer) -> inspection.Inspection:
    request = datastore.request_of(spec)
    assert isinstance(offer.component, Dataset)
    begin = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if time.perf_counter() - begin > CHECKED_SECONDS:
            raise _TooLong

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a dataset says of itself was told when it was stored
        splits, where = datastore.load(offer, spec.dataset, request.data_dir)
        splits, _, _ = intake.leave_out(splits, datastore.excluded(request), where)
        return inspection.inspect(splits, progress=progress)
