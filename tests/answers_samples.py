"""Stored predictions to compute something from: drawn at random, and written as a run has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from samples import make_record, make_spec

from bench import Answers, RunRecord, Task
from bench.store import Store

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")
TREE = (("insect", "ant"), ("insect", "bee"), ("mammal", "pet", "cat"), ("mammal", "pet", "dog"))


def single(
    count: int = 60,
    classes: int = 4,
    seed: int = 0,
    *,
    kept: int | None = None,
    task: Task = Task.MULTI_CLASS,
    names: Sequence[str] = NAMES,
    coarse: bool = False,
) -> Answers:
    """Return random answers with one label an item.

    Args:
        count: items.
        classes: how many there are.
        seed: of the draw.
        kept: how many of the classes occur in truth.
        task: one with a single label.
        names: of the classes.
        coarse: whether many probabilities tie.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, kept or classes, count)
    logits = generator.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    if coarse:
        logits = np.round(logits)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Answers(
        task,
        tuple(names[:classes]),
        np.arange(count),
        labels,
        shares.argmax(1).astype(np.int32),
        shares.astype(np.float16),
        TREE[:classes] if task is Task.HIERARCHICAL else (),
    )


def sets(count: int = 60, classes: int = 4, seed: int = 0, share: float = 0.3) -> Answers:
    """Return random answers with any number of labels an item."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, classes)) < share).astype(np.uint8)
    shares = (0.4 * labels + 0.6 * generator.random((count, classes))).astype(np.float32)
    said = (shares >= 0.5).astype(np.uint8)
    return Answers(Task.MULTI_LABEL, NAMES[:classes], np.arange(count), labels, said, shares)


def store_run(
    store: Store,
    answers: Answers,
    val: Answers | None = None,
    environment: Mapping[str, Any] | None = None,
    **fields: Any,
) -> RunRecord:
    """Write a record and its predictions, and return it."""
    metric = "mean_average_precision" if answers.task is Task.MULTI_LABEL else "accuracy"
    known = {
        "task": str(answers.task),
        "classes": [*answers.classes],
        "taxonomy": [[*path] for path in answers.taxonomy],
    }
    score = float(answers.right.mean())
    record = make_record(
        make_spec(**fields), score, len(answers.ids), environment={**known, **(environment or {})}
    )
    for name, split in record.metrics.items():
        split[metric] = score  # type: ignore[index]
        split["n"] = len((val if name == "val" and val else answers).ids)  # type: ignore[index]
    arrays = {}
    for name, each in (("test", answers), ("val", val or answers)):
        arrays |= {
            f"{name}_ids": each.ids,
            f"{name}_labels": each.labels,
            f"{name}_predicted": each.predicted,
        }
        if each.probabilities is not None:
            arrays[f"{name}_probabilities"] = each.probabilities
    folder = store.folder(record.id)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "predictions.npz", allow_pickle=False, **arrays)
    store.write(record)
    return record
