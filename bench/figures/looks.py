"""How all pictures look: their style, their parts, and text that fits."""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure, SubFigure

LONGEST_LABEL = 70
"""Characters of a row's name; the middle of longer ones is left out."""
DPI = 110
INK, FAINT, STRIPE = "#1c1e22", "#60646c", "#f0f1f3"
_STYLE: dict[str, Any] = {
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.0,
    "font.size": 9.0,
    "grid.color": "#e3e5e8",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "bench",  # the same picture is the same file
    "text.color": INK,
    "text.parse_math": False,  # a name is a name, though it be `$x$`
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}
LINE = 0.19  # inches of a line of text


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Have matplotlib draw as our pictures are to look, whatever the reader's settings."""
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def stacked(width: float, heights: Sequence[float], title: str) -> tuple[Figure, list[SubFigure]]:
    """Return a figure of parts above each other, of these heights in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    grid = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    parts: list[SubFigure] = [*grid[:, 0]]
    parts[0].suptitle(title, fontsize=11, fontweight="bold")
    return figure, parts


def write_notes(figure: SubFigure, lines: Sequence[str]) -> None:
    """Write small lines at the foot of a picture."""
    figure.text(0.01, 0.95, "\n".join(lines), fontsize=8, color=FAINT, verticalalignment="top")


def draw_legend(
    figure: SubFigure, handles: Sequence[Any], labels: Sequence[str], place: Any, columns: int
) -> None:
    """Draw a legend without a frame in a part of a figure; `place` is matplotlib's word."""
    # Named only afterwards: matplotlib takes a label that begins with `_` for none.
    legend = figure.legend(
        list(handles), ["x"] * len(handles), loc=place, ncols=columns, frameon=False, borderpad=0.1
    )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


def label_logarithm(axis: Axis, subs: Sequence[float]) -> None:
    """Mark a logarithmic axis at these multiples of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=subs))
    # The usual formatter writes powers of ten as formulas, and formulas are off.
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def log_marks(low: float, high: float) -> Sequence[float]:
    """Return at which multiples of powers of ten a logarithmic axis is marked."""
    decades = math.log10(high / low) if high > low else 0.0
    return (1.0,) if decades > 2 else (1.0, 3.0) if decades > 1 else (1.0, 2.0, 3.0, 5.0, 7.0)


def legend_rows(labels: Sequence[str], width: float) -> int:
    """Return how many lines a legend needs, in columns as wide as its longest label."""
    column = 0.075 * max(map(len, labels), default=1) + 0.65
    return math.ceil(len(labels) / max(1, int(width / column)))


def wrapped(texts: Sequence[str], width: float, size: float) -> list[str]:
    """Return lines that fit a width in inches, at a size in points."""
    letters = max(20, int(width * 72 / size / 0.56))
    return [line for text in texts for line in textwrap.wrap(drawable(text), letters)]


def shortened(label: str) -> str:
    """Return a label without its middle, where it is too long."""
    label = drawable(label)
    if len(label) <= LONGEST_LABEL:
        return label
    half = LONGEST_LABEL // 2
    return f"{label[:half]}…{label[-half + 1 :]}"


def drawable(text: str) -> str:
    """Return text without halves of characters, as undecodable file names have them."""
    return text.encode("utf-8", "replace").decode("utf-8")
