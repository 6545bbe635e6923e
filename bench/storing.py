"""From a dataset's splits to arrays on disk: every item is read once, in parallel.

Items are stored in an order that depends on nothing but their content: the same images give the
same fingerprint and the same results, whether they come from a folder, a table or an archive.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import cache, files, hardware, intake, parts
from bench.decoding import Pixels, UnreadableImage
from bench.errors import DataError, StoreError
from bench.geometry import Geometry, Request, geometry
from bench.intake import Intake, Progress, Shapes
from bench.parts import FilesPart, Labels, Part
from bench.stored import open_stored
from bench.text import byte_size

FORMAT = 2
CHUNK = 1024
IN_MEMORY = 2**28
"""Bytes of images that wait in memory, rather than in a file, to be put in order."""


@dataclass(frozen=True)
class Written:
    """What storing a dataset gave.

    Attributes:
        fingerprint: of its content.
        variant: the shape of its images, as a name.
        note: what the note of its source says.
        names: what its items are called, by split.
        files: the list of its image files, where they are not stored decoded.
    """

    fingerprint: str
    variant: str
    note: Mapping[str, Any]
    names: Mapping[str, list[str]]
    files: Mapping[str, Any] | None


class _Unlike(Exception):
    """An image is not of the shape that the first one made likely."""


def write(
    taken: Intake, request: Request, progress: Progress, sizing: Progress = intake.unwatched
) -> Written:
    """Read every item once and store it under the hash of the content.

    Args:
        taken: the dataset.
        request: how it is asked for.
        progress: told of the images that were read.
        sizing: told of the files whose sizes were looked at before.
    """
    survey = intake.survey(taken.parts, sizing)
    if request.on_bad == "error":
        for split, bad in survey.bad.items():
            if bad:
                raise parts.refuse(taken.parts[split], bad, all_known=False)
    shapes = survey.shapes
    try:
        if shapes is not None:
            return _write(taken, request, shapes, progress)
        # A sequence tells nothing in advance. Mostly its images are alike; else they are read
        # again, once all sizes are known.
        likely = intake.first_shapes(taken.parts["train"])
        return _write(taken, request, likely, progress)
    except _Unlike:
        shapes = intake.survey(taken.parts, read=True).shapes
        assert shapes is not None
        return _write(taken, request, shapes, progress)


def _write(taken: Intake, request: Request, shapes: Shapes, progress: Progress) -> Written:
    shape = geometry(shapes, taken.image_size, request)
    total = sum(map(len, taken.parts.values()))
    need = total * shape.bytes_each
    stream = _in_files(taken) and (request.stream or not cache.fits(need))
    if not stream and not cache.fits(need):
        raise DataError(
            f"{taken.where} takes {byte_size(need)} at {shape.height}×{shape.width}, more than the "
            f"cache may ({byte_size(cache.limit())}); give a smaller `--input-size`, or set "
            f"`{cache.LIMIT_VARIABLE}`"
        )
    folder = files.cache_folder() / "datasets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not stream:
            cache.make_room(need)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
        try:
            return _fill(temporary, taken, request, shapes, shape, stream, progress)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            f"cannot store a dataset in `{folder}`: {error.strerror or error}; "
            "BENCH_CACHE names another folder"
        ) from error


def _in_files(taken: Intake) -> bool:
    return all(isinstance(part, FilesPart) for part in taken.parts.values())


def _fill(
    temporary: Path,
    taken: Intake,
    request: Request,
    shapes: Shapes,
    shape: Geometry,
    stream: bool,
    progress: Progress,
) -> Written:
    total = sum(map(len, taken.parts.values()))
    images = temporary / shape.variant
    labels: dict[str, Labels] = {}
    keys: dict[str, npt.NDArray[np.void]] = {}
    called: dict[str, list[str]] = {}
    skipped: list[str] = []
    paths: dict[str, list[str]] = {}
    done = 0
    for split, part in taken.parts.items():
        raw = None
        if not stream:
            images.mkdir(exist_ok=True)
            raw = _room(images / f"{split}.raw.npy", len(part), shape)
        tell = functools.partial(intake.advance, progress, done, total)
        read = _read_part(part, shapes, shape, request.on_bad, raw, tell)
        done += len(part)
        order = read.order
        labels[split], keys[split] = read.labels[order], read.keys[order]
        skipped += [part.name(index) for index in read.bad]
        if isinstance(part, FilesPart):
            called[split] = [part.name(index) for index in order]
            paths[split] = [str(part.files.paths[index]) for index in order]
        if raw is not None:
            _permute(raw, images / f"{split}.images.npy", order)
            (images / f"{split}.raw.npy").unlink(missing_ok=True)
    classes = intake.class_names(taken, labels)
    for split, values in labels.items():
        np.save(temporary / f"{split}.labels.npy", values)
    copies = _copies(keys)
    np.save(temporary / "copies.npy", copies)
    counts = {split: len(values) for split, values in labels.items()}
    about = {
        "format": FORMAT,
        "classes": list(classes),
        "taxonomy": [list(path) for path in taken.taxonomy],
        "task": str(intake.task_of(labels["train"], classes, taken.taxonomy)),
        "counts": counts,
    }
    files.write_json(temporary / "about.json", about)
    inner = {
        "image_shape": [shape.height, shape.width, shape.channels],
        "resize": shape.resize,
        "interpolation": shape.interpolation,
    }
    if not stream:
        # Written last: a folder with a description is a whole one.
        files.write_json(images / "about.json", inner)
    fingerprint = _fingerprint(classes, taken.taxonomy, keys, labels)
    _publish(temporary, fingerprint, shape.variant)
    note = {
        "fingerprint": fingerprint,
        "task": about["task"],
        "uniform": shapes.uniform,
        "gray": shapes.gray,
        "edge": shapes.edge,
        "heights": shapes.heights,
        "widths": shapes.widths,
        "image_size": taken.image_size,
        "skipped": skipped,
        "unlabelled": taken.unlabelled,
        "in_files": _in_files(taken),
        "items": sum(counts.values()),
        **_repetitions(copies, labels),
    }
    listed = {**inner, "paths": paths} if stream else None
    return Written(fingerprint, shape.variant, note, called, listed)


@dataclass
class _Read:
    """A split that was read: label and key of each item, and the order to store them in."""

    labels: Labels
    keys: npt.NDArray[np.void]
    bad: dict[int, str]
    order: npt.NDArray[np.int64]


def _read_part(
    part: Part,
    shapes: Shapes,
    shape: Geometry,
    on_bad: str,
    images: npt.NDArray[np.uint8] | None,
    progress: Callable[[int], None],
) -> _Read:
    """Read every item of a split, leave its images in their first order, and return the rest."""
    count = len(part)
    labels: list[Any] = [None] * count
    keys = np.zeros(count, "V16")
    bad: dict[int, str] = {}

    def work(index: int) -> None:
        try:
            pixels, label = part.read(index)
        except UnreadableImage as error:
            bad[index] = error.why
            return
        except DataError as error:
            bad[index] = str(error)
            return
        if shapes.uniform is not None and pixels.shape[:2] != shapes.uniform:
            raise _Unlike
        if shapes.gray and pixels.ndim == 3:
            raise _Unlike
        labels[index] = label
        keys[index] = np.void(_key(pixels))
        if images is not None:
            images[index] = shape.fit(pixels)

    with ThreadPoolExecutor(hardware.cpu_count() if part.threaded else 1) as pool:
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            for _ in pool.map(work, range(start, stop)):
                pass
            if bad and on_bad == "error":
                raise parts.refuse(part, bad, all_known=stop == count)
            progress(stop)
    kept = np.array([index for index in range(count) if index not in bad], np.int64)
    if not len(kept):
        raise parts.refuse(part, bad, all_known=True)
    chosen = [labels[index] for index in kept]
    if len({np.shape(label) for label in chosen}) > 1:
        raise DataError(f"{part.where} has labels of different lengths")
    full = np.zeros((count, *np.shape(chosen[0])), np.uint8 if np.ndim(chosen[0]) else np.int64)
    full[kept] = chosen
    halves = keys[kept].view(">u8").reshape(-1, 2)
    # The same image under several labels: these decide, the columns of a set one by one.
    columns = full[kept].reshape(len(kept), -1).T[::-1]
    order = kept[np.lexsort((*columns, halves[:, 1], halves[:, 0]))]
    return _Read(full, keys, bad, order)


def _key(pixels: Pixels) -> bytes:
    """Return what tells an image from others: a hash of its shape and pixels."""
    hasher = hashlib.sha256(repr(pixels.shape).encode())
    hasher.update(np.ascontiguousarray(pixels).data)
    return hasher.digest()[:16]


def _room(path: Path, count: int, shape: Geometry) -> npt.NDArray[np.uint8]:
    """Return room for the images of a split: in memory if they are few, else in a file."""
    size = (count, shape.height, shape.width, shape.channels)
    if np.prod(size, dtype=np.int64) <= IN_MEMORY:
        return np.empty(size, np.uint8)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=size)


def _permute(images: npt.NDArray[np.uint8], target: Path, order: npt.NDArray[np.int64]) -> None:
    """Write the rows of an array in another order, a few at a time."""
    shape = (len(order), *images.shape[1:])
    result = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, len(order), CHUNK):
        result[start : start + CHUNK] = images[order[start : start + CHUNK]]
    result.flush()


def _fingerprint(
    classes: tuple[str, ...],
    taxonomy: tuple[tuple[str, ...], ...],
    keys: Mapping[str, npt.NDArray[np.void]],
    labels: Mapping[str, Labels],
) -> str:
    hasher = hashlib.sha256(json.dumps([list(classes), taxonomy]).encode())
    for split in intake.SPLITS:
        if split in keys:
            hasher.update(f"{split} {len(keys[split])}".encode())
            hasher.update(keys[split].tobytes())
            hasher.update(labels[split].tobytes())
    return hasher.hexdigest()[:32]


def _copies(keys: Mapping[str, npt.NDArray[np.void]]) -> npt.NDArray[np.int64]:
    """Return (K, 2): each image that came before, and where; places in all splits together."""
    _, first, groups = np.unique(
        np.concatenate(list(keys.values())), return_index=True, return_inverse=True
    )
    originals = first[groups]
    again = np.flatnonzero(originals != np.arange(len(originals)))
    return np.stack([again, originals[again]], 1).astype(np.int64)


def _repetitions(copies: npt.NDArray[np.int64], labels: Mapping[str, Labels]) -> dict[str, int]:
    """Return how many images come more than once, under several labels, and in several splits."""
    splits = np.repeat(np.arange(len(labels)), [len(each) for each in labels.values()])
    together = np.concatenate([each.reshape(len(each), -1) for each in labels.values()])
    again, first = copies.T
    unlike = (together[again] != together[first]).any(1)
    return {
        "repeated": len(np.unique(first)),
        "conflicts": len(np.unique(first[unlike])),
        "leaks": len(np.unique(first[splits[again] != splits[first]])),
    }


def _publish(temporary: Path, fingerprint: str, variant: str) -> None:
    """Move what was written to where it is looked for; a worker keeps what it has open."""
    target = temporary.parent / fingerprint
    with files.lock(temporary.parent / f"{fingerprint}.lock"):
        temporary.chmod(0o777 & ~files.umask())  # mkdtemp's folders are private
        if not target.exists():
            temporary.rename(target)
            return
        if (temporary / variant).exists() and not _is_whole(fingerprint, variant):
            shutil.rmtree(target / variant, ignore_errors=True)
            (temporary / variant).rename(target / variant)
        for path in (path for path in temporary.iterdir() if path.is_file()):
            path.replace(target / path.name)


def _is_whole(fingerprint: str, variant: str) -> bool:
    try:
        open_stored(fingerprint, variant)
    except StoreError:
        return False
    return True
