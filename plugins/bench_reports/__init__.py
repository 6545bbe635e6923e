"""Formats of reports: a page that stands alone, and Markdown."""

from __future__ import annotations

import bench

BENCH_API = 1


@bench.hookimpl
def register_reports() -> list[bench.Report]:
    """Return the formats."""
    from bench_reports import html, markdown

    return [
        bench.Report(name="html", build=html.render, suffix=".html", default=True),
        bench.Report(name="md", build=markdown.render, suffix=".md", aliases=("markdown",)),
    ]
