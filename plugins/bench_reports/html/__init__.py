"""A report as one HTML file that asks for nothing else.

The page allows itself its one style and its one script, by their hashes, and pictures in `data:`
addresses; it has no other source of anything. All names in it are escaped by the templates.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.report.content import Content
from bench_reports.html import parts

_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no HTML file can hold, control characters and halves of surrogate pairs; and what turns the
direction of the text after it, which no name has a use for."""


def render(content: Content) -> str:
    """Return the page of a report.

    Args:
        content: of the report; its names may be anything.
    """
    page = (
        _templates()
        .get_template("page.html")
        .render(
            content=content,
            style=_own("page.css"),
            script=_own("page.js"),
            images=parts.numbered(content.images),
        )
    )
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", page)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("bench_reports.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "drawn": parts.drawn,
        "data_address": parts.data_address,
        "digest": parts.digest,
        "moment": parts.moment,
        "prose": parts.prose,
        "sort_key": parts.sort_key,
    }
    environment.globals |= {
        "scale": parts.scale,
        "drawn_interval": parts.drawn_interval,
        "percent": parts.percent,
        "tied": parts.tied,
        "titles_of": parts.titles_of,
        "lead": parts.lead,
        "differing": parts.differing,
        "own_columns": parts.own_columns,
    }
    return environment


@cache
def _own(name: str) -> Markup:
    """Return a file of this package, trusted: it goes into the page as it is.

    With the style come the looks of charts, which all that draws SVG shares.
    """
    text = files("bench_reports.html").joinpath(name).read_text("utf-8")
    if name == "page.css":
        text = files("bench.charts").joinpath("charts.css").read_text("utf-8") + text
    return Markup(text)
