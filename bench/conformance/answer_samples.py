"""Stored predictions made up for checking metrics: usual ones, and all that a split may lack."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from bench.specs import Answers, Task

_NAMES = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen")
_TREE = (
    ("insect", "ant"),
    ("insect", "bee"),
    ("mammal", "pet", "cat"),
    ("mammal", "pet", "dog"),
    ("mammal", "elk"),
)
_CLASSES = {Task.BINARY: 2, Task.MULTI_CLASS: 8, Task.MULTI_LABEL: 4, Task.HIERARCHICAL: 5}
ITEMS = 60


def drawn(
    task: Task,
    seed: int = 0,
    *,
    items: int = ITEMS,
    classes: int | None = None,
    occurring: int | None = None,
    share: float = 0.3,
) -> Answers:
    """Return answers that are right more often than by chance, as a run stores them.

    Args:
        task: what is said of an image.
        seed: of the draw.
        items: how many.
        classes: how many there are; the task's usual number where None.
        occurring: how many of them any item has, of a task with one label an item.
        share: of the items that have a label, where an item may have several.
    """
    generator = np.random.default_rng(seed)
    count = classes or _CLASSES[task]
    names, ids = _NAMES[:count], np.arange(items)
    if task is Task.MULTI_LABEL:
        present = (generator.random((items, count)) < share).astype(np.uint8)
        exact = 0.4 * present + 0.6 * generator.random((items, count))
        said = (exact >= 0.5).astype(np.uint8)
        return Answers(task, names, ids, present, said, exact.astype(np.float32))
    labels = generator.integers(0, occurring or count, items)
    logits = generator.normal(size=(items, count)) + 1.5 * np.eye(count)[labels]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted = shares.argmax(1).astype(np.int32)
    tree = _TREE[:count] if task is Task.HIERARCHICAL else ()
    return Answers(task, names, ids, labels, predicted, shares.astype(np.float16), tree)


def right(answers: Answers) -> Answers:
    """Return what a network would have said that is right, and certain of it."""
    return _said(answers, answers.labels)


def wrong(answers: Answers) -> Answers:
    """Return what a network would have said that is wrong in all, and certain of it."""
    if answers.task is Task.MULTI_LABEL:
        return _said(answers, 1 - answers.labels)
    return _said(answers, (answers.labels + 1) % len(answers.names))


def _said(answers: Answers, said: np.ndarray) -> Answers:
    assert answers.probabilities is not None
    several = answers.task is Task.MULTI_LABEL
    shares = said if several else np.eye(len(answers.names))[said]
    return dataclasses.replace(
        answers,
        predicted=said.astype(answers.predicted.dtype),
        probabilities=shares.astype(answers.probabilities.dtype),
    )


def taken(answers: Answers, rows: np.ndarray) -> Answers:
    """Return the items at some places, in the order of these."""
    shares = answers.probabilities
    return dataclasses.replace(
        answers,
        ids=answers.ids[rows],
        labels=answers.labels[rows],
        predicted=answers.predicted[rows],
        probabilities=None if shares is None else shares[rows],
    )


def usual(task: Task) -> Iterator[tuple[str, Answers]]:
    """Yield answers that say enough for any metric, with what to call them."""
    name = f"{ITEMS} items of a {task} task"
    for seed in range(2):
        yield name, drawn(task, seed)
    yield f"{name}, all right", right(drawn(task))
    yield f"{name}, all wrong", wrong(drawn(task))


def odd(task: Task) -> Iterator[tuple[str, Answers]]:
    """Yield answers to splits that lack something, with what to call them."""
    whole, where = drawn(task), f"of a {task} task"
    assert whole.probabilities is not None
    yield f"a single item {where}", drawn(task, items=1)
    yield f"a resample of items {where}, some of which come twice", taken(whole, whole.ids // 2)
    same = np.full_like(whole.probabilities, 0.5 if task is Task.MULTI_LABEL else 1 / 8)
    level = dataclasses.replace(whole, probabilities=same)
    yield f"items {where} whose probabilities are all equal", level
    if task is Task.MULTI_LABEL:
        yield f"items {where} without any label", drawn(task, share=0)
        yield f"items {where} with every label", drawn(task, share=1)
        yield f"items {where} with a single label", drawn(task, classes=1)
        nothing = np.zeros_like(whole.predicted)
        yield f"items {where} of which nothing is said", _said(whole, nothing)
        return
    yield f"items {where} all of one class", drawn(task, occurring=1)
    last = _CLASSES[task] - 1
    if last > 1:
        yield f"items {where}, none of them of the last class", drawn(task, occurring=last)
    constant = np.zeros_like(whole.predicted)
    yield f"items {where} that are all taken for the first class", _said(whole, constant)


def lacking(task: Task) -> Iterator[tuple[str, Answers]]:
    """Yield answers of runs that did not store everything, with what to call them."""
    whole, where = drawn(task), f"of a {task} task"
    bare = dataclasses.replace(whole, probabilities=None)
    yield f"items {where} without stored probabilities", bare
    yield f"items {where} without names of classes", dataclasses.replace(whole, classes=())
    if whole.taxonomy:
        flat = dataclasses.replace(whole, taxonomy=())
        yield f"items {where} without the tree of classes", flat
