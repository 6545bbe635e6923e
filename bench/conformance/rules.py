"""What a rule of the conformance kit is, and how one says that a component breaks it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.specs import KINDS
from bench.text import one_line

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
        seconds: that it may take whatever is allowed, as it has an end of its own.
    """

    kind: str
    name: str
    check: Callable[[Offer], None]
    text: str
    seconds: float = 0.0


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


LOADED = "is_loaded"
"""What stands for a rule while the plugin is loaded."""

DATA_DIR: ContextVar[Path | None] = ContextVar("data_dir", default=None)
"""The user's folder with datasets, as `--data-dir` names it."""

RULES: dict[str, list[Rule]] = {kind: [] for kind in KINDS}
"""By kind, in the order of definition. All rules rest on the first of their kind: where that one is
broken, they are not checked."""

Check = Callable[["Offer"], None]


def rule(kind: str, seconds: float = 0.0) -> Callable[[Check], Check]:
    """Return a decorator that makes a function a rule of a kind; its name is the rule's."""

    def add(check: Check) -> Check:
        name = check.__name__
        text = (inspect.getdoc(check) or "").partition("\n")[0]
        assert text, f"rule `{name}` has no docstring"
        assert all(known.name != name for known in RULES[kind]), f"two rules `{name}` of a {kind}"
        RULES[kind].append(Rule(kind, name, check, text, seconds))
        return check

    return add


def name_of(offer: Offer) -> str:
    """Return how the core's messages are to name a component while it is checked."""
    return f"{offer.component.kind} `{offer.name}` of plugin {offer.plugin.label}"


def after_name(error: BaseException, offer: Offer) -> str:
    """Return what an error of the core says, without the component that everybody knows of here."""
    text = one_line(str(error))
    return text.removeprefix(name_of(offer)).lstrip(": ") or text
