"""How rules say what they have seen."""

from __future__ import annotations

from collections.abc import Callable

from bench.conformance import places
from bench.conformance.rules import Broken, Skipped
from bench.registry import Offer
from bench.text import one_line


def raised(error: BaseException, offer: Offer, who: str = "it") -> str:
    """Return what an error says and where in the plugin it comes from, after `it raised`."""
    if isinstance(error, Broken):
        return error.evidence
    place = places.of_error(error, places.folder_of(offer.plugin.module))
    # Some of torch's errors go on for a page.
    text = one_line(f"{who} raised {type(error).__name__}: {error}", 200)
    return f"{text} ({place})" if place else text


def unless_broken(other: Callable[[Offer], None], offer: Offer) -> None:
    """Skip the rule that asks, which is about to tell of what another one tells more plainly.

    Raises:
        Skipped: the other rule is broken.
    """
    try:
        other(offer)
    except Exception as error:
        raise Skipped(f"it rests on `{other.__name__}`, which is broken") from error
