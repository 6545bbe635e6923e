"""What every dataset keeps to."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import downloads, intake, selection, storing
from bench.conformance import elsewhere
from bench.conformance.rules import DATA_DIR, Broken, Skipped, after_name, name_of, rule
from bench.errors import BenchError
from bench.geometry import Request
from bench.protocol import Protocol
from bench.registry import Offer
from bench.resolving import known_fields
from bench.specs import Dataset, DatasetHints, Files, Splits, Task
from bench.stored import StoredDataset, open_stored
from bench.text import listing

MOST_LEAKS = 0.1
"""Part of the test images that may be among those to learn from. Published sets have a few; more
means that one split was given out twice."""

CONTRACT = (
    "return bench.Splits, each split a pair of uint8 images (N, H, W) or (N, H, W, C) and integer "
    "labels from 0 on, or bench.Files, or a sequence of (image, label)"
)


@dataclass(frozen=True)
class Loaded:
    """A dataset as the core takes it in.

    Attributes:
        splits: what `load` returned.
        stored: where its content lies; gone with the folder that it was stored in.
        note: what the store notes of it.
    """

    splits: Splits
    stored: StoredDataset
    note: dict[str, Any]


@rule("dataset")
def is_a_sound_dataset(offer: Offer) -> None:
    """What `load` returns has the form, the shapes, dtypes and labels that the core asks for."""
    try:
        stored = loaded(offer).stored
        protocol = Protocol(**_fields(offer)).model_dump()
        # Val and test are made of a part of train where there are none.
        selection.select(stored, protocol, name_of(offer))
    except BenchError as error:
        raise Broken(after_name(error, offer), CONTRACT) from error


@rule("dataset")
def shows_every_class_in_training(offer: Offer) -> None:
    """Of every class there is an image to learn from."""
    stored = loaded(offer).stored
    classes, labels = stored.classes, stored.labels("train")
    if labels.ndim == 2:
        counts = labels.astype(np.int64).sum(0)
    else:
        counts = np.bincount(labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if missing:
        raise Broken(
            f"{len(missing)} of {len(classes)} classes have no image in train: {listing(missing)}",
            "leave out classes that nobody can learn, or give them images in train",
        )


@rule("dataset")
def keeps_its_splits_apart(offer: Offer) -> None:
    """What is tested on is not what is learned from."""
    stored = loaded(offer).stored
    counts = stored.counts
    # For each image of all splits, train coming first, the place of the first one like it.
    firsts = stored.originals("all")
    start = 0
    for split, count in counts.items():
        shared = int((firsts[start : start + count] < counts["train"]).sum())
        start += count
        if split != "train" and shared > MOST_LEAKS * count:
            raise Broken(
                f"{shared} of {count} images of {split} are in train as well",
                f"return other images as {split}, or None: a part of train then takes its place",
            )


@rule("dataset")
def loads_the_same_twice(offer: Offer) -> None:
    """Loaded again, it has the same content, whatever the random generators stand at."""
    first = loaded(offer).stored.fingerprint
    random.seed(1)
    np.random.seed(1)
    second = fingerprint(offer)
    if first != second:
        raise Broken(
            f"its fingerprint is {first[:12]} at first and {second[:12]} when it is loaded again",
            "draw from a generator with a seed of its own, `numpy.random.default_rng(0)`",
        )


@rule("dataset")
def loads_the_same_content_elsewhere(offer: Offer) -> None:
    """In a fresh process, another hash seed and working folder, it has the same fingerprint."""
    here = loaded(offer).stored.fingerprint
    there = elsewhere.ask(fingerprint, offer)
    if here != there:
        raise Broken(
            f"its fingerprint is {here[:12]} here, and {there[:12]} in a fresh process with "
            "another hash seed and working folder",
            "sort what comes from a set, a dictionary of hashes or a folder; use absolute paths",
        )


@rule("dataset")
def locates_what_it_reads(offer: Offer) -> None:
    """`locate` names the files that are read, so that a change of theirs is noticed."""
    splits = loaded(offer).splits
    locate = component(offer).locate
    parts = (splits.train, splits.val, splits.test)
    read = [Path(path) for part in parts if isinstance(part, Files) for path in part.paths]
    if locate is None:
        package = Path(sys.modules[offer.plugin.module.partition(":")[0]].__file__ or "").parent
        outside = [path for path in read if package not in path.absolute().parents]
        if outside:
            raise Broken(
                f"it reads {len(outside)} file(s), `{outside[0]}` among them, and has no `locate`",
                "give it `locate(data_dir, *, ...)`, which returns the files that `load` reads",
            )
        return
    located = [Path(path) for path in locate(DATA_DIR.get())]
    if not located:
        raise Broken("`locate` names no file, although `load` works", "name what `load` reads")
    missing = [path for path in located if not path.exists()]
    if missing:
        raise Broken(
            f"`locate` names {len(missing)} file(s) that are not there, `{missing[0]}` among them",
            "return an empty list where the files are not at hand",
        )
    again = [Path(path) for path in locate(DATA_DIR.get())]
    if again != located:
        raise Broken("`locate` names other files, or in another order, when asked again", "sort")


@rule("dataset")
def hints_at_what_it_has(offer: Offer) -> None:
    """Its hints, where it gives any, are what is loaded."""
    given = component(offer).hints_at(DATA_DIR.get(), {})
    if given is None:
        return
    if not isinstance(given, DatasetHints):
        raise Broken(
            f"its hints are {type(given).__name__}, not bench.DatasetHints",
            "return bench.DatasetHints, or None where nothing is known",
        )
    found = loaded(offer)
    stored = found.stored
    height, width, channels = stored.image_shape
    real: dict[str, Any] = {split: stored.counts.get(split, 0) for split in intake.SPLITS}
    real |= {"channels": channels, "task": stored.task}
    # One number stands for the height and the width of images of one size.
    if found.note["uniform"] and not min(height, width) <= given.image_size <= max(height, width):
        real["image_size"] = max(height, width)
    if {given.task, stored.task} == {Task.BINARY, Task.MULTI_CLASS}:
        del real["task"]  # the estimates take one for the other
    wrong = {n: (getattr(given, n), is_) for n, is_ in real.items() if getattr(given, n) != is_}
    if wrong:
        said = "; ".join(
            f"`{name}` is {hint}, and {is_} loaded" for name, (hint, is_) in wrong.items()
        )
        raise Broken(f"its hints differ from what is loaded: {said}", "correct the hints")


def _fields(offer: Offer) -> dict[str, Any]:
    """Return the protocol fields that it names; another rule says where there is no such field."""
    try:
        return known_fields(offer, {**component(offer).recommends, **offer.component.pins}, "names")
    except BenchError:
        return {}


def component(offer: Offer) -> Dataset:
    """Return the dataset that is offered."""
    assert isinstance(offer.component, Dataset)
    return offer.component


_loaded: dict[int, tuple[Offer, Loaded]] = {}


def loaded(offer: Offer) -> Loaded:
    """Return a dataset as it was when it was loaded first.

    Its content stays in a temporary folder, which goes with the process that checks it.
    """
    if id(offer) not in _loaded:
        _loaded[id(offer)] = offer, _load(offer, tempfile.mkdtemp(prefix="bench-content-"))
    return _loaded[id(offer)][1]


def fingerprint(offer: Offer) -> str:
    """Load a dataset and return the hash of its content."""
    with tempfile.TemporaryDirectory(prefix="bench-content-") as folder:
        return _load(offer, folder).stored.fingerprint


def _load(offer: Offer, folder: str) -> Loaded:
    """Load a dataset, check it as the core does, and store it in a folder.

    Raises:
        Skipped: its files are not at hand.
        BenchError: it is no sound dataset.
    """
    dataset = component(offer)
    if dataset.is_source and not dataset.defaults.get("path"):
        raise Skipped("it is a source; `--set path=PATH` says what it is to load")
    splits = _splits(offer)
    with _cache(folder):
        written = storing.write(intake.receive(splits, name_of(offer)), Request(), intake.unwatched)
        stored = open_stored(written.fingerprint, written.variant)
    return Loaded(splits, stored, dict(written.note))


def _splits(offer: Offer) -> Any:
    try:
        return component(offer).load(DATA_DIR.get())
    except BenchError as error:
        locate = component(offer).locate
        at_hand = locate is None or bool(locate(DATA_DIR.get()))
        if downloads.OFFLINE in str(error) or not at_hand:
            raise Skipped(
                f"its files are not at hand; `bench data info {offer.name}` fetches them"
            ) from error
        raise


@contextlib.contextmanager
def _cache(folder: str) -> Iterator[None]:
    """Have the store be in a folder."""
    before = os.environ.get("BENCH_CACHE")
    os.environ["BENCH_CACHE"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["BENCH_CACHE"]
        else:
            os.environ["BENCH_CACHE"] = before
