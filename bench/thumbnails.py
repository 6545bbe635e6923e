"""Pictures made small, and many small pictures packed into few bytes.

Drawings and small images are packed as they are. Photographs, which hardly get smaller that way,
become the tiles of one JPEG sheet, of the highest quality that has room.
"""

from __future__ import annotations

import io
import math
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

EDGE = 96
"""Pixels that a thumbnail is high and wide at most."""
MOST = 1024
"""Pictures that are packed together at most."""

_ATTEMPTS = ((EDGE, 88), (EDGE, 75), (EDGE, 60), (64, 75), (64, 60), (48, 60), (32, 50), (16, 40))
"""Edge and JPEG quality, the best first."""
_BLOCK = 16
"""Tiles begin where JPEG's blocks do, so that none shows a trace of its neighbours."""
_TRIED = 8


def shrunk(images: Pixels, edge: int = EDGE) -> Pixels:
    """Return images (P, H, W, C) at most `edge` high and wide, in their proportions.

    C is 1 or 3. What is small enough already stays as it is.
    """
    height, width = images.shape[1:3]
    longest = max(height, width)
    if longest <= edge:
        return images
    size = (max(1, round(width * edge / longest)), max(1, round(height * edge / longest)))
    small = [
        np.asarray(_picture(each).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
        for each in images
    ]
    return np.array(small, np.uint8).reshape(len(images), size[1], size[0], images.shape[3])


def pack(images: Pixels, room: int) -> tuple[Pixels, dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Pack thumbnails (P, h, w, C) into about `room` bytes.

    Returns:
        The thumbnails, smaller ones where there is no room for these; the arrays to store; and
        what `unpack` has to know of them.
    """
    if _deflated(images) <= room:
        return images, {"images": images}, {"shape": list(images.shape)}
    for edge, quality in _ATTEMPTS:
        small = shrunk(images, edge)
        sheet = _sheet(small, quality)
        if len(sheet) <= room:
            break
    stored = {"sheet": np.frombuffer(sheet, np.uint8)}
    return small, stored, {"shape": list(small.shape)}


def unpack(arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Pixels:
    """Return what `pack` has packed, (P, h, w, C).

    Raises:
        ValueError: it is not what `pack` makes.
    """
    shape = about.get("shape")
    if not (isinstance(shape, list) and len(shape) == 4 and all(type(n) is int for n in shape)):
        raise ValueError("its pictures have no shape")
    count, height, width, channels = shape
    sizes = 0 <= count <= MOST and 0 < height <= EDGE and 0 < width <= EDGE
    if not sizes or channels not in (1, 3):
        raise ValueError("its pictures are of another size")
    if "images" in arrays:
        images = arrays["images"]
    elif "sheet" in arrays and count:
        images = _tiles(arrays["sheet"].tobytes(), (count, height, width, channels))
    else:
        raise ValueError("it has no pictures")
    if images.shape != (count, height, width, channels) or images.dtype != np.uint8:
        raise ValueError("its pictures are not of the shape that they are said to be of")
    return images


def _picture(pixels: Pixels) -> Image.Image:
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(pixels))


def _deflated(images: Pixels) -> float:
    """Return about how many bytes images take when they are packed as they are."""
    if not len(images):
        return 0
    tried = images[:: math.ceil(len(images) / _TRIED)]
    return len(zlib.compress(tried.tobytes(), 6)) * len(images) / len(tried)


def _grid(count: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return columns, rows, and the height and width that a tile has room for."""
    columns = math.ceil(math.sqrt(count))
    high, wide = (-(-edge // _BLOCK) * _BLOCK for edge in (height, width))
    return columns, math.ceil(count / columns), high, wide


def _sheet(images: Pixels, quality: int) -> bytes:
    count, height, width, channels = images.shape
    columns, rows, high, wide = _grid(count, height, width)
    # The edge goes on in what a tile does not fill, as JPEG likes it.
    full = ((0, columns * rows - count), (0, high - height), (0, wide - width), (0, 0))
    tiles = np.pad(images, full, mode="edge").reshape(rows, columns, high, wide, channels)
    sheet = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * high, columns * wide, channels)
    buffer = io.BytesIO()
    _picture(sheet).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _tiles(content: bytes, shape: tuple[int, int, int, int]) -> Pixels:
    count, height, width, channels = shape
    columns, rows, high, wide = _grid(count, height, width)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of more pixels than anybody needs
            with Image.open(io.BytesIO(content), formats=("JPEG",)) as opened:
                if opened.size != (columns * wide, rows * high):
                    raise ValueError("they are not of the shape that they are said to be of")
                sheet = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
    except Exception as error:  # a decoder has many ways of refusing
        raise ValueError(f"its pictures cannot be read: {error}") from error
    tiles = sheet.reshape(rows, high, columns, wide, channels).transpose(0, 2, 1, 3, 4)
    flat = tiles.reshape(rows * columns, high, wide, channels)[:count, :height, :width]
    return np.ascontiguousarray(flat)
