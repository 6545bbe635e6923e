"""What names do in the text of a report that does not escape them, by the format of the text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree

MARK = "hacked"
"""Stands in every hostile name."""
PAGES = (".html", ".htm", ".xhtml", ".svg")
_ADDRESSES = ("href", "src", "action", "formaction", "xlink:href", "data", "poster", "srcset")
_CODE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1`*~*[ ]*$|(`+)(?!`).+?(?<!`)\2(?!`)", re.S | re.M)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def lives(text: str, suffix: str) -> Iterator[str]:
    """Yield what a name has become in a text other than text, in words."""
    ending = suffix.lower().rpartition(".")[2]
    if f".{ending}" in PAGES:
        yield from _Page(text).found
    elif ending in ("md", "markdown"):
        yield from _markdown(text)
    elif ending in ("csv", "tsv"):
        for cell in _cells(text, ending):
            if re.match(rf"[=+\-@]{MARK}", cell):
                yield f"a cell begins with `{cell[:1]}`, which a spreadsheet computes"
    elif ending == "tex" and f"{MARK}$x_1&5%#" in text:
        yield f"`{MARK}$x_1&5%#` stands as it is, which LaTeX takes for formulas and comments"
    if f"{MARK}49" in text:
        yield "`{{ 7*7 }}` in a name was computed"
    if ending == "json":
        return  # a format for machines, which has escapes of its own
    if (odd := _UNPRINTABLE.search(text)) is not None:
        yield f"a character U+{ord(odd[0]):04X} from a name, unprintable or turning directions"
    if re.search("[\ud800-\udfff]", text):
        yield "half of a surrogate pair from a name, which no file in UTF-8 can hold"


def faults(text: str, suffix: str) -> Iterator[str]:
    """Yield why a text is not what its suffix says."""
    ending = suffix.lower().rpartition(".")[2]
    try:
        if ending == "json":
            json.loads(text, parse_constant=_refused)
        elif ending in ("svg", "xml", "xhtml"):
            ElementTree.fromstring(text)
        elif ending in ("html", "htm") and "<" not in text:
            yield "there is no tag in it"
        elif ending in ("csv", "tsv"):
            list(_cells(text, ending))
    except (ValueError, SyntaxError, csv.Error) as error:
        yield f"it cannot be read as such: {error}"


def fetched(text: str) -> Iterator[str]:
    """Yield the addresses that a page asks for when it is opened, those within it left out."""
    for tag, address in _Page(text).asked:
        if address and not address.startswith(("#", "data:")):
            yield f"`<{tag}>` asks for `{address[:80]}`"
    for address in re.findall(r"url\(\s*['\"]?([^)'\"]+)|@import\s+['\"]([^'\"]+)", text):
        found = "".join(address).strip()
        if found and not found.startswith(("#", "data:")):
            yield f"a style asks for `{found[:80]}`"


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _cells(text: str, ending: str) -> Iterator[str]:
    reader = csv.reader(io.StringIO(text), delimiter="\t" if ending == "tsv" else ",", strict=True)
    for row in reader:
        yield from row


def _markdown(text: str) -> Iterator[str]:
    said = _CODE.sub("", text)
    yield from _Page(said).found
    if re.search(rf"^\|.*{MARK}\|cell", said, re.M):
        yield "a `|` in a name begins another cell of its table"
    if re.search(rf"^# {MARK} line", said, re.M):
        yield "a line break in a name begins a heading"


class _Page(HTMLParser):
    """What stands in a page: what names have become, and what it asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self._tag = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at a tag and its attributes."""
        self._tag = tag
        if tag.startswith(MARK):
            self.found.append(f"a name became a live tag `<{tag}>`")
        for attribute, value in attrs:
            said = (value or "").strip()
            if attribute.startswith(MARK):
                self.found.append(f"a name became an attribute `{attribute}` of `<{tag}>`")
            elif attribute.startswith("on") and MARK in said:
                self.found.append(f"a name stands in the handler `{attribute}` of `<{tag}>`")
            elif attribute in _ADDRESSES:
                self._look_at_address(tag, attribute, said)

    def _look_at_address(self, tag: str, attribute: str, said: str) -> None:
        if MARK in said and re.match(r"(?i)javascript:|https?:|//", said):
            self.found.append(f"a name became the address `{said[:60]}` of `<{tag} {attribute}>`")
        if tag != "a" and attribute != "action" and MARK not in said:
            self.asked.append((tag, said))

    def handle_data(self, data: str) -> None:
        """Look at scripts."""
        if self._tag == "script" and re.search(rf'(?<!\\)";{MARK}\(\)', data):
            self.found.append("a name became a part of a script")

    def handle_endtag(self, tag: str) -> None:
        """Leave a script."""
        self._tag = ""
