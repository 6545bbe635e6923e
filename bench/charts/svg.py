"""Charts as inline SVG: shapes and classes alone, which `charts.css` gives their colours.

There is no style, no script, no id and no address in it: a page with a strict security policy can
hold any number of them. What pointing at a mark says is in `data-hover`, the part of a report that
it leads to in `data-link`.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from bench.charts.elements import class_of, escaped, marker, rectangle, written
from bench.charts.geometry import PlacedRule, names_of, place_marks
from bench.charts.layout import SIZE, SMALL, SWATCH, Layout, Written, lay_out
from bench.charts.marks import Chart
from bench.charts.paths import Box, number
from bench.charts.shapes import Shapes


def draw(chart: Chart, width: float = 640) -> str:
    """Return a chart as one `<svg>` element.

    Its text has the size of the page's small print where it is shown as wide as it was drawn: draw
    it about as wide as there is room.

    Args:
        chart: what is drawn; marks or parts of marks that are NaN, infinite or outside of axes with
            limits are left out.
        width: pixels, 280 at least.
    """
    layout = lay_out(chart, max(280.0, float(round(width))))
    marks = place_marks(chart, layout)
    if all(isinstance(each, PlacedRule) for each in marks):
        return _nothing(chart, layout.width)
    shapes = Shapes()
    drawn = [*shapes.parts(marks)]
    names = [written("halo", at, text, anchor) for at, anchor, text in names_of(marks, layout)]
    body = "".join([*_grid(chart, layout), *drawn, *names, *_around(layout), *_legend(layout)])
    # What can be reached by keyboard must not be hidden behind the one role of a picture.
    role = "group" if shapes.stops else "img"
    return _svg(chart, layout.width, layout.height, role, body)


def _svg(chart: Chart, width: float, height: float, role: str, body: str) -> str:
    size = f'width="{number(width)}" height="{number(height)}"'
    return (
        f'<svg class="chart" viewBox="0 0 {number(width)} {number(height)}" {size} role="{role}" '
        f'aria-label="{escaped(chart.title)}" font-size="{SIZE:g}">{body}</svg>'
    )


def _nothing(chart: Chart, width: float) -> str:
    text = '<text class="empty" x="8" y="28">nothing to draw</text>'
    return _svg(chart, width, 48, "img", text)


def _grid(chart: Chart, layout: Layout) -> Iterator[str]:
    """Yield what lies behind the marks: a line at each number, none between categories."""
    frame = layout.frame
    d = ""
    if not chart.x.categories:
        d += "".join(
            f"M{number(t.place[0])} {number(frame.top)}v{number(frame.height)}" for t in layout.x
        )
    if not chart.y.categories:
        d += "".join(
            f"M{number(frame.left)} {number(t.place[1])}h{number(frame.width)}" for t in layout.y
        )
    if d:
        yield f'<path class="grid" d="{d}"/>'


def _around(layout: Layout) -> Iterator[str]:
    """Yield the axes, and what is written beside them."""
    frame = layout.frame
    corner = (
        f"M{number(frame.left)} {number(frame.top)}V{number(frame.bottom)}H{number(frame.right)}"
    )
    yield f'<path class="axis" d="{corner}"/>'
    turned = {0: "", 40: "-40", 90: "-90"}[layout.x_turn]
    anchor = "end" if turned else "middle"
    yield f'<g class="tick" text-anchor="{anchor}" font-size="{SMALL:g}">'
    for tick in layout.x:
        x, y = number(tick.place[0] + (4 if layout.x_turn == 90 else 0)), number(tick.place[1])
        turn = f' transform="rotate({turned} {x} {y})"' if turned else ""
        yield f'<text x="{x}" y="{y}"{turn}{_whole(tick)}>{escape(tick.text)}</text>'
    yield f'</g><g class="tick" text-anchor="end" font-size="{SMALL:g}">'
    for tick in layout.y:
        x, y = number(tick.place[0]), number(tick.place[1] + 4)
        yield f'<text x="{x}" y="{y}"{_whole(tick)}>{escape(tick.text)}</text>'
    yield "</g>"
    for title, anchor in zip(layout.titles, ("middle", "start"), strict=True):
        if title.text:
            yield written("label", title.place, title.text, anchor, _whole(title))


def _legend(layout: Layout) -> Iterator[str]:
    for entry in layout.legend:
        (x, y), kinds, sign = entry.name.place, entry.kinds, ""
        if kinds == {"band"}:
            box = Box(x + 2, y - 9, x + 16, y + 1)
            sign = f'<path class="band" d="{rectangle(box)}"/>'
        if kinds & {"line", "dashed"}:
            dashed = "" if "line" in kinds else " dashed"
            sign += f'<path class="line{dashed}" d="M{number(x)} {number(y - 4)}h18"/>'
        if kinds & {"line", "dot", "ring"}:
            shape = "ring" if kinds == {"ring"} else "dot" if "dot" in kinds else "end"
            sign += marker(shape, (x + 9, y - 4), entry.series)
        text = written("name", (x + SWATCH, y), entry.name.text, "start", _whole(entry.name))
        yield f'<g class="{class_of(entry.series)}">{sign}{text}</g>'


def _whole(written: Written) -> str:
    """Return what pointing at a shortened text says."""
    if written.text == written.whole:
        return ""
    return f' data-hover="{escaped(written.whole)}"'
