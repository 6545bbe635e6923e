"""Rules of formats of reports: text for any content, in which names stay names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from bench.conformance import elsewhere, markup
from bench.conformance import report_samples as samples
from bench.conformance.evidence import raised
from bench.conformance.rules import Broken, rule
from bench.report.content import Content
from bench.specs import Report
from bench.text import one_line

if TYPE_CHECKING:
    from bench.registry import Offer


@rule("report")
def returns_text(offer: Offer) -> None:
    """The text of a file is returned for a content with every part."""
    given: Any = offer.component.factory(samples.whole(samples.unchanged))
    if not isinstance(given, str):
        raise Broken(
            f"`build` returned {one_line(repr(given), 60)}",
            "return a `str`, the text of the file; `bench` writes it",
        )
    if not given.strip():
        raise Broken("`build` returned an empty text", "return what the report says")


@rule("report")
def tells_of_its_content(offer: Offer) -> None:
    """Other results make another report."""
    one = _text(offer, samples.whole(samples.unchanged))
    other = _text(offer, samples.whole(lambda text: f"other{text}"))
    if one == other:
        raise Broken(
            "contents in which every name and number differs made the same text",
            "write what the `bench.report.content.Content` says that `build` is given",
        )


@rule("report")
def copes_with_little(offer: Offer) -> None:
    """A content may lack any part: runs, rows, intervals, pictures."""
    usual = _text(offer, samples.whole(samples.unchanged))
    for name, content in samples.little().items():
        try:
            text = _text(offer, content)
        except Exception as error:
            raise Broken(
                f"{raised(error, offer)} for {name}",
                "look first whether there is any: results may hold nothing but a failed run",
            ) from error
        if not text.strip():
            raise Broken(f"{name} made an empty text", "say at least the title and the counts")
        _check_form(offer, name, text, usual)


@rule("report")
def is_what_its_suffix_says(offer: Offer) -> None:
    """The text can be read as a file with its suffix."""
    _check_form(offer, "a usual content", _text(offer, samples.whole(samples.unchanged)), "")


@rule("report")
def escapes_names(offer: Offer) -> None:
    """Names of datasets, models, classes and errors stay text, whatever stands in them."""
    suffix = _report(offer).suffix
    usual = _text(offer, samples.whole(samples.unchanged))
    for start in range(len(samples.HOSTILE)):
        text = _text(offer, samples.whole(samples.hostile(start)))
        _check_form(offer, "a content with hostile names", text, usual)
        for found in markup.lives(text, suffix):
            raise Broken(
                f"{found}",
                "escape every text of the content for the format, for example by "
                "`html.escape(text)` or a template that does so by itself, and drop control "
                "characters",
            )


@rule("report")
def stands_alone(offer: Offer) -> None:
    """A page asks for no other file and no network."""
    if not _report(offer).suffix.lower().endswith(markup.PAGES):
        return
    for asked in markup.fetched(_text(offer, samples.whole(samples.unchanged))):
        raise Broken(asked, "put it into the page: a report is one file that is sent around")


@rule("report")
def repeats_itself(offer: Offer) -> None:
    """The same content makes the same text, in another process as well."""
    first, again = _digest(offer), _digest(offer)
    if first != again:
        raise Broken(
            "the same content made two different texts",
            "write no time, random number or address of an object; `content.made` says when",
        )
    if first != elsewhere.ask(_digest, offer):
        raise Broken(
            "the same content made another text in a fresh process",
            "sort what comes from a `set`, whose order differs from process to process",
        )


@rule("report")
def leaves_its_content_alone(offer: Offer) -> None:
    """The content is not changed."""
    content = samples.whole(samples.unchanged)
    before = repr(content)
    _text(offer, content)
    if repr(content) != before:
        raise Broken(
            "it changed the content that it was given",
            "work on a copy: the same content may be written in several formats",
        )


def _check_form(offer: Offer, name: str, text: str, usual: str) -> None:
    """Break for a text that is not what the suffix says, unless that of usual ones is not."""
    suffix = _report(offer).suffix
    if usual and any(markup.faults(usual, suffix)):
        return
    for fault in markup.faults(text, suffix):
        raise Broken(
            f"of {name} it made a `{suffix}` file, but {one_line(fault, 200)}",
            "write what such files hold, or declare another `suffix`",
        )


def _report(offer: Offer) -> Report:
    assert isinstance(offer.component, Report)
    return offer.component


def _text(offer: Offer, content: Content) -> str:
    return _report(offer).build(content)


def _digest(offer: Offer) -> str:
    text = _text(offer, samples.whole(samples.unchanged))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
