"""Parts of a chart. Coordinates are numbers; on an axis of categories, places 0, 1, and so on."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Unit(enum.StrEnum):
    """How the numbers of an axis are written."""

    PLAIN = "plain"
    SHARE = "share"
    """0.05 is `5%`."""
    COUNT = "count"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


@dataclass(frozen=True)
class Axis:
    """A direction of a chart.

    Attributes:
        label: what it shows, with a unit where `unit` does not write one.
        unit: how its numbers are written.
        log: whether it is logarithmic; marks at or below 0 are left out then.
        low: where it begins; None fits the marks.
        high: where it ends.
        categories: names at 0, 1, ... in place of numbers; of a y axis from above.
    """

    label: str
    unit: Unit = Unit.PLAIN
    log: bool = False
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line through points in their order; NaN breaks it.

    Attributes:
        series: the place of its name in `Chart.series`, which decides its colour; -1 for a line
            that stands back.
        hover: what pointing at it says.
        stepped: whether a value holds until the next.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    series: int = 0
    hover: str = ""
    dashed: bool = False
    thin: bool = False
    stepped: bool = False


@dataclass(frozen=True)
class Band:
    """An area between two values of y at each x."""

    x: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    series: int = 0


@dataclass(frozen=True)
class Dot:
    """A point, with whiskers where its interval is known.

    Attributes:
        label: drawn beside it.
        hover: what pointing at it says.
        link: the id of the part of a report that it leads to; empty for none.
        hollow: drawn as a ring.
    """

    x: float
    y: float
    series: int = 0
    label: str = ""
    hover: str = ""
    link: str = ""
    hollow: bool = False
    x_low: float | None = None
    x_high: float | None = None
    y_low: float | None = None
    y_high: float | None = None


@dataclass(frozen=True)
class Cell:
    """A cell of a table of colours, on two axes of categories.

    Attributes:
        depth: how strong its colour is: 0 none to 1 full; from -1 of the opposite one.
        text: written in it.
        right: whether it is where things should be, as on the diagonal of a confusion matrix; such
            cells have a colour of their own.
    """

    x: int
    y: int
    depth: float
    text: str = ""
    hover: str = ""
    link: str = ""
    right: bool = False


@dataclass(frozen=True)
class Rule:
    """A line of reference: at `x`, at `y`, or the diagonal where neither is set."""

    x: float | None = None
    y: float | None = None
    label: str = ""


Mark = Line | Band | Dot | Cell | Rule


@dataclass(frozen=True)
class Chart:
    """A picture of numbers.

    Attributes:
        name: for files and ids: letters, digits and hyphens.
        title: what it shows, in a few words.
        marks: drawn in this order.
        series: names that a legend shows, by number; few enough to be told apart (eight).
        note: what a reader must know of it.
        wide: whether it wants the whole width of a page.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    series: tuple[str, ...] = ()
    note: str = ""
    wide: bool = False
