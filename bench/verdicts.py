"""What is said of an image by the probabilities that a network gives: in words, cells and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.errors import UsageError
from bench.specs import Task
from bench.text import csv_cell, did_you_mean, listing

Probabilities = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Verdict:
    """What is said of one image.

    Attributes:
        labels: the class; or the labels that count as present, which may be none.
        probability: of the class; None in a multi-label task.
        lineage: the path from the top of the tree to the class, for a hierarchical task.
        ranked: classes and their probabilities: what is said, and the likeliest others; in a
            multi-label task all of them, in their own order.
    """

    labels: tuple[str, ...]
    probability: float | None
    lineage: tuple[str, ...]
    ranked: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Judge:
    """Reads probabilities as a task asks for it.

    Attributes:
        task: what is to be said of an image.
        classes: their names, in the order of the probabilities.
        taxonomy: the path to each, for a hierarchical task; empty where it is not known.
        thresholds: the probability from which each label counts as present, (C,), in a
            multi-label task; of a binary one from which the second class is said; else empty.
        top: how many of the likeliest classes are told.
    """

    task: Task
    classes: tuple[str, ...]
    taxonomy: tuple[tuple[str, ...], ...] = ()
    thresholds: tuple[float, ...] = ()
    top: int = 1

    @property
    def said_from(self) -> dict[str, float]:
        """Return the probability from which a class is said, where it need not be the likeliest."""
        binary = self.task is Task.BINARY and bool(self.thresholds)
        named = dict(zip(self.classes, self.thresholds, strict=False))
        return {self.classes[1]: self.thresholds[1]} if binary else named

    def say(self, probabilities: Probabilities) -> Verdict:
        """Return what probabilities (C,) mean."""
        values = [float(value) for value in probabilities]
        if self.task is Task.MULTI_LABEL:
            present = [
                name
                for name, value, least in zip(self.classes, values, self.thresholds, strict=True)
                if value >= least
            ]
            return Verdict(tuple(present), None, (), tuple(zip(self.classes, values, strict=True)))
        chosen = int(np.argmax(probabilities))
        if self.thresholds:
            chosen = int(values[1] >= self.thresholds[1])
        others = [int(i) for i in np.argsort(-probabilities, kind="stable") if i != chosen]
        order = [chosen, *others][: self.top]
        return Verdict(
            labels=(self.classes[chosen],),
            probability=values[chosen],
            lineage=self.taxonomy[chosen] if self.taxonomy else (),
            ranked=tuple((self.classes[index], values[index]) for index in order),
        )

    def columns(self) -> list[str]:
        """Return the headings of a table of verdicts, as a spreadsheet may safely open them."""
        if self.task is Task.MULTI_LABEL:
            return ["path", "predicted", *map(csv_cell, self.classes)]
        names = ["path", "predicted", "probability"]
        names += ["lineage"] if self.task is Task.HIERARCHICAL else []
        for place in range(2, self.top + 1):
            names += [f"predicted_{place}", f"probability_{place}"]
        return names

    def cells(self, name: str, verdict: Verdict) -> list[str]:
        """Return the row of one image; text that a spreadsheet would run is neutralised."""
        said = csv_cell("|".join(verdict.labels))
        if verdict.probability is None:
            return [csv_cell(name), said, *(_number(value) for _, value in verdict.ranked)]
        row = [csv_cell(name), said, _number(verdict.probability)]
        row += [csv_cell(" > ".join(verdict.lineage))] if self.task is Task.HIERARCHICAL else []
        for label, value in verdict.ranked[1:]:
            row += [csv_cell(label), _number(value)]
        return row

    def plain(self, name: str, verdict: Verdict) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        if verdict.probability is None:
            probabilities = dict(verdict.ranked)
            return {"path": name, "labels": [*verdict.labels], "probabilities": probabilities}
        ranked = [{"class": label, "probability": value} for label, value in verdict.ranked]
        lineage = {"lineage": [*verdict.lineage]} if self.task is Task.HIERARCHICAL else {}
        found = {"predicted": verdict.labels[0], "probability": verdict.probability}
        return {"path": name, **found, **lineage, "top": ranked}

    def caption(self, verdict: Verdict) -> str:
        """Return what stands below a picture."""
        if verdict.probability is not None:
            return f"{verdict.labels[0]}\n{verdict.probability:.1%}"
        probabilities = dict(verdict.ranked)
        return "\n".join(f"{name} {probabilities[name]:.0%}" for name in verdict.labels) or "(none)"


def thresholds_of(
    words: Sequence[str], task: Task, classes: Sequence[str], usual: float | None
) -> tuple[float, ...]:
    """Return the probability from which each class counts, as `--threshold` asks for it.

    Args:
        words: numbers, and `LABEL=NUMBER` for single labels, joined by commas; later ones win.
        task: what is said of an image.
        classes: their names.
        usual: of a multi-label task, what its run has decided by.

    Returns:
        (C,); empty where the likeliest class is said.

    Raises:
        UsageError: a word cannot be understood, or the task has no thresholds.
    """
    if task not in (Task.MULTI_LABEL, Task.BINARY):
        if words:
            raise UsageError(
                f"`--threshold` is for multi-label and binary tasks; of {len(classes)} classes the "
                "likeliest is said, leave it out"
            )
        return ()
    if task is Task.BINARY and not words:
        return ()
    found = [0.5 if usual is None else usual] * len(classes)
    for word in words:
        for label, value in _settings(word, classes).items():
            if task is Task.BINARY and label == classes[0]:
                raise UsageError(
                    f"`--threshold {word}`: of two classes the second, `{classes[1]}`, counts as "
                    "positive; give its threshold"
                )
            for place, name in enumerate(classes):
                if label in (None, name):
                    found[place] = value
    return tuple(found)


def _settings(word: str, classes: Sequence[str]) -> Mapping[str | None, float]:
    """Return thresholds by label; under None that of all labels."""
    whole = word.rpartition("=")[0].strip()
    parts = [word] if whole in classes else word.split(",")  # a class name may hold a comma
    found: dict[str | None, float] = {}
    for part in parts:
        label, given, number = part.rpartition("=")
        label = label.strip()
        if given and label not in classes:
            raise UsageError(
                f"`--threshold {part}`: no label is called `{label}`{did_you_mean(label, classes)};"
                f" there are {listing(classes)}"
            )
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise UsageError(
                f"`--threshold {part}`: `{number.strip()}` is no probability; "
                "give a number from 0 to 1, or LABEL=NUMBER"
            )
        found[label if given else None] = value
    return found


def _number(value: float) -> str:
    return f"{value:.6g}"
