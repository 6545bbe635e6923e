"""Placed marks as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from bench.charts.elements import class_of, escaped, hovering, marker, rectangle
from bench.charts.geometry import (
    STRONG,
    Placed,
    PlacedBand,
    PlacedCell,
    PlacedDot,
    PlacedLine,
    PlacedRule,
)
from bench.charts.paths import number, path_of, simplified

_MOST_STOPS = 120
"""Marks of a chart that the tab key visits."""
_COARSE = 3.0
"""Pixels by which what answers to a finger may be off its line."""


class Shapes:
    """The marks of one chart.

    Attributes:
        stops: how many the tab key visits so far.
    """

    def __init__(self) -> None:
        self.stops = 0
        self._texts: list[str] = []

    def parts(self, marks: Sequence[Placed]) -> Iterator[str]:
        """Yield the elements of marks in their order; what is written in cells comes last."""
        for mark in marks:
            match mark:
                case PlacedLine():
                    yield self._line(mark)
                case PlacedBand():
                    d = "".join(path_of(corners, closed=True) for corners in mark.areas)
                    yield f'<path class="band {class_of(mark.mark.series)}" d="{d}"/>'
                case PlacedDot():
                    yield self._dot(mark)
                case PlacedCell():
                    yield self._cell(mark)
                case PlacedRule():
                    yield f'<path class="rule" d="{path_of(mark.ends)}"/>'
        if self._texts:
            size = next(mark.size for mark in marks if isinstance(mark, PlacedCell))
            texts = "".join(self._texts)
            yield f'<g class="in" text-anchor="middle" font-size="{size:g}">{texts}</g>'

    def _line(self, placed: PlacedLine) -> str:
        line = placed.mark
        names = ["line", *(["dashed"] * line.dashed), *(["thin"] * line.thin)]
        drawn = f'<path class="{" ".join(names)}" d="{"".join(map(path_of, placed.pieces))}"/>'
        if placed.sign is not None:
            drawn += marker("end", placed.sign, line.series)
        if line.hover:
            coarse = "".join(
                path_of([(round(x), round(y)) for x, y in simplified(piece, _COARSE)])
                for piece in placed.pieces
            )
            drawn = f'<path class="reach" d="{coarse}"/>{drawn}'
        return self._group(line.series, drawn, line.hover)

    def _dot(self, placed: PlacedDot) -> str:
        dot, (x, y) = placed.mark, map(number, placed.at)
        drawn = ""
        if dot.hover or dot.link:
            drawn = f'<circle class="hit" cx="{x}" cy="{y}" r="{number(placed.touch)}"/>'
        if placed.whiskers:
            d = ""
            for (end_x, end_y), ended in placed.whiskers:
                across = end_y == placed.at[1]
                d += f"M{x} {y}H{number(end_x)}" if across else f"M{x} {y}V{number(end_y)}"
                d += ("m0-3v6" if across else "m-3 0h6") if ended else ""
            drawn += f'<path class="whisker" d="{d}"/>'
        drawn += marker("ring" if dot.hollow else "dot", placed.at, dot.series)
        return self._group(dot.series, drawn, dot.hover, dot.link)

    def _cell(self, placed: PlacedCell) -> str:
        cell, box = placed.mark, placed.box
        name = "cell right" if cell.right else "cell bad" if placed.bad else "cell"
        if placed.text:
            strong = ' class="strong"' if placed.depth >= STRONG else ""
            x, y = number((box.left + box.right) / 2), number((box.top + box.bottom) / 2 + 4)
            self._texts.append(f'<text{strong} x="{x}" y="{y}">{escape(placed.text)}</text>')
        depth = f"{round(placed.depth, 2):g}"
        shade = f'fill-opacity="{depth[1:] if depth.startswith("0.") else depth}"'
        told = self._told(cell.hover, cell.link)
        return f'<path class="{name}" d="{rectangle(box)}" {shade}{told}/>'

    def _group(self, series: int, drawn: str, hover: str, link: str = "") -> str:
        told = self._told(hover, link)
        name = f"mark {class_of(series)}" if told else class_of(series)
        return f'<g class="{name}"{told}>{drawn}</g>'

    def _told(self, hover: str, link: str) -> str:
        """Return the attributes of what a mark says and leads to."""
        if not hover and not link:
            return ""
        told = f' data-hover="{hovering(hover)}"' if hover else ""
        told += f' data-link="{escaped(link)}"' if link else ""
        if self.stops < _MOST_STOPS:
            self.stops += 1
            told += ' tabindex="0"'
        return told
