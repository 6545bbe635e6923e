"""What components propose to a search, tried out: one rule for all kinds that have a `suggest`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.conformance.evidence import raised
from bench.conformance.rules import Broken, after_name, rule
from bench.errors import PluginError
from bench.overrides import defaults_of
from bench.registry import Offer
from bench.text import listing
from bench.tuning.domains import Domain
from bench.tuning.proposals import Part, propose, try_out
from bench.tuning.walking import Path, ScriptedTrial, explore

_EVENLY = 33
"""Points of a range among which the trials at random choose."""
_TRIALS = 20


def rule_on_suggestions(kind: str, build: Callable[..., Any]) -> None:
    """Make the rule on what the components of a kind propose.

    Args:
        kind: of component.
        build: takes an offer and params, and has the component build with them; it may look at
            what was built, and raise what it likes.
    """

    @rule(kind)
    def suggests_usable_params(offer: Offer) -> None:
        """What its `suggest` proposes are params of it, with values that it builds with."""
        if offer.component.suggest is None:
            return
        defaults = defaults_of(offer)
        part = Part(offer.component.kind, offer.name, offer, defaults, defaults)
        known = listing(defaults, 20) or "none, as there are no keyword-only params"
        try:
            try_out(part, {})
            proposed = proposals(part)
        except PluginError as error:
            raise Broken(
                after_name(error, offer),
                f"let `suggest` return params of `build` ({known}), in the types of their defaults",
            ) from error
        for params in proposed:
            try:
                build(offer, **params)
            except Exception as error:
                values = ", ".join(f"{name}={value!r}" for name, value in params.items())
                raise Broken(
                    f"of {values}, which `suggest` proposed, {raised(error, offer)}",
                    "let `suggest` ask only for what `build` takes",
                ) from error


def proposals(part: Part) -> list[dict[str, Any]]:
    """Return what a component proposes: the ends of every range, each choice, and some at random.

    Raises:
        PluginError: its `suggest` fails, or returns what are no params of it.
    """

    def walk(chooser: Callable[[str, Domain], Any]) -> Path:
        path = Path()

        def answer(name: str, domain: Domain) -> Any:
            if name not in path.asked:
                path.asked[name] = domain
                path.answers[name] = chooser(name, domain)
            return path.answers[name]

        path.values = propose(part, ScriptedTrial(), answer)
        return path

    generator = random.Random(0)
    ways, chance = explore(walk)
    paths = [*ways, *chance]
    paths += [
        walk(lambda name, domain: generator.choice(domain.points(_EVENLY))) for _ in range(_TRIALS)
    ]
    found: list[dict[str, Any]] = []
    for path in paths:
        if path.values not in found:
            found.append(path.values)
    return found
