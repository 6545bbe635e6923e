from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bench.charts
from bench.charts import Axis, Band, Cell, Chart, Dot, Line, Mark, Rule, Unit, svg
from bench.charts.lettering import clean, fitted, width_of
from bench.charts.paths import Box, area, clipped, path_of, simplified
from bench.charts.scales import Span, has_peaks, ranges_widely, spans_of
from bench.charts.ticks import ticks_of
from bench.figures import COLORS

HOSTILE = (
    '<script>alert("1")</script>',
    "a & b ' \" > ]]>",
    "\udcff\ufffe\x00\x1b[31m",
    "שלום \u202e עולם",
    "模型" * 400,
    "x" * 5000,
    "",
    "$x$ [red] =cmd",
)
ELEMENTS = {"svg", "g", "path", "circle", "text"}
ATTRIBUTES = {
    "class",
    "viewBox",
    "width",
    "height",
    "role",
    "aria-label",
    "font-size",
    "text-anchor",
    "x",
    "y",
    "cx",
    "cy",
    "r",
    "d",
    "transform",
    "fill-opacity",
    "tabindex",
    "data-hover",
    "data-link",
}

numbers = st.one_of(
    st.floats(),
    st.floats(-2, 2),
    st.floats(0, 1),
    st.sampled_from([0.0, 1.0, 1e-300, 5e-324, 1e16, 1e308, -1e308]),
)
some = st.one_of(st.none(), numbers)
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30), st.text(st.characters()))
places = st.integers(-1, 5)
series = st.integers(-1, 12)
rows = st.lists(st.tuples(numbers, numbers, numbers), max_size=8)
lines = st.builds(
    lambda points, **more: Line(tuple(p[0] for p in points), tuple(p[1] for p in points), **more),
    rows,
    series=series,
    hover=names,
    dashed=st.booleans(),
    thin=st.booleans(),
    stepped=st.booleans(),
)
bands = st.builds(
    lambda points, series: Band(*(tuple(p[i] for p in points) for i in range(3)), series),
    rows,
    series,
)
dots = st.builds(
    Dot, numbers, numbers, series, names, names, names, st.booleans(), some, some, some, some
)
cells = st.builds(Cell, places, places, numbers, names, names, names, st.booleans())
rules = st.builds(Rule, some, some, names)
marks = st.one_of(lines, bands, dots, cells, rules)
axes = st.builds(
    Axis,
    names,
    st.sampled_from(Unit),
    st.booleans(),
    some,
    some,
    st.one_of(st.just(()), st.lists(names, max_size=6).map(tuple)),
)
charts = st.builds(
    Chart,
    st.just("chart"),
    names,
    axes,
    axes,
    st.lists(marks, max_size=8).map(tuple),
    st.lists(names, max_size=9).map(tuple),
)


def chart(*drawn: Mark, x: Axis | None = None, y: Axis | None = None, **more: object) -> Chart:
    return Chart("a", "title", x or Axis("x"), y or Axis("y"), drawn, **more)  # type: ignore[arg-type]


def tree(drawn: Chart, width: float = 640) -> ElementTree.Element:
    return ElementTree.fromstring(svg.draw(drawn, width))


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [each for each in root.iter() if name in each.get("class", "").split()]


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter("text")]


def path_points(d: str) -> Iterator[tuple[float, float]]:
    """Yield the corners of a path; what is between them is straight, or half a small circle."""
    x = y = 0.0
    for command, written in re.findall(r"([A-Za-z])([^A-Za-z]*)", d):
        values = [float(each) for each in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", written)]
        match command:
            case "M":
                x, y = values
            case "l" | "m":
                x, y = x + values[0], y + values[1]
            case "H":
                x = values[0]
            case "h":
                x += values[0]
            case "V":
                y = values[0]
            case "v":
                y += values[0]
            case "a":
                x, y = x + values[5], y + values[6]
            case "z":
                continue
            case other:
                raise AssertionError(f"an unknown command: {other}")
        yield x, y


def all_points(root: ElementTree.Element) -> Iterator[tuple[float, float]]:
    for each in root.iter():
        if each.tag == "path":
            yield from path_points(each.get("d", ""))
        if each.tag == "text":
            yield float(each.get("x", "nan")), float(each.get("y", "nan"))
        if each.tag == "circle":
            yield float(each.get("cx", "nan")), float(each.get("cy", "nan"))


@settings(max_examples=300, deadline=None)
@given(drawn=charts, width=st.sampled_from([280, 340, 641.5, 1100]))
def test_any_chart_is_well_formed_and_inside_its_picture(drawn: Chart, width: float) -> None:
    text = svg.draw(drawn, width)
    root = ElementTree.fromstring(text)
    left, top, right, bottom = (float(each) for each in root.get("viewBox", "").split())
    assert (left, top) == (0, 0)
    assert right == round(width)
    for each in root.iter():
        assert each.tag in ELEMENTS
        assert set(each.attrib) <= ATTRIBUTES
        drawn_by = {key: value for key, value in each.attrib.items() if key not in WORDS}
        assert not re.search(r"nan|inf|e[+-]?\d", " ".join(drawn_by.values()), re.IGNORECASE)
    for low, high in extents(root):
        assert low >= -1
        assert high <= right + 1
    for x, y in all_points(root):
        assert -6 <= x <= right + 6
        assert -6 <= y <= bottom + 6


def extents(root: ElementTree.Element) -> Iterator[tuple[float, float]]:
    """Yield from where to where each text that is not turned reaches, at its usual width."""
    shares = {"start": 0.0, "middle": 0.5, "end": 1.0}
    for parent in root.iter():
        for text in parent.findall("text"):
            if "transform" in text.attrib:
                continue
            anchor = text.get("text-anchor") or parent.get("text-anchor") or "start"
            size = float(text.get("font-size") or parent.get("font-size") or 12)
            width = width_of(text.text or "", size) / 1.12
            left = float(text.get("x", "nan")) - shares[anchor] * width
            yield left, left + width


WORDS = {"data-hover", "data-link", "aria-label", "class", "role"}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_what_they_are_wherever_they_stand(name: str) -> None:
    drawn = chart(
        Dot(0, 0, label=name, hover=name, link=name),
        Cell(0, 0, 0.5, name, name, name),
        Rule(x=0, label=name),
        Line((0.0, 0.1), (0.0, 0.1), hover=name),
        x=Axis(name, categories=(name, "b")),
        y=Axis(name, categories=(name, "b")),
        series=(name,),
    )
    root = tree(drawn)
    assert {each.tag for each in root.iter()} <= ELEMENTS
    shown = clean(name)
    hovers = [each.get("data-hover") for each in root.iter() if "data-hover" in each.attrib]
    assert shown in hovers or not shown
    if 0 < len(shown) < 14:
        assert shown in texts(root)


def test_what_is_cut_is_said_whole_on_hover() -> None:
    name = "mobilenetv3_small_100 sgd lr=0.05 " * 5
    root = tree(chart(Dot(1, 0), y=Axis("", categories=(name,))))
    (tick,) = (each for each in root.iter("text") if "…" in (each.text or ""))
    assert tick.get("data-hover") == clean(name)


@pytest.mark.parametrize(
    ("values", "widely", "peaks"),
    [
        ((), False, False),
        ((1.0, 20.0), False, False),
        ((1.0, 1.0, 21.0), True, True),
        ((1.0, 30.0, 40.0), True, False),
        ((0.0, 1.0, 100.0), False, False),
        ((1.0, 1.0, math.nan, math.inf), False, False),
    ],
)
def test_what_is_of_many_magnitudes_wants_a_logarithmic_axis(
    values: tuple[float, ...], widely: bool, peaks: bool
) -> None:
    assert (ranges_widely(values), has_peaks(values)) == (widely, peaks)


@pytest.mark.parametrize(
    "marks",
    [
        (),
        (Rule(), Rule(y=1.0)),
        (Dot(math.nan, 1), Dot(1, math.inf), Line((), ()), Line((1.0, 2.0), (math.nan,) * 2)),
        (Band((1.0,), (0.0,), (math.nan,)), Dot(math.inf, 1)),
        (Cell(7, 7, 1.0),),
    ],
)
def test_a_chart_of_nothing_says_so(marks: tuple[Mark, ...]) -> None:
    categories = ("a", "b") if marks and isinstance(marks[0], Cell) else ()
    axis = Axis("x", categories=categories)
    assert texts(tree(chart(*marks, x=axis, y=axis))) == ["nothing to draw"]


def test_a_line_is_broken_where_it_has_no_value() -> None:
    line = Line((1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 2.0, math.nan, 4.0, 5.0))
    (drawn,) = of_class(tree(chart(line)), "line")
    assert drawn.get("d", "").count("M") == 2


def test_a_logarithmic_axis_leaves_out_what_is_not_above_zero() -> None:
    root = tree(chart(Dot(0, 1), Dot(-1, 1), Dot(1, 1), Dot(10, 1), x=Axis("x", log=True)))
    assert len(of_class(root, "dot")) == 2


def test_series_differ_by_shape_in_marks_and_legend() -> None:
    names = tuple("abcdefgh")
    root = tree(chart(*(Dot(i, i, i) for i in range(8)), series=names))
    shapes = [each.get("d", "").split("m", 1)[1] for each in of_class(root, "dot")]
    assert len(set(shapes)) == 8
    assert sorted(shapes[:8]) == sorted(shapes[8:])  # the legend has each once more
    lines = tree(chart(*(Line((0.0, 1.0), (0.0, 1.0 + i), i) for i in range(8)), series=names))
    assert len({each.get("d", "").split("m", 1)[1] for each in of_class(lines, "end")}) == 8


def test_a_legend_names_only_series_that_are_drawn() -> None:
    root = tree(chart(Dot(1, 1, 0), Dot(math.nan, 1, 1), series=("seen", "unseen")))
    assert [each.text for each in of_class(root, "name")] == ["seen"]


def test_categories_of_y_come_from_above_and_numbers_from_below() -> None:
    named = tree(chart(Dot(0, 0), Dot(0, 1), y=Axis("", categories=("a", "b"))))
    heights = {each.text: float(each.get("y", 0)) for each in named.iter("text")}
    assert heights["a"] < heights["b"]
    plain = tree(chart(Dot(0, 0), Dot(0, 1)))
    heights = {each.text: float(each.get("y", 0)) for each in plain.iter("text")}
    assert heights["1.0"] < heights["0"]


def test_cells_say_their_text_where_it_fits() -> None:
    def shown(width: float, count: int) -> int:
        axis = Axis("", categories=tuple("abcdefghij" * (count // 10)))
        cells = (Cell(i, i, 1.0, "1234", right=True) for i in range(count))
        return texts(tree(chart(*cells, x=axis, y=axis), width)).count("1234")

    assert shown(640, 10) == 10
    assert shown(340, 60) == 0


def test_cells_differ_by_what_they_mean() -> None:
    axis = Axis("", categories=("a", "b"))
    judged = tree(chart(Cell(0, 0, 1, right=True), Cell(1, 0, 0.25), x=axis, y=axis))
    classes = [each.get("class") for each in of_class(judged, "cell")]
    assert classes == ["cell right", "cell bad"]
    signed = of_class(tree(chart(Cell(0, 0, 0.5), Cell(1, 0, -2.0), x=axis, y=axis)), "cell")
    assert [(each.get("class"), each.get("fill-opacity")) for each in signed] == [
        ("cell", ".5"),
        ("cell bad", "1"),
    ]


def test_what_answers_to_a_finger_is_large_where_there_is_room() -> None:
    far = tree(chart(Dot(0, 0, hover="a"), Dot(1, 1, hover="b")))
    assert [float(each.get("r", 0)) for each in of_class(far, "hit")] == [12, 12]
    near = tree(chart(Dot(0, 0, hover="a"), Dot(0.02, 0, hover="b"), Dot(1, 1, hover="c")))
    radii = [float(each.get("r", 0)) for each in of_class(near, "hit")]
    assert radii[0] == radii[1] < 12
    assert radii[2] == 12


def test_marks_that_say_or_lead_somewhere_are_reached_by_keyboard() -> None:
    root = tree(chart(Dot(0, 0, hover="a\nb", link="run-1"), Dot(1, 1)))
    (mark,) = of_class(root, "mark")
    assert (mark.get("data-hover"), mark.get("data-link")) == ("a\nb", "run-1")
    assert mark.get("tabindex") == "0"
    assert root.get("role") == "group"
    silent = tree(chart(Dot(0, 0)))
    assert silent.get("role") == "img"
    assert silent.get("aria-label") == "title"


def test_labels_of_dots_do_not_overlap() -> None:
    dots = [Dot(i % 7, i // 7, label=f"model number {i}") for i in range(35)]
    root = tree(chart(*dots), 500)
    boxes = []
    for each in of_class(root, "halo"):
        width = width_of(each.text or "", 11) * 0.9
        shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[each.get("text-anchor", "")]
        x, y = float(each.get("x", 0)) - shift * width, float(each.get("y", 0))
        boxes.append(Box(x, y - 9, x + width, y))
    assert len(boxes) > 8
    assert not any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_long_line_is_written_short() -> None:
    curve = tuple(1 - math.exp(-i / 500) for i in range(5000))
    text = svg.draw(chart(Line(tuple(map(float, range(5000))), curve)))
    assert len(text) < 4000


# Ticks and spans


@pytest.mark.parametrize(
    ("axis", "low", "high", "expected"),
    [
        (Axis(""), 0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Axis("", Unit.SHARE), 0.5, 1, ["50%", "60%", "70%", "80%", "90%", "100%"]),
        (Axis("", Unit.SHARE), 0.9, 0.92, ["90.0%", "90.5%", "91.0%", "91.5%", "92.0%"]),
        (Axis("", Unit.COUNT), 1, 4, ["1", "2", "3", "4"]),
        (Axis("", Unit.COUNT), 0, 5e6, ["0", "1M", "2M", "3M", "4M", "5M"]),
        (Axis("", Unit.SECONDS), 0, 300, ["0", "1 min", "2 min", "3 min", "4 min", "5 min"]),
        (Axis("", Unit.SECONDS), 0, 5, ["0", "1 s", "2 s", "3 s", "4 s", "5 s"]),
        (Axis("", Unit.MILLISECONDS), 0, 5, ["0", "1 ms", "2 ms", "3 ms", "4 ms", "5 ms"]),
        (Axis("", log=True), 1e-4, 1, ["1e-4", "0.001", "0.01", "0.1", "1"]),
        (Axis("", Unit.COUNT, log=True), 1e4, 1e8, ["10k", "100k", "1M", "10M", "100M"]),
        (
            Axis("", Unit.SECONDS, log=True),
            0.1,
            4000,
            ["100 ms", "1 s", "10 s", "1 min", "10 min", "1 h"],
        ),
        (Axis("", Unit.SECONDS, log=True), 15, 130, ["20 s", "1 min", "2 min"]),
        (Axis("", Unit.SECONDS, log=True), 20, 400, ["20 s", "1 min", "2 min", "5 min"]),
    ],
)
def test_ticks_are_round_and_say_their_unit(
    axis: Axis, low: float, high: float, expected: list[str]
) -> None:
    assert [text for _, text in ticks_of(axis, Span(low, high, axis.log), 6)] == expected


@settings(deadline=None)
@given(
    values=st.lists(numbers, max_size=5),
    unit=st.sampled_from(Unit),
    log=st.booleans(),
    most=st.integers(1, 12),
)
@example(values=[4.6e-175], unit=Unit.COUNT, log=True, most=1)
def test_ticks_lie_on_the_axis_ascend_and_differ(
    values: list[float], unit: Unit, log: bool, most: int
) -> None:
    axis = Axis("", unit, log=log)
    span, _ = spans_of(chart(*(Dot(value, 0) for value in values), x=axis))
    assert span.low < span.high
    found = ticks_of(axis, span, most)
    assert 1 <= len(found) <= 2 * most + 3
    at = [value for value, _ in found]
    assert at == sorted(set(at))
    for value in at:
        share = span.share(value)
        assert share is not None
        assert -1e-6 <= share <= 1 + 1e-6
    assert all("nan" not in text and "inf" not in text for _, text in found)


@settings(deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=6, unique=True))
@example([0.0, 1e-7])
def test_ticks_beside_each_other_read_differently(values: list[float]) -> None:
    span, _ = spans_of(chart(*(Dot(value, 0) for value in values)))
    found = [text for _, text in ticks_of(Axis(""), span, 6)]
    if (span.high - span.low) > 1e-4 * max(abs(span.low), abs(span.high)):
        assert len(set(found)) == len(found)


def test_shares_are_not_drawn_beyond_all_and_nothing() -> None:
    axis = Axis("", Unit.SHARE)
    _, span = spans_of(chart(Dot(0, 0.02), Dot(0, 0.99), y=axis))
    assert (span.low, span.high) == (0.0, 1.0)


def test_limits_of_an_axis_hold_and_what_is_beyond_is_cut() -> None:
    axis = Axis("", low=0.0, high=1.0)
    drawn = chart(Line((0.0, 1.0, 2.0), (0.5, 5.0, 0.5)), Dot(0.5, 3), Dot(0.5, 0.5), y=axis)
    root = tree(drawn)
    assert len(of_class(root, "dot")) == 1
    assert {"0", "1.0"} <= set(texts(root))
    (line,) = of_class(root, "line")
    heights = [y for _, y in path_points(line.get("d", ""))]
    (frame,) = of_class(root, "axis")
    top, bottom = (y for _, y in [*path_points(frame.get("d", ""))][:2])
    assert top - 0.2 <= min(heights)
    assert max(heights) <= bottom + 0.2
    assert line.get("d", "").count("M") == 2


# Text and geometry


@given(text=names, room=st.floats(20, 400))
def test_a_text_is_cut_to_its_room(text: str, room: float) -> None:
    cut = fitted(text, room, 11)
    assert width_of(cut, 11) <= room or len(cut) <= 2
    if width_of(clean(text), 11) <= room:
        assert cut == clean(text)


points = st.lists(st.tuples(st.floats(-50, 150), st.floats(-50, 150)), min_size=1, max_size=30)


@settings(deadline=None)
@given(line=points)
def test_a_simplified_line_passes_all_points_closely(line: list[tuple[float, float]]) -> None:
    kept = simplified(line, 0.5)
    assert set(kept) <= set(line)
    assert kept[0] == line[0]
    assert kept[-1] == line[-1]
    segments = [*itertools.pairwise(kept)] or [(kept[0], kept[0])]
    for point in line:
        assert min(distance(point, *segment) for segment in segments) <= 1.0


def distance(
    point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
) -> float:
    across, down = end[0] - start[0], end[1] - start[1]
    length = across**2 + down**2
    along = (point[0] - start[0]) * across + (point[1] - start[1]) * down
    share = min(max(along / length, 0.0), 1.0) if length > 1e-12 else 0.0
    return math.dist(point, (start[0] + share * across, start[1] + share * down))


@given(line=points)
def test_what_is_clipped_is_inside_and_what_is_inside_stays(
    line: list[tuple[float, float]],
) -> None:
    box = Box(0, 0, 100, 100)
    cut = [point for piece in clipped(line, box) for point in piece]
    assert all(box.holds(point) for point in cut)
    inside = [p for p in line if 0 <= p[0] <= 100 and 0 <= p[1] <= 100]
    assert set(inside) <= set(cut)
    assert all(box.holds(point) for point in area(line, box))


@given(line=points)
def test_rounding_does_not_add_up_along_a_path(line: list[tuple[float, float]]) -> None:
    *_, last = path_points(path_of(line))
    assert math.dist(last, line[-1]) <= 0.2


# Colours


def palettes() -> dict[str, dict[str, str]]:
    css = Path(bench.charts.__file__).with_name("charts.css").read_text("utf-8")
    found = re.findall(r"(--\w+): light-dark\((#\w{6}), (#\w{6})\);", css)
    return {
        "light": {name: light for name, light, _ in found},
        "dark": {name: dark for name, _, dark in found},
    }


def luminance(color: str) -> float:
    channels = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_page_and_the_pictures_have_the_same_colours() -> None:
    light = palettes()["light"]
    assert [light[f"--s{i}"].upper() for i in range(8)] == [each.upper() for each in COLORS]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_cells_can_be_read_in_either_theme(theme: str) -> None:
    colors = palettes()[theme]
    assert contrast(colors["--ink"], colors["--paper"]) > 12
    assert contrast(colors["--faint"], colors["--paper"]) > 4.5
    for depth in (0.0, 0.2, 0.4, 0.6, 0.74, 0.75, 0.9, 1.0):
        for hue in (colors["--good"], colors["--bad"]):
            behind = mixed(hue, colors["--paper"], depth)
            text = colors["--paper"] if depth >= 0.75 else colors["--ink"]
            assert contrast(text, behind) > 3.0, (depth, hue)


def mixed(over: str, under: str, opacity: float) -> str:
    pairs = ((int(over[i : i + 2], 16), int(under[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in pairs)


def test_every_class_that_is_drawn_has_a_look() -> None:
    css = Path(bench.charts.__file__).with_name("charts.css").read_text("utf-8")
    axis = Axis("x", categories=("a", "b"))
    drawn = (
        chart(
            Line((0.0, 1.0), (0.0, 1.0), hover="a", dashed=True, thin=True),
            Line((0.0, 1.0), (0.0, 2.0), 1),
            Band((0.0, 1.0), (0.0, 1.0), (1.0, 2.0), 2),
            Dot(0, 0, 3, "label", "hover", y_low=-1),
            Dot(0, 1, -1, hollow=True),
            Rule(label="rule"),
            series=tuple("abcd"),
        ),
        chart(Cell(0, 0, 0.9, "a"), Cell(0, 1, -0.9), x=axis, y=axis),
        chart(Cell(0, 0, 0.9, "a", right=True), Cell(0, 1, 0.9), x=axis, y=axis),
        chart(),
    )
    classes = {
        name for each in drawn for e in tree(each).iter() for name in e.get("class", "").split()
    }
    plain = {"mark", "right", "name"}  # as they are without
    assert {name for name in classes - plain if f".{name}" not in css} == set()
