"""Which images are the same: exactly, by a hash of their pixels, or nearly, by how they look.

Near duplicates are copies that were recompressed, resized, brightened or recoloured. They are
found in three steps, each on what the one before left:

1. a perceptual hash: the signs of the 64 lowest frequencies of a thumbnail, around their median.
   Copies differ in at most 8 bits. Sorting by parts of the hash finds all such pairs without
   comparing each image with each.
2. the correlation of the thumbnails: the same light in the same places.
3. the correlation of their details, which is what remains without the blurred picture. Two
   T-shirts, or two sunsets, pass the second step by the dozen, but not this one.

The hash is computed here and not by the library ImageHash: it hashes one image at a time in
Python, where NumPy does thousands at once, and it would add PyWavelets to every installation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.inspection.items import THUMBNAIL, Item
from bench.inspection.scanning import Scan

SMALLEST = 48
"""Pixels of the shorter edge below which images have too little in them to be near duplicates:
digits of 28 by 28 pixels resemble each other by nature. Exact duplicates are found at any size."""

MOST_BITS = 8
"""In how many of their 64 bits the hashes of near duplicates may differ."""

LEAST_LIKENESS = 0.93
"""The least correlation of near duplicates' thumbnails."""

LEAST_DETAIL = 0.9
"""The least correlation of the details in near duplicates' thumbnails."""

_LEAST_CONTRAST = 2.0  # standard deviation, gray levels; less is a blank page or a lens cap
# A picture out of focus has so little detail that compression drowns it. Its copies are told by
# details that differ by no more than such noise, and by even more of the same light.
_NOISE = 1.0  # root mean square, gray levels
_LIKENESS_OF_BLURRED = 0.99
_BANDS = MOST_BITS + 1  # hashes that differ in 8 bits are equal in at least one of nine parts
_CHUNK = 4096
_BLOCK = 1 << 22

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Images that are copies of each other.

    Attributes:
        members: two or more, in the order of the dataset.
    """

    members: tuple[Item, ...]

    @property
    def exact(self) -> bool:
        """Return whether all members have the same pixels."""
        return len({item.digest for item in self.members}) == 1


def find_groups(scan: Scan, *, near: bool = True) -> list[Group]:
    """Return the groups of duplicates; images to be predicted and unreadable ones are in none.

    With `near`, a group holds whatever a chain of near duplicates connects.
    """
    by_digest: dict[bytes, list[int]] = {}
    for index, item in enumerate(scan.items):
        if item.digest and item.split != "unlabelled":
            by_digest.setdefault(item.digest, []).append(index)
    same = list(by_digest.values())
    groups: dict[int, list[int]] = {}
    roots = _near_roots(scan, [members[0] for members in same]) if near else range(len(same))
    for root, members in zip(roots, same, strict=True):
        groups.setdefault(int(root), []).extend(members)
    found = sorted(sorted(members) for members in groups.values() if len(members) > 1)
    return [Group(tuple(scan.items[index] for index in members)) for members in found]


def _near_roots(scan: Scan, chosen: Sequence[int]) -> Indices:
    """Return for each chosen image which of them stands for its group."""
    parents = np.arange(len(chosen))
    items = [scan.items[index] for index in chosen]
    large = [i for i, item in enumerate(items) if min(item.width, item.height) >= SMALLEST]
    rows = np.asarray(chosen, np.int64)
    places = np.asarray(large, np.int64)
    hashes, contrast = _hashes(scan.thumbnails, rows[places])
    places, hashes = places[contrast >= _LEAST_CONTRAST], hashes[contrast >= _LEAST_CONTRAST]
    for first, second in _candidates(hashes):
        for start in range(0, len(first), _CHUNK):
            a, b = (places[part[start : start + _CHUNK]] for part in (first, second))
            # What is connected already need not be compared: of a film's thousand frames, each
            # is compared a few times and not a thousand.
            apart = _roots(parents, a) != _roots(parents, b)
            a, b = a[apart], b[apart]
            alike = _alike(scan.thumbnails, rows[a], rows[b])
            for one, other in zip(a[alike].tolist(), b[alike].tolist(), strict=True):
                _join(parents, one, other)
    return _roots(parents, np.arange(len(chosen)))


def _candidates(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[Indices, Indices]]:
    """Yield every pair of hashes that differ in few bits, once, in blocks."""
    edges = np.linspace(0, 64, _BANDS + 1).round().astype(np.uint64)
    masks = [
        np.uint64((1 << int(high)) - (1 << int(low))) for low, high in itertools.pairwise(edges)
    ]
    for number, mask in enumerate(masks):
        parts = hashes & mask
        order = np.argsort(parts, kind="stable")
        starts = np.flatnonzero(np.diff(parts[order])) + 1
        for bucket in np.split(order, starts):
            rows = max(1, _BLOCK // max(1, len(bucket)))
            for start in range(0, len(bucket) - 1, rows):
                head, tail = bucket[start : start + rows], bucket[start:]
                differing = hashes[head][:, None] ^ hashes[tail][None, :]
                close = np.triu(np.bitwise_count(differing) <= MOST_BITS, 1)
                first, second = np.nonzero(close)
                for earlier in masks[:number]:  # the pair was met in an earlier part
                    fresh = differing[first, second] & earlier != 0
                    first, second = first[fresh], second[fresh]
                if len(first):
                    yield head[first], tail[second]


def _hashes(
    thumbnails: npt.NDArray[np.uint8], rows: Indices
) -> tuple[npt.NDArray[np.uint64], Floats]:
    """Return perceptual hashes, and the contrast of each thumbnail."""
    basis = _cosines(9)
    hashes = np.empty(len(rows), np.uint64)
    contrast = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        values = thumbnails[rows[part]].astype(np.float32)
        # 9 by 9 frequencies without the first, which is nothing but the brightness: 64 of the 80.
        frequencies = (basis @ values @ basis.T).reshape(len(values), -1)[:, 1:65]
        bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
        hashes[part] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
        contrast[part] = values.std(axis=(1, 2))
    return hashes, contrast


def _alike(
    thumbnails: npt.NDArray[np.uint8], first: Indices, second: Indices
) -> npt.NDArray[np.bool_]:
    """Return which pairs of thumbnails show the same light and the same details."""
    blur = _blur(1.5)
    left, right = (thumbnails[rows].astype(np.float32) for rows in (first, second))
    likeness = _correlation(left, right)
    alike = likeness >= LEAST_LIKENESS
    likeness, left, right = likeness[alike], left[alike], right[alike]
    left -= blur @ left @ blur.T
    right -= blur @ right @ blur.T
    apart = np.sqrt(((left - right) ** 2).mean(axis=(1, 2)))
    blurred = (apart <= _NOISE) & (likeness >= _LIKENESS_OF_BLURRED)
    alike[alike] = blurred | (_correlation(left, right) >= LEAST_DETAIL)
    return alike


def _correlation(left: Floats, right: Floats) -> Floats:
    left, right = (values - values.mean(axis=(1, 2), keepdims=True) for values in (left, right))
    product = (left * right).sum(axis=(1, 2))
    norms = np.sqrt((left**2).sum(axis=(1, 2)) * (right**2).sum(axis=(1, 2)))
    return np.asarray(product / np.maximum(norms, 1e-6), np.float32)


def _cosines(count: int) -> Floats:
    """Return the first rows of the orthonormal cosine transform (DCT-II)."""
    places = (np.arange(THUMBNAIL) + 0.5) / THUMBNAIL
    rows = np.cos(np.pi * np.arange(count)[:, None] * places) * np.sqrt(2 / THUMBNAIL)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, np.float32)


def _blur(sigma: float) -> Floats:
    """Return a matrix that blurs along one axis."""
    distance = np.arange(THUMBNAIL)[:, None] - np.arange(THUMBNAIL)
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _roots(parents: Indices, places: Indices) -> Indices:
    roots = parents[places]
    while not np.array_equal(above := parents[roots], roots):
        roots = above
    return roots


def _join(parents: Indices, one: int, other: int) -> None:
    roots = []
    for place in (one, other):
        while parents[place] != place:
            parents[place] = parents[parents[place]]  # shorter ways for the next
            place = int(parents[place])
        roots.append(place)
    parents[max(roots)] = min(roots)
