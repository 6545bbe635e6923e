"""What predictions may lack, said in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import bench


def shares(answers: bench.Answers) -> npt.NDArray[np.float64]:
    """Return the stored probabilities, (N, C) float64.

    Raises:
        bench.DataError: there are none.
    """
    if answers.probabilities is None:
        raise bench.DataError("its probabilities are not stored")
    return answers.probabilities.astype(np.float64)


def paths(answers: bench.Answers) -> tuple[tuple[str, ...], ...]:
    """Return the path from the top of the tree to each class.

    Raises:
        bench.DataError: the record lacks the tree.
    """
    if not answers.taxonomy:
        raise bench.DataError("its record lacks the tree of its classes; `--rerun` adds it")
    return answers.taxonomy


def one_against_rest(
    answers: bench.Answers,
) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]]:
    """Return of each class which items have it, (N,), and their probabilities of it, (N,).

    Of two classes the second alone, which counts as positive.
    """
    exact = shares(answers)
    labels: npt.NDArray[Any] = answers.labels
    several = answers.task is bench.Task.MULTI_LABEL
    first = 1 if answers.task is bench.Task.BINARY else 0
    return [
        (labels[:, k] == 1 if several else labels == k, exact[:, k])
        for k in range(first, exact.shape[1])
    ]
