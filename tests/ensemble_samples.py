"""Finished runs with predictions on val and test, made of plain numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from samples import make_record, make_spec

from bench import metrics
from bench.records import RunRecord
from bench.specs import Task
from bench.store import Store

CLASSES = ("ant", "bee", "cat")


def answers(
    labels: npt.NDArray[Any], skill: float, seed: int, classes: int = len(CLASSES)
) -> npt.NDArray[np.float16]:
    """Return probabilities (N, C) that favour the truth the more, the more skill."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    exact = np.exp(logits - logits.max(1, keepdims=True))
    return (exact / exact.sum(1, keepdims=True)).astype(np.float16)


def write_run(
    store: Store,
    model: str = "net",
    seed: int = 0,
    skill: float = 1.0,
    *,
    n: int = 60,
    ids: Sequence[int] | None = None,
    stored: dict[str, Any] | None = None,
    **spec: Any,
) -> RunRecord:
    """Write a run of a three-class task and return its record.

    Args:
        ids: of the test items.
        stored: arrays in place of those that would be written.
    """
    record = make_record(make_spec(model, seed=seed, **spec))
    arrays: dict[str, Any] = {}
    measured = {}
    for place, split in enumerate(("val", "test")):
        labels = np.arange(n) % len(CLASSES)
        said = answers(labels, skill, hash_of(model, seed, place))
        predicted = said.astype(np.float64).argmax(1)
        arrays |= {
            f"{split}_ids": np.arange(n) + 1000 * place,
            f"{split}_labels": labels,
            f"{split}_predicted": predicted.astype(np.int32),
            f"{split}_probabilities": said,
        }
        measured[split] = metrics.compute(Task.MULTI_CLASS, labels, predicted, said, CLASSES)
    if ids is not None:
        arrays["test_ids"] = np.asarray(ids)
    record = dataclasses.replace(
        record,
        metrics=measured,
        timing={"train_seconds": 2.0, "wall_seconds": 3.0},
        environment={"task": "multi-class", "classes": list(CLASSES)},
    )
    store.write(record)
    np.savez(store.folder(record.id) / "predictions.npz", **{**arrays, **(stored or {})})
    return record


def hash_of(model: str, seed: int, place: int) -> int:
    """Return a seed that does not change between processes."""
    return sum(map(ord, model)) * 100 + seed * 10 + place


def read(store: Store, record: RunRecord) -> dict[str, npt.NDArray[Any]]:
    """Return the stored arrays of a run."""
    with np.load(store.folder(record.id) / "predictions.npz") as stored:
        return dict(stored)


def permute_test_labels(store: Store, record: RunRecord) -> None:
    """Give the test items of a run labels that have nothing to do with its answers."""
    arrays = read(store, record)
    arrays["test_labels"] = np.random.default_rng(5).permutation(arrays["test_labels"])
    np.savez(store.folder(record.id) / "predictions.npz", **arrays)
