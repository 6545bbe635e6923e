"""Datasets decoded once: uint8 arrays on disk, named by the hash of their content.

    <cache>/datasets/<fingerprint>/          a dataset, whatever it was loaded from
        about.json  {split}.labels.npy       classes, task, counts; labels
        copies.npy                           which images are copies of which
        <variant>/{split}.images.npy         its images at one size, memory-mapped by every worker
    <cache>/sources/<key>.json               which source gave which content
    <cache>/sources/<key>.names.json         what the source calls the items

`prepare` asks a plugin for its splits, reads every item once and stores it in an order that
depends on nothing but content: the same images give the same fingerprint and the same results,
whether they come from a folder, a table or an archive. A note remembers which source gave which
content, so that the next command knows a dataset's fingerprint without loading it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import cache, decoding, files, hardware, intake
from bench.decoding import Pixels, Resize, UnreadableImage
from bench.errors import BenchError, ConfigError, DataError, StoreError
from bench.intake import ArrayPart, FilesPart, Intake, Labels, Part, Progress, Shapes
from bench.provenance import component_source
from bench.records import ComponentRef, RunSpec, digest
from bench.registry import Offer
from bench.specs import Dataset, Task
from bench.stored import FILES, StoredDataset, open_stored
from bench.text import byte_size, listing, one_line

FORMAT = 2
NATIVE_EDGE = 128
"""Images of one size, no edge longer than this, are stored as they are and resized by the runs."""
CHUNK = 1024
IN_MEMORY = 2**28
"""Bytes of images that wait in memory, rather than in a file, to be put in order."""


@dataclass(frozen=True)
class Request:
    """How a dataset is to be loaded.

    Attributes:
        data_dir: where the user keeps datasets.
        size: height and width wanted, pixels; None for the dataset's own.
        resize: what is done with images of another shape.
        color: `gray`, `rgb`, or `auto`: gray where all images are.
        on_bad: `error` or `skip`: what is done with files that cannot be read.
        exclude: a file with the names or paths of files to leave out, one a line.
        stream: keep no decoded images; the runs decode files as they go.
    """

    data_dir: Path | None = None
    size: int | None = None
    resize: Resize = "crop"
    color: str = "auto"
    on_bad: str = "error"
    exclude: Path | None = None
    stream: bool = False


@dataclass(frozen=True)
class Geometry:
    """The shape that a dataset's images are stored in; `size` is None for images of one size."""

    height: int
    width: int
    channels: int
    resize: Resize | None

    @property
    def variant(self) -> str:
        """Return the name of the folder that holds the images."""
        mark = f"-{self.resize}" if self.resize else ""
        return f"{self.height}x{self.width}x{self.channels}{mark}"

    @property
    def bytes_each(self) -> int:
        """Return the bytes of one image."""
        return self.height * self.width * self.channels

    def fit(self, pixels: Pixels) -> Pixels:
        """Bring the pixels of one image into this shape."""
        if self.resize is not None:
            pixels = decoding.fit(pixels, self.height, self.resize)
        return decoding.with_channels(pixels, self.channels)


def geometry(shapes: Shapes, own_size: int | None, request: Request) -> Geometry:
    """Return the shape to store images in; it depends on content and request only."""
    channels = {"gray": 1, "rgb": 3}.get(request.color, 1 if shapes.gray else 3)
    if shapes.uniform is not None and max(shapes.uniform) <= NATIVE_EDGE:
        return Geometry(*shapes.uniform, channels, None)
    size = request.size or own_size or min(shapes.edge, intake.DEFAULT_EDGE)
    return Geometry(size, size, channels, request.resize)


def source_key(offer: Offer, ref: ComponentRef, request: Request) -> str:
    """Return a hash of what a dataset would be loaded from, without loading it."""
    component = offer.component
    assert isinstance(component, Dataset)
    stamps: list[tuple[str, int, int]] = []
    if component.locate is not None:
        for path in component.locate(request.data_dir, **ref.params):
            status = path.stat()
            stamps.append((str(path), status.st_size, status.st_mtime_ns))
    source = component_source(component.load)
    options = (request.on_bad, sorted(excluded(request)))
    return digest([FORMAT, ref.name, ref.plugin, dict(ref.params), source, stamps, options])[:24]


def request_of(spec: RunSpec) -> Request:
    """Return how a run wants its dataset loaded."""
    protocol = spec.protocol
    return Request(
        data_dir=Path(spec.data_dir) if spec.data_dir else None,
        size=spec.image_size,
        resize=protocol["resize"],
        color=protocol["color"],
        on_bad=protocol["on_bad"],
        exclude=Path(spec.exclude) if spec.exclude else None,
        stream=spec.placement == "stream",
    )


def remember(offer: Offer, ref: ComponentRef, request: Request) -> dict[str, Any] | None:
    """Return the note of a source that was prepared before, at whatever size, else None."""
    try:
        note = json.loads(_note(source_key(offer, ref, request)).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and "task" in note else None


def recall(offer: Offer, ref: ComponentRef, request: Request) -> StoredDataset | None:
    """Return the stored dataset if this source was prepared before, else None."""
    note = remember(offer, ref, request)
    if note is None:
        return None
    try:
        shapes = Shapes(tuple(note["uniform"] or ()) or None, note["gray"], note["edge"])
        shape = geometry(shapes, note["image_size"], request)
        # Images that did not fit once may do so now.
        streamed = note["in_files"] and (
            request.stream or not cache.fits(note["items"] * shape.bytes_each)
        )
        return open_stored(note["fingerprint"], shape.variant, streamed=streamed)
    except (ValueError, KeyError, TypeError, StoreError):
        return None


def notes(offer: Offer, ref: ComponentRef, request: Request) -> list[str]:
    """Return what a user should know of a prepared source, in lines."""
    note = remember(offer, ref, request) or {}
    found = [str(text) for text in note.get("warnings", ())]
    if skipped := note.get("skipped"):
        found.append(
            f"{len(skipped)} file(s) of `{ref.name}` cannot be read and are left out: "
            f"{listing(skipped, 3)}"
        )
    if excluded := note.get("excluded"):
        found.append(
            f"up to {excluded} file(s) of `{ref.name}` are left out by `{request.exclude}`"
        )
    if repeated := note.get("repeated"):
        text = f"{repeated} image(s) of `{ref.name}` come more than once"
        if conflicts := note.get("conflicts"):
            text += f", {conflicts} of them under different labels"
        if leaks := note.get("leaks"):
            text += f", {leaks} in more than one split"
        found.append(f"{text}: see `bench data check`")
    if unlabelled := note.get("unlabelled"):
        found.append(f"{unlabelled} image(s) of `{ref.name}` have no labels and are not used")
    return found


def names(offer: Offer, ref: ComponentRef, request: Request) -> dict[str, list[str]]:
    """Return what a prepared source calls the items of each split, in their stored order."""
    path = _note(source_key(offer, ref, request)).with_suffix(".names.json")
    try:
        found: dict[str, list[str]] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def prepare(
    offer: Offer,
    ref: ComponentRef,
    request: Request | None = None,
    progress: Progress = lambda done, total: None,
) -> StoredDataset:
    """Load a dataset through its plugin, check it, and store it unless it is there already.

    Raises:
        PluginError: what the plugin returned is not a sound dataset.
        DataError: the data are missing or unreadable.
        StoreError: the store cannot be written.
    """
    request = request or Request()
    lock = _note(source_key(offer, ref, request)).with_suffix(".lock")
    with files.lock(lock):
        stored = recall(offer, ref, request)
        if stored is not None:
            return stored
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            splits, where = load(offer, ref, request.data_dir)
        said = list(dict.fromkeys(one_line(str(each.message)) for each in caught))
        left_out = excluded(request)
        written = write(
            intake.receive(intake.leave_out(splits, left_out), where), request, progress
        )
        # The key is taken again: a download during `load` may have made files to stamp.
        note = _note(source_key(offer, ref, request))
        files.write_text(note.with_suffix(".names.json"), files.dump_json(written.names))
        about = {"dataset": ref.name, "excluded": len(left_out), "warnings": said}
        files.write_json(note, {**about, **written.note})
        return written.stored


def load(offer: Offer, ref: ComponentRef, data_dir: Path | None) -> tuple[Any, str]:
    """Return what a dataset's `load` returns, and how messages name the dataset.

    Raises:
        DataError: it raised something.
    """
    component = offer.component
    assert isinstance(component, Dataset)
    where = f"dataset `{ref.name}` of plugin {offer.plugin.label}"
    try:
        return component.load(data_dir, **ref.params), where
    except BenchError:
        raise
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise DataError(f"{where} could not be loaded: {reason}") from error


@dataclass(frozen=True)
class Written:
    """What storing a dataset gave: the dataset, what its note says, what its items are called."""

    stored: StoredDataset
    note: Mapping[str, Any]
    names: Mapping[str, list[str]]


def _in_files(taken: Intake) -> bool:
    return all(isinstance(part, FilesPart) for part in taken.parts.values())


class _Unlike(Exception):
    """An image is not of the shape that the first one made likely."""


def write(taken: Intake, request: Request, progress: Progress) -> Written:
    """Read every item once and store it under the hash of the content."""
    survey = intake.survey(taken.parts)
    if request.on_bad == "error":
        for split, bad in survey.bad.items():
            if bad:
                raise intake.refuse(taken.parts[split], bad, all_known=True)
    shapes = survey.shapes
    try:
        if shapes is not None:
            return _write(taken, request, shapes, progress)
        # A sequence tells nothing in advance. Mostly its images are alike; else they are read
        # again, once all sizes are known.
        pixels, _ = taken.parts["train"].read(0)
        return _write(taken, request, Shapes.of_one(pixels), progress)
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
    images = temporary / (shape.variant + (FILES if stream else ""))
    images.mkdir()
    labels: dict[str, Labels] = {}
    keys: dict[str, npt.NDArray[np.void]] = {}
    called: dict[str, list[str]] = {}
    skipped: list[str] = []
    paths: dict[str, list[str]] = {}
    done = 0
    for split, part in taken.parts.items():
        raw = None if stream else _room(images / f"{split}.raw.npy", len(part), shape)
        advance = functools.partial(_advance, progress, done, total)
        read = _read_part(part, shapes, shape, request.on_bad, raw, advance)
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
    inner = {"image_shape": [shape.height, shape.width, shape.channels], "resize": shape.resize}
    if stream:
        files.write_text(images / "paths.json", files.dump_json(paths))
    # Written last: a folder with a description is a whole one.
    files.write_json(images / "about.json", inner)
    fingerprint = _fingerprint(classes, taken.taxonomy, keys, labels)
    _publish(temporary, fingerprint, images.name)
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
    return Written(open_stored(fingerprint, shape.variant, streamed=stream), note, called)


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
                raise intake.refuse(part, bad, all_known=stop == count)
            progress(stop)
    kept = np.array([index for index in range(count) if index not in bad], np.int64)
    if not len(kept):
        raise intake.refuse(part, bad, all_known=True)
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


def _advance(progress: Progress, before: int, total: int, count: int) -> None:
    progress(before + count, total)


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


def _publish(temporary: Path, fingerprint: str, images: str) -> None:
    """Move what was written to where it is looked for; a worker keeps what it has open."""
    target = temporary.parent / fingerprint
    with files.lock(temporary.parent / f"{fingerprint}.lock"):
        temporary.chmod(0o777 & ~files.umask())  # mkdtemp's folders are private
        if not target.exists():
            temporary.rename(target)
            return
        if not _is_whole(fingerprint, images):
            shutil.rmtree(target / images, ignore_errors=True)
            (temporary / images).rename(target / images)
        for path in (path for path in temporary.iterdir() if path.is_file()):
            path.replace(target / path.name)


def _is_whole(fingerprint: str, images: str) -> bool:
    """Return whether decoded images are there already; a list of files is always made anew."""
    try:
        open_stored(fingerprint, images)
    except StoreError:
        return False
    return not images.endswith(FILES)


def excluded(request: Request) -> frozenset[str]:
    """Return the names that an exclude list holds.

    Raises:
        ConfigError: the list cannot be read.
    """
    if request.exclude is None:
        return frozenset()
    try:
        lines = request.exclude.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read `{request.exclude}`: {one_line(str(error))}") from error
    return frozenset(line.strip() for line in lines if line.strip() and line[0] != "#")


def _note(key: str) -> Path:
    return files.cache_folder() / "sources" / f"{key}.json"


def describe(stored: StoredDataset) -> dict[str, Any]:
    """Return the plain data that a worker hands back about a stored dataset."""
    return {**dataclasses.asdict(stored), "folder": str(stored.folder), "task": str(stored.task)}


__all__ = [
    "ArrayPart",
    "Geometry",
    "Request",
    "StoredDataset",
    "Task",
    "geometry",
    "load",
    "names",
    "open_stored",
    "prepare",
    "recall",
    "source_key",
    "write",
]
