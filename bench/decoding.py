"""From image files to uint8 arrays: what is read, what is refused, how it is brought to size.

Pillow decodes. A file counts as readable only once all of it was decoded: `verify` passes on half
a JPEG. What a file shows is what a person would see in it: turned by its EXIF orientation, with
transparent parts laid over white, and of an animation the first frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from bench.errors import DataError
from bench.text import byte_size, one_line

Pixels = npt.NDArray[np.uint8]
Resize = Literal["crop", "squash", "pad"]
Interpolation = Literal["bilinear", "bicubic"]

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)
"""Endings of the files that are taken for images, in lower case."""

GRAY_MODES = frozenset(("1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N"))
_KERNELS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)

# Set once, since files are decoded by several threads, which share the filters. A large photograph
# is no attack (twice Pillow's limit is an error), and odd EXIF data are no news to a user.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class UnreadableImage(DataError):
    """A file that is no image, or not a whole one.

    Attributes:
        path: the file.
        why: what is wrong with it.
    """

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"`{path}` {why}")


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before it is decoded.

    Attributes:
        width: pixels, after the EXIF orientation is applied.
        height: likewise.
        mode: Pillow's mode, for example `RGB`, `L`, `P`, `CMYK`.
        format: Pillow's name of the format, for example `JPEG`.
        frames: more than 1 for an animation.
    """

    width: int
    height: int
    mode: str
    format: str
    frames: int = 1

    @property
    def gray(self) -> bool:
        """Return whether it is decoded to one channel."""
        return self.mode in GRAY_MODES


def read_header(path: Path) -> Header:
    """Return what a file says of itself; the pixels are not read.

    Raises:
        UnreadableImage: it is no image.
    """
    with _opened(path) as image:
        width, height = image.size
        # A PNG would be decoded to look for EXIF data behind its pixels.
        told = image.format != "PNG" or "exif" in image.info
        if told and image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS:
            width, height = height, width
        frames = int(getattr(image, "n_frames", 1))
        return Header(width, height, image.mode, image.format or "", frames)


def read_image(path: Path) -> Pixels:
    """Return a file's pixels, (H, W) where it is gray, else (H, W, 3).

    Raises:
        UnreadableImage: it is no image, or not a whole one; the message names the file.
    """
    with _opened(path) as image:
        return to_pixels(image)


def to_pixels(image: Image.Image) -> Pixels:
    """Return the pixels of an open image, (H, W) where it is gray, else (H, W, 3).

    Raises:
        ValueError: a picture of floats, or of more than 16 bits.
        OSError: it is not whole.
    """
    # Another library may have turned this on: half a picture would then pass as a whole one.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return _eight_bits(np.asarray(image), image.mode)
    if image.mode == "F":
        raise ValueError("holds floats, which have no fixed range; make it a picture of 8 bits")
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return np.asarray(image.convert("L"))
    gray = image.mode in ("1", "L")
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return np.asarray(image.convert("L" if gray else "RGB"))


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """Return pixels as (H, W, channels): gray is repeated, colour weighted by ITU-R 601-2."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if channels == 1:
        if pixels.ndim == 3:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))
        return pixels[..., None]
    return np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels


def fit(
    pixels: Pixels, size: int, resize: Resize, interpolation: Interpolation = "bilinear"
) -> Pixels:
    """Return pixels (H, W) or (H, W, 3) brought to `size` by `size`, antialiased.

    `crop`: the shorter edge resized, the centre cut. `squash`: both edges resized, whatever that
    does to shapes. `pad`: the longer edge resized, black borders at both sides of the other.
    """
    height, width = pixels.shape[:2]
    scaled = scaled_size(height, width, size, resize)
    top, left = (abs(edge - size) // 2 for edge in scaled)
    if resize == "crop":
        if (height, width) == scaled:
            return pixels[top : top + size, left : left + size]
        # Only what will be left is resized, from where it lies in the larger image.
        down, across = height / scaled[0], width / scaled[1]
        box = (left * across, top * down, (left + size) * across, (top + size) * down)
        return _scaled(pixels, (size, size), interpolation, box)
    if (height, width) != scaled:
        pixels = _scaled(pixels, scaled, interpolation)
    if resize == "squash":
        return pixels
    canvas = np.zeros((size, size, *pixels.shape[2:]), np.uint8)
    canvas[top : top + scaled[0], left : left + scaled[1]] = pixels
    return canvas


def _scaled(
    pixels: Pixels,
    size: tuple[int, int],
    interpolation: Interpolation,
    box: tuple[float, float, float, float] | None = None,
) -> Pixels:
    image = Image.fromarray(pixels)
    return np.asarray(image.resize(size[::-1], _KERNELS[interpolation], box))


def scaled_size(height: int, width: int, size: int, resize: Resize) -> tuple[int, int]:
    """Return height and width after scaling, before cropping or padding."""
    if resize == "squash":
        return size, size
    if resize == "crop":
        scale = size / min(height, width)
        return max(size, round(height * scale)), max(size, round(width * scale))
    scale = size / max(height, width)
    return min(size, max(1, round(height * scale))), min(size, max(1, round(width * scale)))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; whatever its decoder raises names the file."""
    try:
        with Image.open(path) as image:
            yield image
    except UnreadableImage:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage(path, "is not there") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, "has too many pixels; is it a decompression bomb?") from error
    except Exception as error:  # a decoder may raise anything on damaged data
        raise UnreadableImage(path, _why(path, error)) from error


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError | IsADirectoryError):
        return f"cannot be read: {error.strerror}"
    try:
        size = path.stat().st_size
    except OSError:
        return f"cannot be read: {one_line(str(error))}"
    if size == 0:
        return "is empty"
    if isinstance(error, UnidentifiedImageError):
        return f"is no image that Pillow knows ({byte_size(size)})"
    if isinstance(error, ValueError) and str(error).startswith("holds "):
        return str(error)
    return f"is damaged: {one_line(str(error) or type(error).__name__, 120)}"


def _eight_bits(values: npt.NDArray[Any], mode: str) -> Pixels:
    """Return the upper byte of 16-bit gray values; Pillow would cut everything above 255.

    Of 32-bit files, those that use 8 bits only are taken as they are.
    """
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise ValueError("holds more than 16 bits a pixel; make it a picture of 8 bits")
    if mode == "I" and values.size and values.max() <= 0xFF:
        return values.astype(np.uint8)
    return (values >> 8).astype(np.uint8)
