"""The pictures of a report: each once, as a small file, within a budget of bytes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from bench.report.content import Image

BUDGET = 900_000
"""Bytes of all files: a third more in base64, which leaves room for charts in 3 MB."""
PHOTOGRAPH = 48
"""Pixels of the longer edge from which pictures in colour are stored with losses: below it a PNG
is hardly larger, and blocks of such files would show."""
QUALITY, EFFORT = 75, 2
"""Of WebP files: 0 to 100, and 0 to 6; more effort takes four times as long for a tenth less."""
LEVELS = 32
"""Of the colours of a map that is laid over a picture."""
OPACITY = 0.65
"""Of a map: both what it says and what it lies on can be seen."""
HEAT = ((0.0, 15, 10, 60), (0.35, 125, 30, 110), (0.65, 225, 75, 55), (1.0, 255, 240, 90))
"""Colours of a map, from where it says nothing to where it says most: the brighter, the more, so
that it can be read without seeing colours."""

Pixels = npt.NDArray[np.uint8]


class Shelf:
    """Collects the pictures of a report.

    Attributes:
        images: by key, which follows from the content.
        left_out: how many pictures found no room.
    """

    def __init__(self, budget: int = BUDGET, parts: int = 1) -> None:
        """Set how much there is room for.

        Args:
            budget: bytes of all files.
            parts: how many shares parts of a report will ask for by `part`; all are equal.
        """
        self.images: dict[str, Image] = {}
        self.left_out = 0
        self._budget = budget
        self._parts = parts
        self._used = 0
        self._limit = budget

    @contextlib.contextmanager
    def part(self, shares: int = 1) -> Iterator[None]:
        """Keep one part of a report from taking the room of those that follow.

        Args:
            shares: of what is left that it may take; 0 of a part that has no pictures.
        """
        left = self._budget - self._used
        self._limit = self._used + left * shares // max(1, self._parts)
        try:
            yield
        finally:
            self._parts -= shares
            self._limit = self._budget

    def put(self, pixels: Pixels) -> str | None:
        """Return the key of a picture; None where it has no room.

        Args:
            pixels: (h, w), (h, w, 1) or (h, w, 3) uint8.

        Raises:
            ValueError: they are no such picture.
        """
        flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        gray = flat.ndim == 2
        if flat.dtype != np.uint8 or not (gray or flat.shape[2:] == (3,)) or not flat.size:
            raise ValueError(f"no picture: {pixels.dtype} of shape {pixels.shape}")
        lossless = gray or max(flat.shape[:2]) < PHOTOGRAPH
        return self._put(Pillow.fromarray(np.ascontiguousarray(flat)), lossless=lossless)

    def put_map(self, values: Pixels) -> str | None:
        """Return the key of a picture to be laid over another; None where it has no room.

        Args:
            values: (h, w) uint8, 255 where most.
        """
        image = Pillow.fromarray((values.astype(np.uint16) * LEVELS // 256).astype(np.uint8), "P")
        image.putpalette(_palette())
        return self._put(image, lossless=True, transparency=bytes([round(255 * OPACITY)] * LEVELS))

    def _put(self, image: Pillow.Image, *, lossless: bool, **how: bytes) -> str | None:
        told = repr((image.mode, image.size, lossless, sorted(how.items()))).encode()
        key = "i" + hashlib.sha256(told + image.tobytes()).hexdigest()[:15]
        if key in self.images:
            return key
        buffer = io.BytesIO()
        if lossless:
            image.save(buffer, "PNG", optimize=True, **how)
        else:
            image.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
        data = buffer.getvalue()
        if self._used + len(data) > self._limit:
            self.left_out += 1
            return None
        self._used += len(data)
        media = "image/png" if lossless else "image/webp"
        self.images[key] = Image(data, media, *image.size)
        return key


@functools.cache
def _palette() -> bytes:
    """Return the colours of the levels of a map."""
    shares, *colors = np.array(HEAT).T
    places = np.arange(LEVELS) / (LEVELS - 1)
    palette = np.stack([np.interp(places, shares, color) for color in colors], 1)
    return palette.round().astype(np.uint8).tobytes()
