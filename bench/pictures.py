"""Pictures of items that a run leaves for its readers: chosen by its answers, stored small."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import arrays, files, thumbnails
from bench.specs import Answers, Task

NAME = "pictures.npz"
SCHEMA = 1
MOST = 200
"""Items that a run keeps pictures of."""
ROOM = 400_000
"""Bytes that the thumbnails of a run may take in its file; its maps come on top."""

_WORST, _DOUBTFUL, _RIGHT = 32, 32, 40
_EACH_CONFUSION, _EACH_CLASS = 4, 3
_MOST_BYTES = 64 * 2**20

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """What is stored of some items of a split.

    Attributes:
        split: `test`.
        ids: (P,) int64, places in the stored split, as in the predictions; ascending.
        images: (P, h, w, C) uint8, C 1 or 3, as the dataset stores them but at most 96 pixels high
            and wide; photographs may have been through JPEG.
        map_ids: (M,) int64, those of `ids` that have a map; ascending.
        maps: (M, h, w) uint8: how much each place speaks for the class that was said, 255 most.
        layer: the name of the layer that maps are of; empty without maps.
    """

    split: str
    ids: Ids
    images: npt.NDArray[np.uint8]
    map_ids: Ids
    maps: npt.NDArray[np.uint8]
    layer: str = ""


def read(folder: Path) -> Pictures | None:
    """Return what a run has left in its folder; None where there is none that can be read."""
    try:
        stored, about = arrays.read(folder / NAME, _MOST_BYTES)
        images = thumbnails.unpack(stored, about)
        ids, map_ids = (_ids(stored[name]) for name in ("ids", "map_ids"))
        maps, split, layer = stored["maps"], about["split"], about["layer"]
    except (ValueError, KeyError):
        return None
    fits = (
        about.get("schema") == SCHEMA
        and (isinstance(split, str) and isinstance(layer, str))
        and len(ids) == len(images)
        and maps.dtype == np.uint8
        and maps.shape == (len(map_ids), *images.shape[1:3])
        and bool(np.isin(map_ids, ids).all())
    )
    return Pictures(split, ids, images, map_ids, maps, layer) if fits else None


def write(folder: Path, found: Pictures) -> None:
    """Write what a run leaves, thumbnails made smaller where they would not fit.

    Raises:
        StoreError: it cannot be written.
    """
    images, stored, about = thumbnails.pack(found.images, ROOM)
    maps = found.maps
    if images.shape[1:3] != maps.shape[1:]:
        maps = thumbnails.shrunk(maps[..., None], max(images.shape[1:3]))[..., 0]
    told = {"schema": SCHEMA, "split": found.split, "layer": found.layer, **about}
    content = {**stored, "ids": found.ids, "map_ids": found.map_ids, "maps": maps}
    files.write_bytes(folder / NAME, arrays.packed(content, told))


def worst(answers: Answers, limit: int) -> Ids:
    """Return the ids of the worst mistakes, the worst first: the truth was least likely.

    The truth of several labels is all of them as they are. Without probabilities the mistakes come
    in the order of their ids.
    """
    wrong = np.flatnonzero(~answers.right)
    return _ranked(answers, wrong, _likelihood(answers))[:limit]


def most_doubtful(answers: Answers, limit: int) -> Ids:
    """Return the ids of the most doubtful items: the two likeliest classes nearly tie.

    Of several labels, the two likeliest sets of them, which differ by the label nearest to one
    half. Without probabilities there is no saying, and mistakes come in the order of their ids.
    """
    if answers.probabilities is None:
        return worst(answers, limit)
    shares = answers.probabilities.astype(np.float64)
    if answers.task is Task.MULTI_LABEL:
        margin = np.abs(shares - 0.5).min(1, initial=0.5)
    elif shares.shape[1] < 2:
        margin = np.ones(len(shares))
    else:
        top = np.partition(shares, -2, axis=1)[:, -2:]
        margin = top[:, 1] - top[:, 0]
    return _ranked(answers, np.arange(len(answers.ids)), margin)[:limit]


def of_confusions(answers: Answers, each: int, limit: int) -> Ids:
    """Return the ids of some items of each cell of the confusion matrix, at most `limit`.

    Of every cell at most `each`, the worst; cells that are confused most often come first. Where
    there is no room for all, every cell gets its first item before any gets a second. Of several
    labels, each has two cells: where it was missed, and where it was said wrongly.
    """
    likelihood = _likelihood(answers)
    cells = [_ranked(answers, cell, likelihood)[:each] for cell in _cells(answers)]
    # How many each gives: rounds over all cells until there is no more room.
    given, left = [0] * len(cells), limit
    for number in range(each):
        for place, cell in enumerate(cells):
            if number < len(cell) and left > 0:
                given[place], left = number + 1, left - 1
    taken = [cell[:count] for cell, count in zip(cells, given, strict=True)]
    return _once(taken)


def chosen(answers: Answers) -> Ids:
    """Return the ids of the items of which a run keeps pictures, ascending; at most `MOST`."""
    first = [worst(answers, _WORST), most_doubtful(answers, _DOUBTFUL), _right(answers)]
    kept = _once(first)
    confused = of_confusions(answers, _EACH_CONFUSION, MOST)
    room = MOST - len(kept)
    fresh = confused[~np.isin(confused, kept)]
    if len(fresh) > room:
        # Those of each cell that there is room for, which may be among the others already.
        confused = of_confusions(answers, _EACH_CONFUSION, room)
        fresh = confused[~np.isin(confused, kept)]
    return np.sort(np.concatenate([kept, fresh]))


def with_maps(answers: Answers, limit: int) -> Ids:
    """Return the ids of items to explain: the worst, the most doubtful, and some right ones.

    All are among those that are `chosen`.
    """
    third = limit // 3
    taken = worst(answers, limit - 2 * third)
    # Many a mistake is in doubt as well: then others take its place, as far as there are any.
    doubtful = most_doubtful(answers, _DOUBTFUL)
    taken = _once([taken, doubtful[~np.isin(doubtful, taken)][:third]])
    right = _right(answers)
    right = right[~np.isin(right, taken)]
    step = max(1, len(right) // max(1, third))
    return _once([taken, right[::step][:third]])


def _ids(values: npt.NDArray[Any]) -> Ids:
    """Return ids that a file holds.

    Raises:
        ValueError: they are none.
    """
    if values.ndim != 1 or values.dtype != np.int64:
        raise ValueError("its ids are none")
    if len(values) and (values[0] < 0 or (np.diff(values) <= 0).any()):
        raise ValueError("its ids do not ascend")
    return values


def _likelihood(answers: Answers) -> npt.NDArray[np.float64] | None:
    """Return how likely the truth was said to be, (N,), or its logarithm for several labels."""
    if answers.probabilities is None:
        return None
    shares = answers.probabilities.astype(np.float64)
    if answers.task is Task.MULTI_LABEL:
        likely = np.where(answers.labels.astype(bool), shares, 1 - shares)
        return np.asarray(np.log(np.maximum(likely, 1e-45)).sum(1), np.float64)
    return np.asarray(shares[np.arange(len(shares)), answers.labels.astype(np.int64)])


def _ranked(
    answers: Answers, places: npt.NDArray[np.integer], values: npt.NDArray[np.float64] | None
) -> Ids:
    """Return the ids of items by their values, the lowest first, and of equal ones by their ids."""
    ids = answers.ids[places]
    order = np.argsort(ids) if values is None else np.lexsort((ids, values[places]))
    return np.asarray(ids[order], np.int64)


def _cells(answers: Answers) -> list[npt.NDArray[np.intp]]:
    """Return the places of the items of each confusion, the most frequent one first."""
    if answers.task is Task.MULTI_LABEL:
        wrong = np.argwhere((answers.labels > 0) != (answers.predicted > 0))
        places, columns = wrong.T
        kinds = 2 * columns + answers.predicted[places, columns]
    else:
        places = np.flatnonzero(~answers.right)
        width = len(answers.names)
        kinds = answers.labels[places].astype(np.int64) * width + answers.predicted[places]
    found, groups, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    members = np.split(places[np.argsort(groups, kind="stable")], np.cumsum(counts)[:-1])
    return [members[cell] for cell in np.lexsort((found, -counts))] if len(found) else []


def _right(answers: Answers) -> Ids:
    """Return the ids of a few right items of each class: the first, as they come, not the best."""
    right = answers.right
    several = answers.task is Task.MULTI_LABEL
    classes = [
        np.flatnonzero(right & (answers.labels[:, k] > 0 if several else answers.labels == k))
        for k in range(min(len(answers.names), _RIGHT))
    ]
    ranked = [_ranked(answers, places, None)[:_EACH_CLASS] for places in classes]
    in_turn = [ids[number : number + 1] for number in range(_EACH_CLASS) for ids in ranked]
    return _once(in_turn)[:_RIGHT]


def _once(parts: Iterable[Ids]) -> Ids:
    """Return the ids of all parts, each where it comes first."""
    every = np.concatenate([np.zeros(0, np.int64), *parts])
    _, first = np.unique(every, return_index=True)
    return every[np.sort(first)]
