"""Pieces of SVG: signs, rectangles, text, and what an attribute can hold."""

from __future__ import annotations

from html import escape

from bench.charts.layout import SMALL
from bench.charts.lettering import LONGEST, clean
from bench.charts.paths import Box, Point, number

SERIES = 8
"""Colours and shapes; series beyond begin again."""
MARKERS = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "m-3.6-3.6h7.2v7.2h-7.2z",
    "m0-5l5 5l-5 5l-5-5z",
    "m0-5l4.6 8h-9.2z",
    "m0 5l4.6-8h-9.2z",
    "m-1.5-4.6h3v3.1h3.1v3h-3.1v3.1h-3v-3.1h-3.1v-3h3.1z",
    "m0-5.6l1.5 3.6l3.9.3l-3 2.5l1 3.8l-3.4-2.1l-3.4 2.1l1-3.8l-3-2.5l3.9-.3z",
    "m0-2.1l2.5-2.5l2.1 2.1l-2.5 2.5l2.5 2.5l-2.1 2.1l-2.5-2.5"
    "l-2.5 2.5l-2.1-2.1l2.5-2.5l-2.5-2.5l2.1-2.1z",
)
"""The shape of each series' dots, from their middle: nothing hangs on colour alone."""


def marker(name: str, at: Point, series: int) -> str:
    """Return the sign of a series, of a class: `dot`, `ring` or `end`."""
    shape = MARKERS[series % SERIES if series >= 0 else 0]
    return f'<path class="{name}" d="M{number(at[0])} {number(at[1])}{shape}"/>'


def rectangle(box: Box) -> str:
    """Return the path of a rectangle."""
    left, top = number(box.left), number(box.top)
    return f"M{left} {top}H{number(box.right)}V{number(box.bottom)}H{left}z"


def written(name: str, at: Point, text: str, anchor: str, more: str = "") -> str:
    """Return a line of text; `more` are further attributes."""
    small = f' font-size="{SMALL:g}"' if name == "halo" else ""
    return (
        f'<text class="{name}" x="{number(at[0])}" y="{number(at[1])}" text-anchor="{anchor}"'
        f"{small}{more}>{escape(text)}</text>"
    )


def class_of(series: int) -> str:
    """Return the class that gives a series its colour."""
    return f"s{series % SERIES}" if series >= 0 else "back"


def escaped(text: str) -> str:
    """Return a text of one line for an attribute."""
    return escape(clean(text))


def hovering(text: str) -> str:
    """Return a text for an attribute; it may have lines."""
    lines = [clean(line) for line in text[:LONGEST].split("\n")]
    return "&#10;".join(escape(line) for line in lines if line)
