"""A test split for datasets that have none of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

TEST_PART = 0.2
"""Part of every class that becomes the test split."""

SEED = 0
"""Seed of the choice; together with `TEST_PART` it defines the splits, so neither is a param."""


def stratified_split(labels: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of a train and a test split, each in ascending order.

    Of every class, `TEST_PART` is drawn for the test split, rounded to whole images and at least
    one. The same labels give the same splits everywhere.

    Args:
        labels: one integer for each image.
    """
    import numpy as np

    # RandomState's stream is frozen by NumPy's policy (NEP 19), that of a Generator is not.
    random = np.random.RandomState(SEED)
    targets = np.asarray(labels)
    is_test = np.zeros(len(targets), bool)
    for label in np.unique(targets):
        members = random.permutation(np.flatnonzero(targets == label))
        is_test[members[: max(1, round(TEST_PART * len(members)))]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)
