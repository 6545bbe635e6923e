"""What is wrong with a dataset: damage, duplicates, leaks, conflicts, and what to know of it.

Damage, leaks and conflicts make numbers wrong, so a dataset with any of them is broken. Duplicates
within a split and warnings are for a person to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.contact_sheet import contact_sheet
from bench.decoding import Pixels, fit, scaled_size
from bench.errors import BenchError, StoreError
from bench.inspection import telling
from bench.inspection.items import Item
from bench.inspection.matching import Group, find_groups
from bench.inspection.scanning import Scan, scan
from bench.inspection.warnings import Finding, find_warnings
from bench.intake import Progress
from bench.specs import Splits, Task

Kind = Literal["exact", "near"]

_SHEET_CELL = 256
_NAME_LENGTH = 36
_TRUSTED = ("test", "val", "train")


@dataclass(frozen=True)
class Pair:
    """Two images that are copies of each other; `a` stands for the group."""

    a: Item
    b: Item

    @property
    def kind(self) -> Kind:
        """Return `exact` where both have the same pixels, else `near`."""
        return "exact" if self.a.digest == self.b.digest else "near"


@dataclass(frozen=True)
class Inspection:
    """What was found in a dataset.

    Attributes:
        scan: the facts of all images.
        groups: duplicates, exact and near, within and across splits.
        warnings: what is odd, the most severe first.
    """

    scan: Scan
    groups: Sequence[Group]
    warnings: Sequence[Finding]

    @property
    def broken(self) -> bool:
        """Return whether images are unreadable, cross splits, or bear contradicting labels."""
        return bool(self.unreadable or self.leaks or self.conflicts)

    @property
    def unreadable(self) -> list[Item]:
        """Return the items that could not be decoded."""
        return [item for item in self.scan.items if item.why]

    @property
    def duplicates(self) -> list[Pair]:
        """Return each group's members against its first, leaks and conflicts among them."""
        return [Pair(group.members[0], item) for group in self.groups for item in group.members[1:]]

    @property
    def leaks(self) -> list[Pair]:
        """Return copies in another split, each against its original in the group's first split."""
        pairs = []
        for group in self.groups:
            first = [item for item in group.members if item.split == group.members[0].split]
            for item in group.members[len(first) :]:
                same = [original for original in first if original.digest == item.digest]
                pairs.append(Pair((same or first)[0], item))
        return pairs

    @property
    def conflicts(self) -> list[Pair]:
        """Return images with the same pixels and other labels than their group's first.

        Near duplicates are no conflict but a warning: before and after a crack, a part on a
        conveyor looks nearly the same and is rightly labelled otherwise.
        """
        pairs = []
        for members in self._exact_groups():
            pairs += [Pair(members[0], m) for m in members if m.labels != members[0].labels]
        return pairs

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as `bench data check --json` prints it."""
        text = self.scan.label_text
        return {
            "schema": 1,
            "files": len(self.scan.items),
            "unreadable": [{"path": item.name, "why": item.why} for item in self.unreadable],
            "duplicates": [_plain(pair) for pair in self.duplicates],
            "leaks": [_plain(pair) for pair in self.leaks],
            "conflicts": [
                {"a": pair.a.name, "b": pair.b.name, "labels": [text(pair.a), text(pair.b)]}
                for pair in self.conflicts
            ],
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def answer(self) -> str:
        """Return in a line whether the dataset is broken, and what repeats in it."""
        total = len(self.scan.items)
        exact = self._exact_groups()
        near = [pair for pair in self.duplicates if pair.kind == "near"]
        parts = []
        if self.unreadable:
            parts.append(f"{len(self.unreadable):,} cannot be read")
        if exact:
            times = "twice" if all(len(members) == 2 for members in exact) else "more than once"
            unlike = [len({item.labels for item in members}) for members in exact]
            single = self.scan.task is not Task.MULTI_LABEL and max(unlike) == 2
            labels = "two labels" if single else "different labels"
            text = f"{len(exact):,} {'comes' if len(exact) == 1 else 'come'} {times}"
            text += _of_them(sum(count > 1 for count in unlike), len(exact), f"under {labels}")
            crossing = sum(len({item.split for item in members}) > 1 for members in exact)
            parts.append(text + _of_them(crossing, len(exact), "in more than one split"))
        if near:
            text = f"{len(near):,} nearly {'repeats' if len(near) == 1 else 'repeat'} another"
            crossing = sum(pair.kind == "near" for pair in self.leaks)
            parts.append(text + _of_them(crossing, len(near), "in another split"))
        whole = f"{total:,} {'image' if total == 1 else 'images'}"
        if not parts:
            return f"sound: {whole}, all of them readable, none twice"
        return f"{'broken' if self.broken else 'sound'}: of {whole}, {'; '.join(parts)}"

    def summary(self) -> list[tuple[str, int, list[str]]]:
        """Return a row for each kind of finding: what, how many, the first examples.

        Duplicates are counted here unless they stand among conflicts and leaks already. A warning
        that is about all images names none of them.
        """
        return telling.rows(self.to_dict(), {item.name: item.split for item in self.scan.items})

    def fix_list(self) -> list[str]:
        """Return the names of items to leave out; without them the dataset is not broken.

        Left out are unreadable items and all copies that contradict each other, since nobody here
        knows which label is right. Of other duplicates one of each label stays, in the split that
        is hardest to replace: test before val before train. Taking a leaked image from train costs
        one example; taking it from test would change what is measured, and every number that was
        ever reported on that test split with it.
        """
        out = {item.name for item in self.unreadable}
        for members in self._exact_groups():
            if any(member.labels != members[0].labels for member in members):
                out.update(member.name for member in members)
        for group in self.groups:
            rest = [item for item in group.members if item.name not in out]
            splits = {item.split for item in rest}
            kept = next((split for split in _TRUSTED if split in splits), None)
            labels = set()
            for item in rest:
                if item.split != kept or item.labels in labels:
                    out.add(item.name)
                else:
                    labels.add(item.labels)
        return [item.name for item in self.scan.items if item.name in out]

    def write_pictures(self, folder: Path, *, limit: int = 24) -> list[Path]:
        """Write contact sheets of what was found, both copies side by side.

        Args:
            folder: where to; it is made.
            limit: how many pairs a sheet shows at most, the first ones.

        Returns:
            The files written: `conflicts.png`, `leaks.png`, `near-duplicates.png` and
            `exact-duplicates.png`, each only where there is something to show.

        Raises:
            StoreError: the folder cannot be written.
        """
        near = [pair for pair in self.duplicates if pair.kind == "near"]
        # Pairs of one label first are the less telling ones.
        near.sort(key=lambda pair: pair.a.labels == pair.b.labels)
        sheets = {
            "conflicts": self.conflicts,
            "leaks": self.leaks,
            "near-duplicates": near,
            "exact-duplicates": [pair for pair in self.duplicates if pair.kind == "exact"],
        }
        written = []
        for name, pairs in sheets.items():
            if not pairs:
                continue
            title = f"{name.replace('-', ' ')}: {len(pairs):,}"
            if len(pairs) > limit:
                title += f", the first {limit:,} of them"
            items = [item for pair in pairs[:limit] for item in (pair.a, pair.b)]
            sheet = contact_sheet(
                [self._picture(item) for item in items],
                [self._caption(item) for item in items],
                cell=_SHEET_CELL,
                pairs=True,
                title=title,
            )
            path = folder / f"{name}.png"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                sheet.save(path)
            except OSError as error:
                raise StoreError(
                    f"cannot write `{path}`: {error.strerror or error}; name another folder"
                ) from error
            written.append(path)
        return written

    def _exact_groups(self) -> list[list[Item]]:
        found = []
        for group in self.groups:
            by_digest: dict[bytes, list[Item]] = {}
            for item in group.members:
                by_digest.setdefault(item.digest, []).append(item)
            found += [members for members in by_digest.values() if len(members) > 1]
        return found

    def _picture(self, item: Item) -> Pixels:
        """Return a picture that is no larger than it will be drawn."""
        try:
            pixels = self.scan.pixels(item)
        except BenchError:  # it was there a minute ago; an empty place is better than no sheet
            return np.zeros((0, 0), np.uint8)
        if max(pixels.shape[:2]) <= _SHEET_CELL:
            return pixels
        height, width = scaled_size(pixels.shape[0], pixels.shape[1], _SHEET_CELL, "pad")
        top, left = (_SHEET_CELL - height) // 2, (_SHEET_CELL - width) // 2
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        fitted = fit(pixels, _SHEET_CELL, "pad")
        return fitted[top : top + height, left : left + width]

    def _caption(self, item: Item) -> str:
        name = item.name
        if len(name) > _NAME_LENGTH:  # a path's end tells more than its beginning
            name = "…" + name[1 - _NAME_LENGTH :]
        # Folded here, since a line break in a name would start another line of the caption.
        name = " ".join(name.split())
        return f"{self.scan.label_text(item) or 'no label'}\n{name}\n{item.split}"


def inspect(
    splits: Splits,
    *,
    scanned: Scan | None = None,
    near: bool = True,
    input_size: int | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Inspection:
    """Look at every image of a dataset and say what is wrong with it.

    Args:
        splits: what a dataset's `load` returned.
        scanned: what `scan` made of the same splits, if it was called already.
        near: look for near duplicates as well as exact ones. Turn it off where all pictures are
            alike by nature, as from a camera that never moves.
        input_size: height and width of what a model will get, pixels; smaller images are warned of.
        progress: called after each image with the number done and the number of all.
        threads: how many decode at a time; as many as there are processors by default.

    Raises:
        PluginError: a split has no form that is known, or not as many labels as images.
    """
    if scanned is None:
        scanned = scan(splits, progress=progress, threads=threads)
    groups = find_groups(scanned, near=near)
    return Inspection(scanned, groups, find_warnings(scanned, groups, input_size))


def _plain(pair: Pair) -> dict[str, str]:
    return {"a": pair.a.name, "b": pair.b.name, "kind": pair.kind}


def _of_them(count: int, total: int, what: str) -> str:
    """Return what part of some images something holds of, as the end of a clause."""
    if not count:
        return ""
    if total == 1:
        return f", {what}"
    return f", {f'{count:,}' if count < total else 'all'} of them {what}"
