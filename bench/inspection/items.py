"""What one look at one image tells."""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.decoding import Pixels, UnreadableImage, read_header
from bench.errors import BenchError
from bench.parts import FilesPart, Part
from bench.text import one_line

THUMBNAIL = 32
"""Height and width of the thumbnails by which near duplicates are found, pixels."""

Labels = tuple[int, ...]

_EXIF_ORIENTATION = 0x0112
_WITH_EXIF = ("JPEG", "MPO", "TIFF")


@dataclass(frozen=True, slots=True)
class Item:
    """What is kept of one image.

    Attributes:
        split: `train`, `val`, `test` or `unlabelled`.
        index: its place in the split.
        name: what reports call it; no two items of a dataset have the same.
        labels: its one label, or all that apply to it in a multi-label task; None if unlabelled.
        path: the file, if it is one.
        why: why it cannot be read; empty if it can, and only then what follows is filled in.
        width: pixels, after the EXIF orientation is applied.
        height: likewise.
        mode: Pillow's mode, for example `RGB`.
        format: Pillow's name of the file's format; empty where there is no file.
        frames: more than 1 for an animation.
        size: bytes of the file.
        turned: whether its EXIF orientation turns or mirrors it.
        digest: hash of the decoded pixels; equal for a gray image and its copy in RGB.
    """

    split: str
    index: int
    name: str
    labels: Labels | None
    path: Path | None = None
    why: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    frames: int = 1
    size: int = 0
    turned: bool = False
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Look:
    """An item, whether its label is a row of 0 and 1, and its thumbnail where it is readable."""

    item: Item
    multi_label: bool
    thumbnail: Pixels | None


def look(part: Part, split: str, index: int) -> Look:
    """Read an item of a split; what cannot be read is reported, not raised."""
    label: Any = part.labels[index] if part.labels is not None else None
    name, path = f"{split}[{index}]", None
    if isinstance(part, FilesPart):
        name, path = part.name(index), Path(part.files.paths[index])
    item = Item(split, index, name, _labels(label), path)
    try:
        facts = _header(path) if path is not None else {}
        pixels, label = part.read(index)
        item = replace(item, labels=_labels(label))
        seen, thumbnail = _seen(item, pixels, facts)
        return Look(seen, np.ndim(label) == 1, thumbnail)
    except Exception as error:  # a picture's decoder or a plugin's dataset may raise anything
        why = _why_unreadable(error, f"{part.where}: {part.name(index)} ")
        return Look(replace(item, why=why), np.ndim(label) == 1, None)


def _labels(label: Any) -> Labels | None:
    if label is None:
        return None
    if np.ndim(label):
        return tuple(int(i) for i in np.flatnonzero(label))
    return (operator.index(label),)


def _header(path: Path) -> dict[str, Any]:
    header = read_header(path)
    return {
        "mode": header.mode,
        "format": header.format,
        "frames": header.frames,
        "size": path.stat().st_size,
        "turned": header.format in _WITH_EXIF and _turned(path),
    }


def _seen(item: Item, pixels: Pixels, facts: dict[str, Any]) -> tuple[Item, Pixels]:
    facts = {"mode": "RGB" if pixels.ndim == 3 else "L"} | facts
    # Gray stored as colour is the same picture: one copy in PNG, one in JPEG, as often as not.
    if pixels.ndim == 3 and _is_gray(pixels):
        pixels = pixels[..., 0]
    pixels = np.ascontiguousarray(pixels)
    hasher = hashlib.sha256(str(pixels.shape).encode())
    hasher.update(pixels.data)
    image = Image.fromarray(pixels).convert("L")
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    height, width = pixels.shape[:2]
    item = replace(item, width=width, height=height, digest=hasher.digest()[:16], **facts)
    return item, np.asarray(small)


def _is_gray(pixels: Pixels) -> bool:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    # The middle row first: nearly every colour picture is told by it.
    middle = len(pixels) // 2
    if not np.array_equal(red[middle], green[middle]):
        return False
    return np.array_equal(red, green) and np.array_equal(red, blue)


def _turned(path: Path) -> bool:
    with Image.open(path) as image:
        return image.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)


def _why_unreadable(error: Exception, subject: str) -> str:
    """Return what to say of an image that raised this, without what its message calls it."""
    if isinstance(error, UnreadableImage):
        return error.why
    text = str(error)
    if isinstance(error, BenchError) and text.startswith(subject):
        return one_line(text.removeprefix(subject), 160)
    return f"cannot be read: {one_line(f'{type(error).__name__}: {error}', 160)}"
