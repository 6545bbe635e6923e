"""What is measured once and kept: in this worker, and in the cache for later commands.

    <cache>/profiles/<digest>.json     what was measured, and all that it depends on

A file that is damaged, or that holds something else, counts as none: it is measured anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import cache, files, hardware
from bench.engine import device as devices
from bench.errors import StoreError
from bench.provenance import LIBRARIES, component_source, library_version
from bench.records import RunSpec, digest
from bench.registry import Offer

FORMAT = 1
"""Raised whenever something is measured in another way, so that old numbers no longer count."""
PATIENCE_SECONDS = 60.0
"""How long another process may take for the same before this one goes on by itself."""
_known: dict[Path, dict[str, Any]] = {}


def subject_of(
    spec: RunSpec, offer: Offer, classes: int, device: str, precision: str, threads: int
) -> dict[str, Any]:
    """Return what the speed of a run's model depends on, but for the shape of its input.

    Args:
        spec: the run.
        offer: its model.
        classes: logits that the model gives.
        device: `cpu` or `cuda`.
        precision: as in force.
        threads: CPU threads of the run.
    """
    return {
        "model": offer.name,
        "plugin": offer.plugin.name,
        "version": offer.plugin.version,
        "source": component_source(offer.component.factory),
        "params": dict(spec.model.params),
        "classes": classes,
        "device": device,
        "device_name": devices.name(device),
        "processor": hardware.cpu_name(),
        "cores": hardware.cpu_count(),
        "precision": precision,
        "threads": threads,
        "mode": str(spec.mode),
        "libraries": {name: library_version(name) for name in LIBRARIES},
    }


def recall(
    kind: str, subject: Mapping[str, Any], is_sound: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return what was measured before, else None.

    Args:
        kind: what was measured.
        subject: what it depends on, plain data.
        is_sound: whether a file's content is what it should be.
    """
    path = _place(kind, subject)
    if path not in _known:
        found = _read(path, kind, subject)
        if found is None or not is_sound(found):
            return None
        cache.touch(path.parent)
        _known[path] = found
    return dict(_known[path])


def keep(
    kind: str, subject: Mapping[str, Any], found: dict[str, Any], *, durable: bool = True
) -> None:
    """Keep what was measured, in this worker and, if `durable`, for others."""
    path = _place(kind, subject)
    _known[path] = dict(found)
    if durable:
        content = {"format": FORMAT, "kind": kind, "subject": dict(subject), "found": found}
        # A cache that others fill may be read-only here.
        with contextlib.suppress(StoreError):
            files.write_json(path, content)


@contextlib.contextmanager
def alone(kind: str, subject: Mapping[str, Any]) -> Iterator[None]:
    """Keep other processes from measuring the same meanwhile, where the cache can be written."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(StoreError, OSError):  # a timeout is one
            lock = files.lock(_place(kind, subject).with_suffix(".lock"))
            stack.enter_context(lock.acquire(timeout=PATIENCE_SECONDS))
        yield


def _place(kind: str, subject: Mapping[str, Any]) -> Path:
    name = digest([FORMAT, kind, dict(subject)])[:24]
    return files.cache_folder() / "profiles" / f"{name}.json"


def _read(path: Path, kind: str, subject: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        told = [content["format"], content["kind"], content["subject"]]
        found = content["found"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    same = digest(told) == digest([FORMAT, kind, dict(subject)])
    return found if same and isinstance(found, dict) else None
