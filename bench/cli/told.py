"""What `bench predict` leaves: a table row by row, and a contact sheet of some of the images."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from bench import decoding, files
from bench.cli.common import check_picture, save_picture
from bench.contact_sheet import contact_sheet
from bench.decoding import Pixels
from bench.errors import DataError
from bench.inbox import Picture
from bench.text import one_line
from bench.verdicts import Judge, Verdict

SHEET_IMAGES = 60
"""Pictures on a contact sheet, at most: evenly spaced among all."""
NAMED = 3
"""Files that could not be read of which each is named; of others the number is told."""
_EDGE = 256
"""Longest edge, pixels, at which pictures wait for the contact sheet."""


@contextlib.contextmanager
def table(output: Path | None, *, printed: bool) -> Iterator[IO[str] | None]:
    """Open the table: a file that is there once it is whole, else stdout, unless that is taken."""
    if output is None:
        yield sys.stdout if printed else None
        return
    with files.atomic_open(output) as file:
        # Names of files may hold what is no character at all.
        text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        try:
            yield text
            text.flush()
        finally:
            with contextlib.suppress(OSError):
                text.detach()


class Drawing:
    """A contact sheet that is filled while predictions come in.

    Attributes:
        output: the picture's file.
    """

    def __init__(self, output: Path) -> None:
        check_picture(output)
        self.output = output
        self._pictures: list[Pixels] = []
        self._captions: list[str] = []

    def add(self, picture: Picture, caption: str) -> None:
        """Put an image on the sheet; it is kept small, whatever its size."""
        pixels = decoding.read_image(picture.path)
        if max(pixels.shape[:2]) > _EDGE:
            small = Image.fromarray(pixels)
            small.thumbnail((_EDGE, _EDGE))
            pixels = np.asarray(small)
        self._pictures.append(pixels)
        self._captions.append(f"{caption}\n{picture.path.name}")

    def save(self, title: str, count: int) -> None:
        """Draw what was added.

        Args:
            title: what stands above.
            count: how many images were predicted.
        """
        if not self._pictures:
            raise DataError(f"`{self.output}` is not drawn: no image could be read")
        shown = len(self._pictures)
        what = f"{shown:,} of {count:,} images" if shown < count else f"{count:,} images"
        sheet = contact_sheet(self._pictures, self._captions, title=f"{title}: {what}")
        save_picture(sheet, self.output)


class Told:
    """What was predicted so far, handed on row by row in the order of the images.

    Attributes:
        done: images that were looked at.
        bad: by place, what is wrong with those that could not be read.
        rows: what was said, as plain data, where it is to be kept.
    """

    def __init__(
        self,
        judge: Judge,
        pictures: Sequence[Picture],
        file: IO[str] | None,
        drawing: Drawing | None,
        *,
        keep: bool,
    ) -> None:
        self.done = 0
        self.bad: dict[int, str] = {}
        self.rows: list[dict[str, Any]] = []
        self._judge = judge
        self._pictures = pictures
        self._drawing = drawing
        self._keep = keep
        shown = min(len(pictures), SHEET_IMAGES)
        self._shown = {*np.linspace(0, len(pictures) - 1, shown).round().astype(int).tolist()}
        self._write = None if file is None else csv.writer(file, lineterminator="\n").writerow
        if self._write is not None:
            self._write(judge.columns())

    @property
    def predicted(self) -> int:
        """Return how many images something was said of."""
        return self.done - len(self.bad)

    def receive(self, report: dict[str, Any]) -> None:
        """Take what a worker reports of a batch."""
        self.bad |= report["bad"]
        places = range(report["first"], report["first"] + len(report["probabilities"]))
        for place, probabilities in zip(places, report["probabilities"], strict=True):
            if place not in self.bad:
                picture = self._pictures[place]
                verdict = self._judge.say(np.array(probabilities))
                self._tell(picture.name, verdict)
                if self._drawing is not None and place in self._shown:
                    self._drawing.add(picture, self._judge.caption(verdict))
        self.done = places.stop

    def _tell(self, name: str, verdict: Verdict) -> None:
        if self._write is not None:
            self._write(self._judge.cells(name, verdict))
        if self._keep:
            self.rows.append(self._judge.plain(name, verdict))

    def skipped(self) -> list[dict[str, str]]:
        """Return the images that could not be read, and why."""
        return [
            {"path": self._pictures[place].name, "why": self.bad[place]}
            for place in sorted(self.bad)
        ]

    def complaints(self) -> Iterator[str]:
        """Yield what to say of images that could not be read."""
        skipped = self.skipped()
        for each in skipped[:NAMED]:
            yield one_line(f"`{each['path']}` {each['why']}; it is left out")
        if len(skipped) > NAMED:
            yield f"{len(skipped) - NAMED} more files cannot be read and are left out"
