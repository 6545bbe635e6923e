"""Text in pictures: how wide it is about, what of it fits, and what cannot be written at all."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from bench.text import one_line

LONGEST = 600
"""Characters of a text that are looked at."""
_UNWRITABLE = re.compile(r"[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Halves of characters and places that Unicode leaves empty; XML takes neither."""
_WIDTHS = {
    **dict.fromkeys("ijl.,:;'|!I ", 0.28),
    **dict.fromkeys('ftr()[]{}/\\-"`*', 0.38),
    **dict.fromkeys("mwMW@%", 0.88),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ&", 0.69),
}
_USUAL, _WIDE, _MARGIN = 0.57, 1.0, 1.12


def clean(text: str, limit: int = LONGEST) -> str:
    """Return one line of characters that can be written in XML, at most `limit`."""
    return _UNWRITABLE.sub("\ufffd", one_line(text, limit))


@lru_cache(maxsize=4096)
def width_of(text: str, size: float) -> float:
    """Return how wide a text is in a usual font without serifs, rather too much than too little.

    Args:
        text: as it is drawn.
        size: of the font, pixels.
    """
    return sum(map(_width, text)) * size * _MARGIN


def _width(character: str) -> float:
    if character < "\x7f":
        return _WIDTHS.get(character, _USUAL)
    if unicodedata.combining(character):
        return 0.0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else 0.66


@lru_cache(maxsize=4096)
def fitted(text: str, room: float, size: float) -> str:
    """Return a text without its middle where it is wider than there is room; never empty.

    Names that are alike mostly differ at their ends.
    """
    text = clean(text)
    if width_of(text, size) <= room:
        return text
    most = len(text) - 1
    while most > 1:
        tail = most * 2 // 5
        cut = f"{text[: most - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"
        width = width_of(cut, size)
        if width <= room:
            return cut
        most = min(most - 1, int(most * room / width) + 1)
    return f"{text[:1]}…"
