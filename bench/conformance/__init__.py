"""The conformance kit: what a component of each kind must do, checked on the component itself.

One file a kind, each a list of rules. The built-in plugins keep to them like anybody's.
"""

from __future__ import annotations

import importlib
import inspect

from bench.conformance.common import COMMON
from bench.conformance.rules import RULES, Rule
from bench.specs import KINDS

FURTHER = {"model": ("model_modes", "model_facts")}
"""By kind, the files with rules besides the one that is called as the kind in the plural."""


def rules_of(kind: str) -> list[Rule]:
    """Return the rules of a kind, those for all kinds last; this may import torch."""
    for name in (KINDS[kind].plural, *FURTHER.get(kind, ())):
        importlib.import_module(f"{__name__}.{name}")
    common = [
        Rule(kind, check.__name__, check, (inspect.getdoc(check) or "").partition("\n")[0])
        for check in COMMON
    ]
    return [*RULES[kind], *common]
