"""What a rule of the conformance kit is, and how one says that a component breaks it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.specs import KINDS

if TYPE_CHECKING:
    from bench.registry import Offer


class Broken(Exception):
    """Raised by a rule that a component breaks.

    Attributes:
        evidence: what was seen, with its numbers.
        fix: what the author of the plugin is to do.
    """

    def __init__(self, evidence: str, fix: str) -> None:
        super().__init__(evidence)
        self.evidence = evidence
        self.fix = fix


class Skipped(Exception):
    """Raised by a rule that cannot be checked here; its text says why."""


@dataclass(frozen=True)
class Rule:
    """Something that every component of a kind keeps to.

    Attributes:
        kind: of the components.
        name: of its function.
        check: takes an `Offer`; raises `Broken`, `Skipped` or, where the component does, anything.
        text: the first line of its docstring.
    """

    kind: str
    name: str
    check: Callable[[Offer], None]
    text: str


@dataclass(frozen=True)
class Failure:
    """A rule that a component breaks.

    Attributes:
        rule: its name.
        evidence: what was seen.
        fix: what the author of the plugin is to do.
    """

    rule: str
    evidence: str
    fix: str


RULES: dict[str, list[Rule]] = {kind: [] for kind in KINDS}
"""By kind, in the order of definition. All rules rest on the first of their kind: where that one is
broken, they are not checked."""

Check = Callable[["Offer"], None]


def rule(kind: str) -> Callable[[Check], Check]:
    """Return a decorator that makes a function a rule of a kind; its name is the rule's."""

    def add(check: Check) -> Check:
        name = check.__name__
        text = (inspect.getdoc(check) or "").partition("\n")[0]
        assert text, f"rule `{name}` has no docstring"
        assert all(known.name != name for known in RULES[kind]), f"two rules `{name}` of a {kind}"
        RULES[kind].append(Rule(kind, name, check, text))
        return check

    return add
