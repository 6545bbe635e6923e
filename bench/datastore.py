"""Datasets decoded once: uint8 arrays on disk, named by the hash of their content.

    <cache>/datasets/<fingerprint>/          a dataset, whatever it was loaded from
        about.json  {split}.labels.npy       classes, task, counts; labels
        copies.npy                           which images are copies of which
        <variant>/{split}.images.npy         its images at one size, memory-mapped by every worker
    <cache>/sources/<key>.json               which source gave which content
    <cache>/sources/<key>.names.json         what the source calls the items
    <cache>/sources/<key>.<variant>.files.json   its image files, where these are decoded each time

A note remembers which source gave which content, so that the next command knows a dataset's
fingerprint without loading it.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

from bench import cache, files, intake
from bench.errors import BenchError, ConfigError, DataError, StoreError
from bench.geometry import Request, geometry
from bench.intake import Progress, Shapes
from bench.provenance import component_source
from bench.records import ComponentRef, RunSpec, digest
from bench.registry import Offer
from bench.specs import Dataset
from bench.stored import StoredDataset, open_stored
from bench.storing import FORMAT, write
from bench.text import listing, one_line


def source_key(offer: Offer, ref: ComponentRef, request: Request) -> str:
    """Return a hash of what a dataset would be loaded from, without loading it.

    All files are looked at, which takes a while where they are many.
    """
    return _key(offer, ref, request, _stamps(offer, ref, request))


def _key(offer: Offer, ref: ComponentRef, request: Request, stamps: list[Any]) -> str:
    source = component_source(offer.component.factory)
    options = (request.on_bad, sorted(excluded(request)))
    return digest([FORMAT, ref.name, ref.plugin, dict(ref.params), source, stamps, options])[:24]


def _stamps(offer: Offer, ref: ComponentRef, request: Request) -> list[Any]:
    """Return path, size, times and number of each file that would be loaded."""
    component = offer.component
    assert isinstance(component, Dataset)
    if component.locate is None:
        return []
    located = component.locate(request.data_dir, **ref.params)
    return [(str(path), *_stamp(path)) for path in located]


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes with a file's content, also where its time of change was set back."""
    try:
        status = path.stat()
    except OSError:
        return ()  # a link to nothing, which reading will report
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def request_of(spec: RunSpec) -> Request:
    """Return how a run wants its dataset loaded."""
    protocol = spec.protocol
    return Request(
        data_dir=Path(spec.data_dir) if spec.data_dir else None,
        size=spec.image_size,
        resize=protocol["resize"],
        interpolation=spec.interpolation,
        color=protocol["color"],
        on_bad=protocol["on_bad"],
        exclude=Path(spec.exclude) if spec.exclude else None,
        stream=spec.placement == "stream",
    )


def remember(offer: Offer, ref: ComponentRef, request: Request) -> dict[str, Any] | None:
    """Return the note of a source that was prepared before, at whatever size, else None."""
    return _read_note(source_key(offer, ref, request))


def recall(offer: Offer, ref: ComponentRef, request: Request) -> StoredDataset | None:
    """Return the stored dataset if this source was prepared before, else None."""
    return _recall(source_key(offer, ref, request), request)


def _recall(key: str, request: Request) -> StoredDataset | None:
    note = _read_note(key)
    if note is None:
        return None
    try:
        shapes = Shapes(tuple(note["uniform"] or ()) or None, note["gray"], note["edge"])
        shape = geometry(shapes, note["image_size"], request)
        listed = _listed(key, shape.variant)
        if request.stream and note["in_files"]:
            return open_stored(note["fingerprint"], shape.variant, listed)
        try:
            return open_stored(note["fingerprint"], shape.variant)
        except StoreError:
            # Images that did not fit once may do so now.
            if cache.fits(note["items"] * shape.bytes_each):
                return None
            return open_stored(note["fingerprint"], shape.variant, listed)
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
        found.append(f"{excluded} file(s) of `{ref.name}` are left out by `{request.exclude}`")
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
    progress: Progress = intake.unwatched,
    sizing: Progress = intake.unwatched,
) -> StoredDataset:
    """Load a dataset through its plugin, check it, and store it unless it is there already.

    Raises:
        PluginError: what the plugin returned is not a sound dataset.
        DataError: the data are missing or unreadable.
        StoreError: the store cannot be written.
    """
    request = request or Request()
    key = source_key(offer, ref, request)
    with files.lock(_note(key).with_suffix(".lock")):
        stored = _recall(key, request)
        if stored is not None:
            return stored
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            splits, where = load(offer, ref, request.data_dir)
        said = list(dict.fromkeys(one_line(str(each.message)) for each in caught))
        # Taken again: a download during `load` may have made files to stamp.
        stamps = _stamps(offer, ref, request)
        key = _key(offer, ref, request, stamps)
        splits, left_out, unknown = intake.leave_out(splits, excluded(request), where)
        if unknown:
            said.append(
                f"{len(unknown)} line(s) of `{request.exclude}` name no file of `{ref.name}`: "
                f"{listing(unknown, 3)}"
            )
        written = write(intake.receive(splits, where), request, progress, sizing)
        if _stamps(offer, ref, request) != stamps:
            raise DataError(f"the files of {where} changed while they were read; run it again")
        files.write_text(_note(key).with_suffix(".names.json"), files.dump_json(written.names))
        listed = None
        if written.files is not None:
            listed = _listed(key, written.variant)
            files.write_text(listed, files.dump_json(written.files))
        about = {"dataset": ref.name, "excluded": left_out, "warnings": said}
        files.write_json(_note(key), {**about, **written.note})
        return open_stored(written.fingerprint, written.variant, listed)


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
    except (Exception, SystemExit) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise DataError(f"{where} could not be loaded: {reason}") from error


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
        why = getattr(error, "strerror", None) or one_line(str(error))
        raise ConfigError(
            f"cannot read `{request.exclude}`: {why}; `bench data check --fix-list` makes such "
            "a file"
        ) from error
    return frozenset(line.strip() for line in lines if line.strip() and line[0] != "#")


def describe(stored: StoredDataset) -> dict[str, Any]:
    """Return the plain data that a worker hands back about a stored dataset."""
    plain = {**dataclasses.asdict(stored), "folder": str(stored.folder), "task": str(stored.task)}
    return {**plain, "files": str(stored.files) if stored.files else None}


def _read_note(key: str) -> dict[str, Any] | None:
    try:
        note = json.loads(_note(key).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and "task" in note else None


def _note(key: str) -> Path:
    return files.cache_folder() / "sources" / f"{key}.json"


def _listed(key: str, variant: str) -> Path:
    """Return where the files of a source are listed that are decoded each time."""
    return files.cache_folder() / "sources" / f"{key}.{variant}.files.json"
