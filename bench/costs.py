"""Decisions of the least expected cost, where errors cost by what is taken for what."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.errors import ConfigError, DataError
from bench.specs import Answers
from bench.text import did_you_mean, listing

Costs = npt.NDArray[np.float64]


def read(path: Path, classes: Sequence[str]) -> Costs:
    """Read a cost matrix, (C, C) float64: what it costs to say a column of an item of a row.

    The file is CSV. Its first line names what may be said, after a cell that may hold anything;
    each further line begins with the true class. Classes may stand in any order, each once.

    Raises:
        ConfigError: the file cannot be read, or a class or a cost is missing, wrong or repeated.
    """
    try:
        lines = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if any(row)]
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"cannot read the costs in `{path}`: {why}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the costs in `{path}`: it is no CSV in UTF-8") from error
    if len(lines) < 2:
        raise ConfigError(f"`{path}` holds no costs: a line of classes and one for each is needed")
    columns = _places(path, "column", lines[0][1:], classes)
    rows = _places(path, "line", [row[0] for row in lines[1:]], classes)
    costs = np.zeros((len(classes), len(classes)))
    for place, row in zip(rows, lines[1:], strict=True):
        name = classes[place]
        if len(row) != len(columns) + 1:
            raise ConfigError(
                f"`{path}`: the line of `{name}` has {len(row) - 1} costs, not {len(columns)}"
            )
        costs[place, columns] = [_cost(path, name, text) for text in row[1:]]
    return costs


def least(answers: Answers, costs: Costs) -> npt.NDArray[np.int64]:
    """Return for each item the class of the least expected cost, (N,); of equal ones the first.

    The expectation is over the stored probabilities (Elkan 2001, "The Foundations of
    Cost-Sensitive Learning"), so it is as good as they are calibrated.

    Raises:
        DataError: the probabilities are not stored.
    """
    if answers.probabilities is None:
        raise DataError("the probabilities of the run are not stored, so costs have no expectation")
    expected = answers.probabilities.astype(np.float64) @ costs
    return np.asarray(expected.argmin(1), np.int64)


def paid(answers: Answers, said: npt.NDArray[np.integer], costs: Costs) -> npt.NDArray[np.float64]:
    """Return what saying `said`, (N,), of the items costs, (N,)."""
    return np.asarray(costs[answers.labels, said], np.float64)


def _places(path: Path, what: str, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    names = [name.strip() if name not in classes else name for name in names]
    for name in names:
        if name not in classes:
            hint = did_you_mean(name, classes)
            raise ConfigError(f"`{path}`: a {what} is called `{name}`, which is no class{hint}")
        if names.count(name) > 1:
            raise ConfigError(f"`{path}`: two {what}s are called `{name}`")
    lacking = [name for name in classes if name not in names]
    if lacking:
        raise ConfigError(f"`{path}` has no {what} for {listing(lacking)}")
    return [classes.index(name) for name in names]


def _cost(path: Path, name: str, text: str) -> float:
    try:
        cost = float(text)
    except ValueError:
        cost = math.nan
    if not (math.isfinite(cost) and cost >= 0):
        raise ConfigError(
            f"`{path}`: the line of `{name}` holds `{text}`; costs are numbers from 0 on"
        )
    return cost
