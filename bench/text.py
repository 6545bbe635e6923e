"""Small pieces of text that several modules print: suggestions, durations, escaping."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that would turn the direction of what stands after them."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean `x`?)`` for the nearest known word, or an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean `{nearest[0]}`?)" if nearest else ""


def listing(words: Iterable[str], limit: int = 8) -> str:
    """Return words as `` `a`, `b` and 3 more``."""
    words = list(words)
    shown = ", ".join(f"`{word}`" for word in words[:limit])
    more = len(words) - limit
    return f"{shown} and {more} more" if more > 0 else shown


def one_line(text: str, limit: int = 500) -> str:
    """Fold text into one printable line of at most `limit` characters."""
    folded = " ".join(_CONTROL.sub(" ", text).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: `850 ms`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def byte_size(count: float) -> str:
    """Return a number of bytes as `12.3 MB` (powers of 1,000)."""
    for unit, digits in (("B", 0), ("kB", 1), ("MB", 1), ("GB", 1)):
        if round(count, digits) < 1000:
            return f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def markdown_cell(text: str) -> str:
    """Escape text for one cell of a Markdown table, raw HTML and line breaks included.

    Nor does it link or mention anyone: GitHub makes links of bare addresses, and of an `@` before a
    letter a mention, against which there is no escape but a joiner that nobody sees.
    """
    text = _CONTROL.sub(" ", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_|\[\]$~#])", r"\\\1", text)
    text = re.sub(r":(?=//)", r"\\:", text)
    text = re.sub(r"(?i)\b(www)\.", r"\1\\.", text)
    return re.sub(r"@(?=\w)", "@\N{WORD JOINER}", text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
}


def latex_cell(text: str) -> str:
    """Escape text for LaTeX, where it stands as it is and ends no line or cell."""
    return "".join(_LATEX.get(character, character) for character in _CONTROL.sub(" ", text))


def csv_cell(text: str) -> str:
    """Neutralise text that a spreadsheet would run as a formula (OWASP, CSV injection)."""
    text = _CONTROL.sub(" ", text)
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text
