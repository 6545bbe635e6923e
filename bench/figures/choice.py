"""Which panels and rows are drawn, in which colours, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence

from bench.series import Method, Panel, Sheet

COLORS = (
    "#0072B2",  # blue
    "#D55E00",  # vermillion
    "#009E73",  # bluish green
    "#CC79A7",  # reddish purple
    "#000000",
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#8A8A8A",  # in place of yellow, which is lost on white
)
"""Of Okabe and Ito (2008, https://jfly.uni-koeln.de/color/), told apart by the colour-blind."""
MARKERS = "osD^vP*X"
"""One for each colour, so that nothing hangs on colour alone."""
MOST_CURVES = len(COLORS)
"""Rows whose curves are drawn in a panel; the best ones."""
MOST_PANELS = 4
"""Panels side by side; those with the best scores."""


def best_panels(panels: Sequence[Panel]) -> list[Panel]:
    """Return the panels with the best scores, in the order that they had."""
    best = sorted(panels, key=lambda panel: -panel.methods[0].score)[:MOST_PANELS]
    return [panel for panel in panels if any(panel is each for each in best)]


def with_curves(panel: Panel) -> list[Method]:
    """Return the rows of a panel whose runs have stored curves."""
    return [method for method in panel.methods if method.traces]


def styles_of(sheet: Sheet, methods: Sequence[Method]) -> dict[str, tuple[str, str]]:
    """Return the colour and the marker of each label that is drawn, best first.

    A label looks alike in all pictures of its dataset, unless there are more than colours.
    """
    labels = [label for label in sheet.labels if any(m.label == label for m in methods)]
    known = sheet.labels if len(sheet.labels) <= MOST_CURVES else labels
    looks = dict(zip(known, zip(COLORS, MARKERS, strict=True), strict=False))
    return {label: looks[label] for label in labels if label in looks}


def left_out(
    sheet: Sheet,
    panels: Sequence[Panel],
    possible: Sequence[Sequence[Method]],
    drawn: Sequence[Sequence[Method]],
) -> list[str]:
    """Return one sentence that says what is not drawn; none where all is."""
    fewer = sum(map(len, possible)) - sum(map(len, drawn))
    without = sum(len(panel.methods) for panel in panels) - sum(map(len, possible))
    counts = [
        (fewer, "row with a lower score", "rows with lower scores"),
        (sum(panel.failed for panel in panels), "failed row", "failed rows"),
        (without, "row without stored curves", "rows without stored curves"),
        (len(sheet.panels) - len(panels), "further block", "further blocks"),
    ]
    parts = [f"{n} {one if n == 1 else many}" for n, one, many in counts if n]
    return [f"Not drawn: {', '.join(parts)}."] if parts else []
