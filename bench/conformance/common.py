"""What holds for components of every kind."""

from __future__ import annotations

import importlib.util
import inspect
from contextvars import ContextVar
from pathlib import Path

from bench.conformance.rules import Broken, Skipped, after_name
from bench.errors import BenchError
from bench.overrides import defaults_of
from bench.registry import Offer
from bench.resolving import known_fields
from bench.text import listing, one_line

PRINTED: ContextVar[Path | None] = ContextVar("printed", default=None)
"""The file that takes what is written to stdout while a component is checked; None where nobody
looks."""


def tells_its_params(offer: Offer) -> None:
    """Its params are keyword-only, with defaults that a record can hold."""
    component = offer.component
    found = inspect.signature(component.factory).parameters.values()
    lacking = [p.name for p in found if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if lacking:
        raise Broken(
            f"{listing(lacking)} has no default",
            "give each param a default: it is the untuned baseline, and what is documented",
        )
    try:
        defaults_of(offer)
    except BenchError as error:
        fix = "give each keyword-only param of the factory a plain default"
        raise Broken(after_name(error, offer), fix) from error


def pins_fields_of_the_protocol(offer: Offer) -> None:
    """What it pins or recommends are fields of the protocol, with values that they take."""
    recommended = getattr(offer.component, "recommends", {})
    for verb, fields in (("pins", offer.component.pins), ("recommends", recommended)):
        try:
            known_fields(offer, fields, verb)
        except BenchError as error:
            fix = "name fields that `bench run --help` shows, with values that they take"
            raise Broken(after_name(error, offer), fix) from error


def says_what_it_is(offer: Offer) -> None:
    """It has a description: a line of its own, or the first of the factory's docstring."""
    if not offer.component.summary.strip():
        raise Broken(
            "it has neither a description nor a docstring",
            "begin the factory with a docstring: its first line is what `bench list` shows",
        )


def preloads_what_is_there(offer: Offer) -> None:
    """It names only modules to preload that can be imported."""
    for name in offer.component.preload:
        try:
            found = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            raise Broken(
                f"there is no module `{name}`, which its `preload` names",
                "name what the factory imports, for example `torch`; drop what is not installed",
            )


def keeps_stdout_clean(offer: Offer) -> None:
    """Nothing is printed to stdout, which belongs to results such as those of `--json`."""
    path = PRINTED.get()
    if path is None:
        raise Skipped("what it prints is looked at only in a process of its own")
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    said = [line for line in lines if line.strip()]
    if said:
        raise Broken(
            f"it printed {one_line(said[0], 60)!r}",
            "use `logging`, or `print(..., file=sys.stderr)`",
        )


COMMON = (
    tells_its_params,
    pins_fields_of_the_protocol,
    says_what_it_is,
    preloads_what_is_there,
    keeps_stdout_clean,
)
