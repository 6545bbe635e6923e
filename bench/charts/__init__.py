"""Charts as plain data: axes and marks, drawn as inline SVG or by matplotlib.

A chart says what is shown and what a reader learns by pointing at it, not how it looks: colours,
fonts and themes belong to whoever draws it.
"""

from __future__ import annotations

from bench.charts.marks import (
    Axis,
    Band,
    Cell,
    Chart,
    Dot,
    Line,
    Mark,
    Rule,
    Unit,
)

__all__ = ["Axis", "Band", "Cell", "Chart", "Dot", "Line", "Mark", "Rule", "Unit"]
