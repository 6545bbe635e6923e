"""Precision, recall and F1: of the second of two classes, and averaged over classes or labels.

Averages are scikit-learn's: macro over the classes that occur or are said (of a multi-label task
all labels), weighted by the items of each, micro over all decisions together; 0 where there is
nothing to divide by.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import bench
from bench_metrics import references

_WORDS = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
_AVERAGES = {
    "macro": "the mean over classes or labels",
    "micro": "all decisions counted together",
    "weighted": "the mean over classes or labels by their items",
}


def _averaged(place: int, average: str) -> Callable[[bench.Answers], float]:
    """Return a function that computes one of the three under an average."""

    def compute(answers: bench.Answers) -> float:
        from sklearn.metrics import precision_recall_fscore_support

        arrays, how = (answers.labels, answers.predicted), average
        if answers.labels.ndim == 2 and answers.labels.shape[1] == 1:
            # scikit-learn would take present and absent for two classes.
            arrays, how = (answers.labels[:, 0], answers.predicted[:, 0]), "binary"
        found = precision_recall_fscore_support(*arrays, average=how, zero_division=0)
        return float(found[place])

    return compute


def _reference(which: str, average: str) -> Callable[[bench.Answers], float]:
    return functools.partial(references.counted, which=which, average=average)


METRICS = [
    *(
        bench.Metric(
            name=name,
            compute=_averaged(place, "binary"),
            tasks=(bench.Task.BINARY,),
            reference=_reference(name, "binary"),
            description=f"{word} of the second class, which counts as positive.",
        )
        for place, (name, word) in enumerate(_WORDS.items())
    ),
    *(
        bench.Metric(
            name=f"{name}_{average}",
            compute=_averaged(place, average),
            description=f"{word}, {meaning}.",
            reference=_reference(name, average),
        )
        for place, (name, word) in enumerate(_WORDS.items())
        for average, meaning in _AVERAGES.items()
    ),
]
