"""Which stored items a run trains, selects and reports on, and under which labels.

All choices are seeded, stratified, and the same for every run of one protocol. They are made from
labels alone: nothing here looks at an image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import ConfigError, DataError
from bench.specs import Task
from bench.stored import Indices, StoredDataset
from bench.text import did_you_mean, listing

Labels = npt.NDArray[Any]

TEST_PART = 0.2
"""What becomes test of a dataset that has no test split: the usual fifth."""


@dataclass(frozen=True)
class Subset:
    """Items of a stored dataset.

    Attributes:
        split: the stored split that holds them, or `all` for items of several.
        ids: (N,) int64, their places in it, ascending.
        labels: (N,) int64 or (N, C) uint8 of 0 and 1.
        origin: how they were chosen, for the record.
    """

    split: str
    ids: Indices
    labels: Labels
    origin: str

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.ids)

    def first(self, count: int) -> Subset:
        """Return at most `count` of them."""
        return dataclasses.replace(self, ids=self.ids[:count], labels=self.labels[:count])


@dataclass(frozen=True)
class Selection:
    """A dataset as one protocol sees it.

    Attributes:
        classes: in the order of the labels.
        taxonomy: the path to each class, for a hierarchical task; else empty.
    """

    task: Task
    classes: tuple[str, ...]
    taxonomy: tuple[tuple[str, ...], ...]
    train: Subset
    val: Subset
    test: Subset


def select(stored: StoredDataset, protocol: Mapping[str, Any], where: str) -> Selection:
    """Return what a run gets to see of a dataset.

    Args:
        stored: the dataset.
        protocol: every protocol field, resolved.
        where: the dataset and its plugin, for messages.

    Raises:
        ConfigError: the protocol asks for a task or for classes that the labels do not have.
        DataError: a split would be empty.
    """
    view = _View.of(stored, protocol, where)
    limit, seed = protocol["limit"], protocol["split_seed"]
    if protocol["fractions"]:
        splits = _pooled(view, stored, tuple(protocol["fractions"]), seed)
    else:
        splits = _official(view, stored, protocol)
    if limit:
        splits = {
            split: _limited(subset, limit, seed)
            if split != "val"
            or "val" in stored.counts
            # A val split that is a part of train is a part of what train is limited to.
            or protocol["fractions"]
            else subset
            for split, subset in splits.items()
        }
    for split, subset in splits.items():
        if not len(subset):
            counts = ", ".join(f"{name} {len(each)}" for name, each in splits.items())
            raise DataError(
                f"{where}: too few images for a {split} split ({counts}); a higher `--limit`, "
                "other `--fractions` or more images are needed"
            )
    return Selection(view.task, view.classes, view.taxonomy, **splits)


def take(labels: Labels, count: int, seed: int) -> Indices:
    """Return a seeded, stratified choice of `count` items, in their stored order.

    Each class gets its share, rounded by the largest remainder, so that shares add up; of equal
    remainders chance decides. Where an image may have several labels, each set of labels is a class
    of its own.
    """
    if count >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    generator = np.random.default_rng([seed, len(labels), count])
    strata = _strata(labels)
    classes, sizes = np.unique(strata, return_counts=True)
    exact = sizes * (count / len(labels))
    shares = np.floor(exact).astype(np.int64)
    missing = count - int(shares.sum())
    # Ties are common where classes are small or equal; their order must not favour the first.
    ranked = np.lexsort((generator.permutation(len(exact)), np.round(shares - exact, 9)))
    shares[ranked[:missing]] += 1
    chosen = [
        generator.permutation(np.flatnonzero(strata == label))[:share]
        for label, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def hold_out(labels: Labels, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split items, seeded and stratified; return what is left and what is held out."""
    if len(labels) < 2:
        return np.arange(len(labels), dtype=np.int64), np.empty(0, np.int64)
    count = min(max(1, round(len(labels) * fraction)), len(labels) - 1)
    inner = take(labels, count, seed)
    held = np.zeros(len(labels), bool)
    held[inner] = True
    return np.flatnonzero(~held), inner


@dataclass(frozen=True)
class _View:
    """The labels of a dataset, as the protocol wants them read."""

    task: Task
    classes: tuple[str, ...]
    taxonomy: tuple[tuple[str, ...], ...]
    stored: StoredDataset
    chosen: tuple[int, ...] | None
    where: str

    @classmethod
    def of(cls, stored: StoredDataset, protocol: Mapping[str, Any], where: str) -> _View:
        wanted = tuple(protocol["classes"] or ())
        chosen = _positions(wanted, stored.classes, where) if wanted else None
        kept = range(len(stored.classes)) if chosen is None else chosen
        classes = tuple(stored.classes[index] for index in kept)
        taxonomy = tuple(stored.taxonomy[index] for index in kept) if stored.taxonomy else ()
        task = stored.task
        if chosen is not None and task is Task.MULTI_CLASS and len(classes) == 2:
            task = Task.BINARY
        if protocol["task"] != "auto":
            task = _converted(task, Task(protocol["task"]), len(classes), bool(taxonomy), where)
        return cls(task, classes, taxonomy, stored, chosen, where)

    def subset(self, split: str, origin: str) -> Subset:
        """Return a stored split, or `all`, under this view's labels."""
        labels: Labels = self.stored.labels(split)
        ids = np.arange(len(labels), dtype=np.int64)
        if labels.ndim == 2:
            if self.chosen is not None:
                labels = np.ascontiguousarray(labels[:, list(self.chosen)])
                ids, labels = ids[labels.any(1)], labels[labels.any(1)]
            return Subset(split, ids, self._of_sets(labels), origin)
        if self.chosen is not None:
            places = np.full(len(self.stored.classes), -1, np.int64)
            places[list(self.chosen)] = np.arange(len(self.chosen))
            labels = places[labels]
            ids, labels = ids[labels >= 0], labels[labels >= 0]
        if self.task is Task.MULTI_LABEL:
            labels = np.eye(len(self.classes), dtype=np.uint8)[labels]
        return Subset(split, ids, labels, origin)

    def _of_sets(self, labels: Labels) -> Labels:
        """Return labels (N, C) as they are; (N,) for a task with one label an image."""
        if self.task is Task.MULTI_LABEL:
            return labels
        wrong = int((labels.sum(1) != 1).sum())
        if wrong:
            raise ConfigError(
                f"{self.where}: {wrong:,} of {len(labels):,} images have no label or several; the "
                f"task cannot be {self.task}, leave `--task` out"
            )
        return np.asarray(labels.argmax(1), np.int64)


def _official(view: _View, stored: StoredDataset, protocol: Mapping[str, Any]) -> dict[str, Subset]:
    """Return the dataset's own splits, with parts of train for those that it lacks."""
    seed = protocol["split_seed"]
    splits = {split: view.subset(split, "official") for split in stored.counts}
    train = splits["train"]
    if "test" not in splits:
        of = "train" if "val" in splits else "all"
        train, splits["test"] = _parted(stored, train, TEST_PART, seed, of)
    if "val" not in splits:
        if protocol["limit"]:
            train = _limited(train, protocol["limit"], seed)
        train, splits["val"] = _parted(stored, train, protocol["val"], seed, "train")
    return {"train": train, "val": splits["val"], "test": splits["test"]}


def _pooled(
    view: _View, stored: StoredDataset, fractions: tuple[float, ...], seed: int
) -> dict[str, Subset]:
    """Return all images, whatever split they came in, parted anew."""
    everything = view.subset("all" if len(stored.counts) > 1 else "train", "official")
    _, val_part, test_part = fractions
    rest, test = _parted(stored, everything, test_part, seed, "all")
    train, val = _parted(stored, rest, val_part / (1 - test_part), seed, "all")
    val = dataclasses.replace(val, origin=f"{val_part:g} of all, stratified, seed {seed}")
    return {"train": train, "val": val, "test": test}


def _parted(
    stored: StoredDataset, subset: Subset, fraction: float, seed: int, of: str
) -> tuple[Subset, Subset]:
    """Part a subset; copies of one image stay together, as one trained on would be known."""
    _, chosen = hold_out(subset.labels, fraction, seed)
    is_held = np.zeros(len(subset), bool)
    is_held[chosen] = True
    originals = stored.originals(subset.split)[subset.ids]
    # The first of each group that the subset holds speaks for the others.
    _, first, groups = np.unique(originals, return_index=True, return_inverse=True)
    is_held = is_held[first[groups]]
    left, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)
    origin = f"{fraction:g} of {of}, stratified, seed {seed}"
    rest = "what is left of train" if of == "train" else "what is left of all"
    return (
        Subset(subset.split, subset.ids[left], subset.labels[left], rest),
        Subset(subset.split, subset.ids[held], subset.labels[held], origin),
    )


def _limited(subset: Subset, limit: int, seed: int) -> Subset:
    kept = take(subset.labels, limit, seed)
    return dataclasses.replace(subset, ids=subset.ids[kept], labels=subset.labels[kept])


def _strata(labels: Labels) -> npt.NDArray[np.int64]:
    if labels.ndim == 1:
        return labels.astype(np.int64)
    return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)


def _positions(wanted: tuple[str, ...], classes: tuple[str, ...], where: str) -> tuple[int, ...]:
    for name in wanted:
        if name not in classes:
            raise ConfigError(
                f"{where} has no class `{name}`{did_you_mean(name, classes)}; it has "
                f"{listing(classes)}"
            )
    if len(set(wanted)) < 2:
        raise ConfigError(f"`--classes {','.join(wanted)}`: two or more classes are needed")
    # In the dataset's own order, so that the order of the words makes no other task.
    return tuple(index for index, name in enumerate(classes) if name in wanted)


def _converted(task: Task, wanted: Task, classes: int, has_tree: bool, where: str) -> Task:
    """Return the wanted task if labels of a task can be read so."""
    if wanted is Task.HIERARCHICAL and not has_tree:
        raise ConfigError(f"{where} has no tree of classes; the task cannot be hierarchical")
    if wanted is Task.BINARY and classes != 2:
        raise ConfigError(
            f"{where} has {classes} classes; the task cannot be binary unless `--classes A,B` "
            "names two"
        )
    return wanted
