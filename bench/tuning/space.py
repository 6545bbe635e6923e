"""What a study searches: the ranges that components propose, and those that the user gives."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from bench.config import ExperimentConfig
from bench.errors import ConfigError, UsageError
from bench.overrides import PROTOCOL
from bench.protocol import COMPANIONS
from bench.records import RunSpec
from bench.registry import Registry
from bench.tuning.asking import Session
from bench.tuning.domains import Domain
from bench.tuning.request import Request, read_request
from bench.tuning.walking import Chooser, Path, ScriptedTrial, explore, leaves
from bench.variation import vary

_COUNTED = 10_000
"""Points of a grid that are counted, where they are too many."""


class Space:
    """What the study of one cell searches; `space_of` makes it.

    Args:
        spec: the cell.
        request: what is to be searched in it.
        registry: offers the components.
        results: the folder of earlier runs.

    Attributes:
        used: what of `search` and `space` concerns this cell.

    Raises:
        UsageError: some of the trials could not be runs.
        PluginError: what a component proposes does not fit its params.
    """

    def __init__(
        self, spec: RunSpec, request: Request, registry: Registry, results: FilePath
    ) -> None:
        self._spec = spec
        self._request = request
        self._pins = {
            kind: registry.of(kind, ref).component.pins for kind, ref in spec.components.items()
        }
        self._asked: dict[str, Domain] = {}
        self._always: set[str] = set()
        self._explore(registry, results)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Ask an Optuna-like trial for everything that is searched.

        Returns:
            What `bench.variation.vary` takes: values by the names that `--set` knows. The trial
            is asked under the names of `describe`, which are the same but for components that
            compute their params of something else.

        Raises:
            PluginError: a component's `suggest` fails, or returns what are no params of it.
        """
        return self._walk(lambda name, domain: domain.ask(trial, name), trial).values

    def defaults(self) -> dict[str, Any]:
        """Return what `suggest` does, with the values that the cell itself has."""
        return {name: self._base(name) for name in self._default_path().values}

    def default_answers(self) -> dict[str, Any]:
        """Return what a trial with the cell's own values would be asked for, and the answers.

        What lies outside of its range, or of what no param says the value, is missing.
        """
        asked = self._default_path().asked
        known = {name: self._base(name) for name in asked if self._has_base(name)}
        return {name: asked[name].stored(v) for name, v in known.items() if v in asked[name]}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return what a trial may be asked for, as `StudyRecord.space` has it."""
        return {
            name: {**domain.describe(), **self._condition(name)}
            for name, domain in self._asked.items()
        }

    def grid(self, size: int) -> list[dict[str, Any]]:
        """Return at most `size` points spread evenly, in a shuffled order.

        All choices are gone through. Ranges begin with one point each, the middle; the range with
        the fewest points gets one more, from end to end, as long as the points are not too many.

        Returns:
            What a trial is asked for, by the names of `describe`, and the answers.

        Raises:
            UsageError: even the coarsest grid has more points.
        """
        counts: dict[str, int] = {}
        found = self._leaves(counts, _COUNTED)
        if len(found) > size:
            many = f"{len(found)}" if len(found) < _COUNTED else f"{_COUNTED} or more"
            raise UsageError(
                f"the coarsest grid over {', '.join(f'`{name}`' for name in self._asked)} has "
                f"{many} points and the budget is {size}; search less, or give more"
            )
        full: set[str] = set()
        while growing := [name for name in self._ranges(found) if name not in full]:
            name = min(growing, key=lambda each: counts.get(each, 1))
            finer = {**counts, name: counts.get(name, 1) + 1}
            more = self._leaves(finer, size + 1)
            if len(found) < len(more) <= size:
                counts, found = finer, more
            else:
                full.add(name)
        points = [
            {name: path.asked[name].stored(value) for name, value in path.answers.items()}
            for path in found
        ]
        # A budget may end it early: what was done by then is to be no corner of it.
        random.Random(0).shuffle(points)
        return points

    def _leaves(self, counts: Mapping[str, int], limit: int) -> list[Path]:
        """Return the points of a grid, at most so many."""

        def points(name: str, domain: Domain) -> list[Any]:
            return domain.points(counts.get(name, 1))

        return list(itertools.islice(leaves(self._walk, points), limit))

    def _ranges(self, paths: Sequence[Path]) -> list[str]:
        """Return what on some paths is asked for as a range, in the order of asking."""
        ranges = dict.fromkeys(
            name for path in paths for name, domain in path.asked.items() if domain.kind != "choice"
        )
        return list(ranges)

    def _default_path(self) -> Path:
        def choose(name: str, domain: Domain) -> Any:
            return self._base(name) if self._has_base(name) else domain.points(1)[0]

        return self._walk(choose)

    def _has_base(self, name: str) -> bool:
        found = self._request.owner(name)
        return found is None or found[1] in found[0].defaults

    def _base(self, name: str) -> Any:
        """Return the value that the cell itself has."""
        found = self._request.owner(name)
        if found is None:
            field = name.removeprefix(f"{PROTOCOL}.")
            return self._spec.protocol[field]
        return found[0].params[found[1]]

    def _condition(self, name: str) -> dict[str, str]:
        """Say when something is asked for, where that is known."""
        entry = self._request.entries.get(name)
        texts = [str(entry.condition)] if entry and entry.condition else []
        found = self._request.owner(name)
        if found is not None and f"{PROTOCOL}.{found[0].kind}" in self._request.entries:
            texts.append(f"{PROTOCOL}.{found[0].kind}={found[0].name}")
        field = name.removeprefix(f"{PROTOCOL}.")
        if found is None and field in COMPANIONS and name not in self._always:
            texts.append(COMPANIONS[field][1].replace("`", ""))
        return {"condition": " and ".join(texts)} if texts else {}

    def _explore(self, registry: Registry, results: FilePath) -> None:
        """Find out what may be asked for, and that trials at the ends of it can be runs."""
        ways, chance = explore(self._walk)
        self._always = set(ways[0].asked)
        for path in (*ways, *chance):
            self._always &= path.asked.keys()
            for name, domain in path.asked.items():
                self._asked[name] = self._asked.setdefault(name, domain).merge(domain)
        set_somewhere = {name for path in (*ways, *chance) for name in path.values}
        for name, entry in self._request.entries.items():
            if entry.condition and self._request.owner(name) and name not in set_somewhere:
                raise ConfigError(
                    f"{entry.source}: its condition, `{entry.condition}`, never holds"
                )
        origins = {
            entry.origin for name, entry in self._request.entries.items() if name in set_somewhere
        }
        self.used = frozenset(self._request.used | origins)
        for path in ways:
            vary(self._spec, path.values, registry, results)

    def _walk(self, chooser: Chooser, trial: Any = None) -> Path:
        """Have a chooser answer everything that is asked for."""
        trial = ScriptedTrial() if trial is None else trial
        session = Session(self._spec, self._request, self._pins, chooser, trial)
        session.run()
        return session.path


def space_of(spec: RunSpec, config: ExperimentConfig, registry: Registry) -> Space:
    """Return what the study of a cell searches.

    What `search` and `space` say of components of other cells is passed over; `check_used` tells
    whether all of it concerned some cell.

    Raises:
        UsageError: `search` or `space` of the config cannot be understood.
        PluginError: what a component proposes does not fit its params.
    """
    request = read_request(spec, config, registry)
    return Space(spec, request, registry, config.results)


def check_used(spaces: Iterable[Space], config: ExperimentConfig) -> None:
    """Refuse what was named to be searched and concerns none of the cells.

    Raises:
        ConfigError: there is such a name.
    """
    used = frozenset[tuple[str, str]]().union(*(space.used for space in spaces))
    for name, option in _named(config).items():
        if name not in used:
            field = name[1].removeprefix(f"{PROTOCOL}.").replace("-", "_")
            advice = "name components that were chosen, and that propose ranges"
            if name[1] != field and field in COMPANIONS:
                advice = f"it goes with {COMPANIONS[field][1]}"
            elif name[1] != field:
                advice = "a component that was chosen pins it"
            raise ConfigError(f"{option}: it does nothing in any of the cells; {advice}")


def _named(config: ExperimentConfig) -> Mapping[tuple[str, str], str]:
    """Return what the user has named to be searched, with the option that it was named in."""
    named = {("space", key): f"--space {key}" for key in config.space}
    if "search" in config.model_fields_set:
        named |= {("search", item): f"--search {item}" for item in config.search}
    return named
