"""The conformance kit as pytest cases: each rule of each component of a plugin is a test.

import pytest
import bench_mine
from bench.testing import cases

@pytest.mark.parametrize("case", cases(bench_mine))
def test_conformance(case):
    case.run()
"""

from __future__ import annotations

import atexit
import functools
import json
import types
import unittest
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.conformance import rules_of
from bench.conformance.checking import SECONDS, Checker, Verdict
from bench.conformance.choosing import is_meant
from bench.conformance.recipes import Recipe, suited
from bench.conformance.rules import LOADED, Rule
from bench.errors import PluginError, UsageError
from bench.registry import Offer, Plugin, Registry
from bench.specs import KINDS
from bench.text import listing

__all__ = ["Case", "cases"]


@dataclass(frozen=True)
class Case:
    """One rule and one component that is to keep it.

    Attributes:
        offer: the component and its plugin.
        rule: what it must do.
        seconds: what a rule may take.
        params: of the component, in place of its defaults.
    """

    offer: Offer
    rule: Rule
    seconds: float = SECONDS
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How the test is called: `optimizer-nadam-lowers_a_convex_loss`."""
        return f"{self.rule.kind}-{self.offer.name}-{self.rule.name}"

    def run(self) -> None:
        """Fail unless the component keeps the rule.

        The component is checked in a process of its own, by all rules at once: its first case
        waits for that, the others know the answer.

        Raises:
            AssertionError: with the evidence and the fix.
            unittest.SkipTest: the rule cannot be checked here; pytest shows it as skipped.
        """
        verdict = self._verdict()
        for failure in verdict.failures:
            if failure.rule in (self.rule.name, LOADED):
                raise AssertionError(f"{failure.evidence}\nfix: {failure.fix}")
        if self.rule.name in verdict.skipped:
            raise unittest.SkipTest(verdict.skipped[self.rule.name])

    def debug(self) -> None:
        """Check the rule in this process, where a debugger can follow and errors go on up."""
        self.rule.check(Recipe.of(self.offer, self.params).offer())

    def _verdict(self) -> Verdict:
        recipe = Recipe.of(self.offer, self.params)
        key = json.dumps([recipe.module, recipe.kind, recipe.name, recipe.params, self.seconds])
        if key not in _verdicts:
            _verdicts[key] = _checker().check(recipe, self.seconds)
        return _verdicts[key]


def cases(
    plugin: types.ModuleType | Plugin,
    *,
    only: str | Collection[str] = (),
    params: Mapping[str, Any] | None = None,
    seconds: float = SECONDS,
) -> list[Any]:
    """Return a pytest param for each rule of each component that a plugin offers.

    Args:
        plugin: the module with the hooks, which others can import by its name; or a `Plugin` of a
            registry.
        only: the kinds, or the components as `NAME` or `KIND:NAME`, with globs; all by default.
        params: used in place of the defaults of these names, by the components that have them;
            a source is given its path so.
        seconds: what a rule may take.

    Raises:
        PluginError: the plugin cannot be loaded.
        UsageError: there is nothing to check.
    """
    import pytest

    wanted = [only] if isinstance(only, str) else list(only)
    found = []
    for offer in _offers(plugin):
        is_chosen = not wanted or any(
            name == offer.component.kind or is_meant(offer, name) for name in wanted
        )
        if not is_chosen:
            continue
        given = suited(params or {}, offer)
        for rule in rules_of(offer.component.kind):
            case = Case(offer, rule, seconds, given)
            found.append(pytest.param(case, id=case.name))
    if not found:
        what = f" that {listing(wanted)} names" if wanted else ""
        raise UsageError(f"{plugin!r} offers no component{what}, so that nothing is tested")
    return found


def _offers(plugin: types.ModuleType | Plugin) -> list[Offer]:
    if isinstance(plugin, Plugin):
        loaded = plugin
        if plugin.error:
            raise PluginError(f"plugin {plugin.label} could not be loaded: {plugin.error}")
    else:
        name = plugin.__name__
        loaded = Plugin(name=name, distribution=name, version="here", module=name)
        Registry().add(loaded, lambda: plugin)
        if loaded.error:
            raise PluginError(f"`{name}` is no sound plugin: {loaded.error}")
    order = list(KINDS)
    ranked = sorted(loaded.components, key=lambda component: order.index(component.kind))
    return [Offer(component, loaded) for component in ranked]


_verdicts: dict[str, Verdict] = {}


@functools.cache
def _checker() -> Checker:
    """Return the processes that check; they end with this one."""
    checker = Checker()
    atexit.register(checker.close)
    return checker
