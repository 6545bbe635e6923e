"""Many small pictures on one: a labelled grid to look at, drawn with Pillow alone.

Pictures are never distorted. Small ones are enlarged by a whole factor without smoothing, so that
every pixel of a digit can be counted; large ones are reduced. Captions are plain text: whatever
stands in a file's name can neither break the grid nor the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from bench.text import one_line

if TYPE_CHECKING:
    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MARGIN = 12
"""Pixels around the sheet, and between frames."""
PADDING = 5
"""Pixels between a frame and what stands in it, and between the two pictures of a pair."""
LINES = 3
"""How many lines a caption can have."""

_WIDEST = 2400
_FONT_SIZE = 12
_TITLE_SIZE = 17
_PAPER, _FRAME, _BEHIND = (255, 255, 255), (196, 199, 204), (240, 241, 243)
_INK, _FAINT = (28, 30, 34), (96, 100, 108)


def contact_sheet(
    images: Sequence[npt.NDArray[np.uint8]],
    captions: Sequence[str],
    columns: int | None = None,
    cell: int = 128,
    pairs: bool = False,
    title: str = "",
) -> Image.Image:
    """Draw pictures in a grid, each with its caption below.

    Args:
        images: uint8, (H, W), (H, W, 1) or (H, W, 3), of any sizes.
        captions: one for each image; a line break starts its next line, of three at most, and a
            line too wide for its cell ends in an ellipsis.
        columns: frames in a row; by default about as many as make the sheet wider than high.
        cell: height and width of the room for a picture, pixels.
        pairs: put images 0 and 1, 2 and 3 and so on side by side in one frame.
        title: a line above the grid.

    Raises:
        ValueError: a picture of another form, no caption for each, or half a pair.
    """
    if len(images) != len(captions):
        raise ValueError(f"{len(images)} images have {len(captions)} captions; one each is needed")
    if pairs and len(images) % 2:
        raise ValueError(f"{len(images)} images make no pairs; an even number is needed")
    if cell < 1 or (columns is not None and columns < 1):
        raise ValueError(f"cell is {cell} and columns {columns}; 1 or more is needed")
    per_frame = 2 if pairs else 1
    frames = len(images) // per_frame
    font, title_font = _font(_FONT_SIZE), _font(_TITLE_SIZE)
    texts = [_lines(caption) for caption in captions]
    line_height = _height(font)
    text_height = max(map(len, texts), default=0) * line_height
    width = per_frame * (cell + PADDING) + PADDING
    height = cell + 2 * PADDING + (text_height + PADDING if text_height else 0)
    if columns is None:
        fitting = max(1, (_WIDEST - MARGIN) // (width + MARGIN))
        columns = min(fitting, math.ceil(math.sqrt(frames * 1.5 * height / width)))
    columns = max(1, min(columns, frames))
    rows = math.ceil(frames / columns)
    title = one_line(_drawable(title, title_font))
    top = MARGIN + (_height(title_font) + MARGIN if title else 0)
    sheet_width = MARGIN + columns * (width + MARGIN)
    if title:  # a narrow sheet is widened for its title, within reason
        wanted = math.ceil(title_font.getlength(title)) + 2 * MARGIN
        sheet_width = max(sheet_width, min(wanted, 600))
    sheet = Image.new("RGB", (sheet_width, top + rows * (height + MARGIN)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        shown = _shortened(title, title_font, sheet_width - 2 * MARGIN)
        draw.text((MARGIN, MARGIN), shown, fill=_INK, font=title_font)
    for index, (image, lines) in enumerate(zip(images, texts, strict=True)):
        frame, place = divmod(index, per_frame)
        row, column = divmod(frame, columns)
        left, upper = MARGIN + column * (width + MARGIN), top + row * (height + MARGIN)
        if place == 0:
            draw.rectangle((left, upper, left + width - 1, upper + height - 1), outline=_FRAME)
        left, upper = left + PADDING + place * (cell + PADDING), upper + PADDING
        draw.rectangle((left, upper, left + cell - 1, upper + cell - 1), fill=_BEHIND)
        picture = _scaled(image, cell)
        if picture is not None:
            corner = (cell - picture.width) // 2, (cell - picture.height) // 2
            sheet.paste(picture, (left + corner[0], upper + corner[1]))
        for number, line in enumerate(lines):
            at = (left, upper + cell + PADDING + number * line_height)
            shown = _shortened(_drawable(line, font), font, cell)
            draw.text(at, shown, fill=_FAINT if number else _INK, font=font)
    return sheet


def _scaled(pixels: npt.NDArray[Any], cell: int) -> Image.Image | None:
    """Return a picture that fits into a square of `cell`; None where it has no pixels."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(
            f"an image is {pixels.dtype} of shape {pixels.shape}; "
            "uint8 of (H, W) or (H, W, 3) is needed"
        )
    height, width = pixels.shape[:2]
    if not pixels.size:
        return None
    # Colour in any case: a gray picture pasted as it is would be taken for a mask's values.
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    longest = max(height, width)
    if longest <= cell:
        factor = cell // longest
        return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    scale = cell / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _lines(caption: str) -> list[str]:
    # Cut before anything else: a caption may be of any length.
    lines = [one_line(line[:1000]) for line in caption[:4000].split("\n")[:LINES]]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _font(size: int) -> Font:
    try:
        return ImageFont.load_default(size)
    except ImportError:  # Pillow without FreeType has only its small bitmap font
        return ImageFont.load_default()


def _height(font: Font) -> int:
    return math.ceil(font.getbbox("Ågjp|")[3]) + 2


def _drawable(text: str, font: Font) -> str:
    """Return text without what a font refuses: halves of characters, as in undecodable names."""
    encoding = "utf-8" if isinstance(font, ImageFont.FreeTypeFont) else "latin-1"
    return text.encode(encoding, "replace").decode(encoding)


def _shortened(text: str, font: Font, width: int) -> str:
    """Return as much of the text as fits, ending in an ellipsis where that is not all."""
    if font.getlength(text) <= width:
        return text
    ellipsis = _drawable("…", font)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + ellipsis) <= width:
            low = middle
        else:
            high = middle - 1
    cut = text[:low].rstrip() + ellipsis
    return cut if font.getlength(cut) <= width else ""
