"""Formats of reports each of which breaks one rule."""

from __future__ import annotations

import csv
import html
import io
import re
import time

import bench
from bench.text import one_line

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def in_bytes(content):
    """Bytes in place of text."""
    return b"report"


def constant(content):
    """Say the same of any results."""
    return "There are results.\n"


def best_row(content):
    """Look at the first row, whether there is one or not."""
    return printable(one_line(content.blocks[0].rows[0].label + content.blocks[0].title)) + "\n"


def in_words(content):
    """Python's way of writing data, which JSON does not know."""
    return repr({"title": content.title, "images": list(content.images)})


def in_raw_html(content):
    """Names as they are in HTML."""
    rows = "".join(f"<tr><td>{row.label}" for block in content.blocks for row in block.rows)
    return f"<html><h1>{html.escape(content.title)}</h1><table>{rows}</table>"


def in_raw_attributes(content):
    """Names escaped in text, and as they are in attributes."""
    named = "".join(f'<p title="{each.title}">' for each in content.blocks)
    return printable(f"<html>{html.escape(content.title)}{named}")


def in_raw_cells(content):
    """Cells as they are, which spreadsheets compute."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([one_line(content.title) or "-"])
    writer.writerows([one_line(row.label)] for block in content.blocks for row in block.rows)
    return printable(table.getvalue())


def in_raw_markdown(content):
    """Tables of names as they are."""
    rows = (one_line(row.label) for block in content.blocks for row in block.rows)
    return printable("\n".join(["| method |", "|--|", *(f"| {row} |" for row in rows)]))


def in_colours(content):
    """Names with whatever they bring to a terminal."""
    return f"{content.title}\n{content.counts}\n"


def from_a_network(content):
    """Ask for a library that draws charts."""
    source = "https://cdn.example/charts.js"
    return f"<html><script src='{source}'></script>{printable(html.escape(content.title))}"


def timed(content):
    """Say when it was written, to the nanosecond."""
    return f"{printable(one_line(content.title))} at {time.perf_counter_ns()}\n"


def unsorted(content):
    """List names in the order of a set."""
    words = {f"{printable(one_line(content.title))} {number}" for number in range(50)}
    return ", ".join(words)


def marking(content):
    """Keep notes in the content itself."""
    text = printable(one_line(content.title)) + f" with {len(content.images)} pictures"
    if "seen" not in content.settings.own:
        content.settings.own["seen"] = {"by": "this format"}
    return text


def printable(text):
    return UNPRINTABLE.sub(" ", text)


@bench.hookimpl
def register_reports():
    return [
        bench.Report(name="in-bytes", build=in_bytes),
        bench.Report(name="constant", build=constant),
        bench.Report(name="best-row", build=best_row),
        bench.Report(name="in-words", build=in_words, suffix=".json"),
        bench.Report(name="in-raw-html", build=in_raw_html, suffix=".html"),
        bench.Report(name="in-raw-attributes", build=in_raw_attributes, suffix=".html"),
        bench.Report(name="in-raw-cells", build=in_raw_cells, suffix=".csv"),
        bench.Report(name="in-raw-markdown", build=in_raw_markdown, suffix=".md"),
        bench.Report(name="in-colours", build=in_colours),
        bench.Report(name="from-a-network", build=from_a_network, suffix=".html"),
        bench.Report(name="timed", build=timed),
        bench.Report(name="unsorted", build=unsorted),
        bench.Report(name="marking", build=marking),
    ]
