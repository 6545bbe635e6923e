"""What is odd about a dataset without making its numbers wrong; one line for each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from bench.inspection.items import Item
from bench.inspection.matching import Group
from bench.inspection.scanning import Scan
from bench.specs import Task
from bench.text import byte_size

LARGEST_RATIO = 10
"""Images of the largest class to one of the smallest, in train, beyond which classes are
imbalanced: by then, always answering the large one is right in nine of ten of such cases."""

FEWEST_IMAGES = 30
"""Images of a class in train below which there is too little to learn from."""

LARGEST_FILE = 6_000_000
"""Bytes beyond which reading a file takes longer than training on it."""

SMALLEST_EDGE = 256
"""Pixels of the shorter edge below which images are small, where no input size is known: models
for photographs take crops of 224 from images of 256."""

_EXAMPLES = 10
_SAME_FORMAT = {"MPO": "JPEG"}  # a JPEG with a second picture behind the first


@dataclass(frozen=True)
class Finding:
    """A warning.

    Attributes:
        kind: a word or two that stay the same between versions.
        count: how many images or classes it is about.
        message: the finding in a line.
        examples: the names of the first of them.
    """

    kind: str
    count: int
    message: str
    examples: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": self.kind,
            "count": self.count,
            "message": self.message,
            "examples": list(self.examples),
        }


def find_warnings(scan: Scan, groups: Sequence[Group], input_size: int | None) -> list[Finding]:
    """Return what is odd, the most severe first."""
    readable = [item for item in scan.items if not item.why]
    return [
        *_about_groups(scan, groups),
        *_about_classes(scan, readable),
        *_about_files(readable),
        *_about_pixels(readable, input_size),
    ]


def _about_groups(scan: Scan, groups: Sequence[Group]) -> Iterator[Finding]:
    unlike = [
        group
        for group in groups
        if not group.exact and len({item.labels for item in group.members}) > 1
    ]
    if unlike:
        yield Finding(
            "near duplicates with different labels",
            len(unlike),
            f"{_count(len(unlike), 'group')} of near duplicates with different labels; look at "
            "them, one of the labels may be wrong",
            _names([group.members[0] for group in unlike]),
        )
    # Copies of the same pixels are kept on one side of a split that is drawn.
    within = [g for g in groups if not g.exact and {i.split for i in g.members} == {"train"}]
    if scan.splits.test is None and within:
        yield Finding(
            "near duplicates without a test split",
            len(within),
            f"{_count(len(within), 'group')} of near duplicates, and no test split: the part of "
            "train that takes its place may get one of them and train another",
            _names([group.members[0] for group in within]),
        )


def _about_classes(scan: Scan, readable: Sequence[Item]) -> Iterator[Finding]:
    train = (item for item in readable if item.split == "train")
    counts = Counter(label for item in train for label in item.labels or ())
    if not counts:
        return
    by_class = {label: counts[label] for label in range(len(scan.classes))}
    few = sorted((n, label) for label, n in by_class.items() if n < FEWEST_IMAGES)
    if few:
        yield Finding(
            "few images",
            len(few),
            f"{_count(len(few), 'class', 'classes')} with fewer than {FEWEST_IMAGES} images in "
            f"train, the smallest with {few[0][0]:,}",
            [scan.classes[label] for _, label in few[:_EXAMPLES]],
        )
    present = {label: n for label, n in by_class.items() if n}
    if not present:
        return
    largest = max(present, key=lambda label: present[label])
    smallest = min(present, key=lambda label: present[label])
    ratio = present[largest] / present[smallest]
    if ratio > LARGEST_RATIO:
        share = (
            "" if scan.task is not Task.MULTI_LABEL else "; a label may be absent, so look at F1"
        )
        yield Finding(
            "imbalance",
            sum(present[largest] > LARGEST_RATIO * n for n in present.values()),
            f"{ratio:,.0f} images of the largest class to one of the smallest in train "
            f"({present[largest]:,} and {present[smallest]:,}){share}",
            [scan.classes[largest], scan.classes[smallest]],
        )


def _about_files(readable: Sequence[Item]) -> Iterator[Finding]:
    files = [item for item in readable if item.path is not None]
    formats = Image.registered_extensions()
    misnamed = []
    for item in files:
        assert item.path is not None
        claimed = formats.get(item.path.suffix.lower(), "")
        if _SAME_FORMAT.get(claimed, claimed) != _SAME_FORMAT.get(item.format, item.format):
            misnamed.append(item)
    yield from _of(misnamed, "wrong endings", "whose content is not what the ending says")
    animated = [item for item in files if item.frames > 1 and item.format != "MPO"]
    yield from _of(animated, "animations", "with several frames, of which the first counts")
    large = [item for item in files if item.size > LARGEST_FILE]
    if large:
        largest = max(item.size for item in large)
        yield from _of(
            large,
            "large files",
            f"over {byte_size(LARGEST_FILE)}, the largest of {byte_size(largest)}; smaller copies "
            "would be read faster",
        )
    turned = [item for item in files if item.turned]
    yield from _of(
        turned, "turned by EXIF", "turned upright by their EXIF orientation, which others ignore"
    )


def _about_pixels(readable: Sequence[Item], input_size: int | None) -> Iterator[Finding]:
    edge = input_size or SMALLEST_EDGE
    small = [item for item in readable if min(item.width, item.height) < edge]
    what = "the model's input of " if input_size else ""
    yield from _of(small, "small images", f"with a shorter edge under {what}{edge} pixels")
    modes = Counter(item.mode for item in readable)
    if len(modes) > 1:
        shown = ", ".join(f"{n:,} {mode}" for mode, n in modes.most_common())
        usual = modes.most_common(1)[0][0]
        odd = [item for item in readable if item.mode != usual]
        yield Finding("mixed modes", len(odd), f"modes are mixed: {shown}", _names(odd))
    sizes = Counter((item.width, item.height) for item in readable)
    if len(sizes) > 1:
        (width, height), most = sizes.most_common(1)[0]
        odd = [item for item in readable if (item.width, item.height) != (width, height)]
        yield Finding(
            "mixed sizes",
            len(odd),
            f"{len(sizes):,} sizes, the most common {width}×{height} ({most:,} images)",
            _names(odd),
        )


def _of(items: Sequence[Item], kind: str, what: str) -> Iterator[Finding]:
    if items:
        yield Finding(kind, len(items), f"{_count(len(items), 'image')} {what}", _names(items))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _names(items: Sequence[Item]) -> list[str]:
    return [item.name for item in items[:_EXAMPLES]]
