"""What components propose: their `suggest`, asked under names of their own, and checked."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.errors import BenchError, ConfigError, PluginError
from bench.foreign_code import stdout_to_stderr
from bench.overrides import typed
from bench.registry import Offer
from bench.text import one_line
from bench.tuning.domains import (
    Domain,
    Written,
    proposed_choices,
    proposed_range,
    range_of,
)
from bench.tuning.walking import Chooser, Path, ScriptedTrial, explore


@dataclass
class Part:
    """A component that a trial may have, and what of it is searched.

    Attributes:
        kind: of component.
        name: as `--set` knows it.
        params: what it has in the base, or by default where it stands in for that of the base.
        defaults: of the component itself; the types of its params.
        fixed: params that the user has set.
        searched: params that are searched as the component proposes.
        proposal: what it proposes.
    """

    kind: str
    name: str
    offer: Offer
    params: Mapping[str, Any]
    defaults: Mapping[str, Any]
    fixed: set[str] = field(default_factory=set)
    searched: set[str] = field(default_factory=set)
    proposal: Proposal = field(default_factory=lambda: Proposal())

    def key(self, param: str) -> str:
        """Return the name that `--set` knows a param by."""
        return f"{self.name}.{param}"

    def is_called(self, name: str) -> bool:
        """Return whether a name, an alias or a pattern means this."""
        names = (self.name, self.offer.component.name, *self.offer.component.aliases)
        return name in names or any(fnmatch.fnmatchcase(each, name) for each in names)

    def is_chosen(self, name: str) -> bool:
        """Return whether a protocol field that says `name` means this."""
        return name in (self.name, f"{self.name}@{self.offer.plugin.name}")

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.kind} `{self.name}` of plugin {self.offer.plugin.label}"

    def domain(self, param: str, written: Written) -> Domain:
        """Return the range or the choices that a user has written for a param.

        Raises:
            ConfigError: it is no number and has no range, or a value does not suit it.
        """
        where = f"{written.source}: `{self.key(param)}`"
        default = self.defaults[param]
        if written.ends is None:
            values = (typed(value, default, where) for value in written.choices)
            return Domain("choice", choices=tuple(values))
        if default is None:  # its annotation tells more, if it has one
            parameter = inspect.signature(self.offer.component.factory).parameters[param]
            is_float = "float" in str(parameter.annotation) or float in map(type, written.ends)
        elif isinstance(default, bool) or not isinstance(default, int | float):
            raise ConfigError(
                f"{where} is {default!r} by default and has no range; list choices with commas"
            )
        else:
            is_float = isinstance(default, float)
        return range_of(written, "float" if is_float else "int")


@dataclass
class Proposal:
    """What a component proposes, as far as trying it out has shown.

    Attributes:
        asked: what a trial may be asked for, by the component's own names.
        always: those of them that every trial is asked for, with the same range or choices.
        params: those that are set.
    """

    asked: dict[str, Domain] = field(default_factory=dict)
    always: set[str] = field(default_factory=set)
    params: set[str] = field(default_factory=set)


Answer = Callable[[str, Domain], Any]


class NamedTrial:
    """A trial as a component sees it: what it asks for has the component's name before its own.

    Args:
        trial: the real one, for everything but questions.
        answer: answers questions, by the component's own names.

    Attributes:
        params: what the component was answered so far.
    """

    def __init__(self, trial: Any, answer: Answer) -> None:
        self.params: dict[str, Any] = {}
        self._trial = trial
        self._asked = answer

    def _answer(self, name: str, domain: Domain) -> Any:
        self.params[name] = self._asked(name, domain)
        return self.params[name]

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> Any:
        """Ask for a number."""
        return self._answer(name, proposed_range("float", low, high, step, log))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> Any:
        """Ask for a whole number."""
        if log and step != 1:
            raise ValueError("`log` and `step` do not go together")
        return self._answer(name, proposed_range("int", low, high, step, log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Ask for one of several values."""
        return self._answer(name, proposed_choices(choices))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("suggest_"):
            raise AttributeError(f"a trial has no `{name}`; use suggest_float, _int, _categorical")
        return getattr(self._trial, name)


class Asking:
    """The error of whoever answers, to be told from one of the component that asks."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.error: Exception | None = None

    def __call__(self, name: str, domain: Domain) -> Any:
        """Answer a question."""
        try:
            return self._answer(name, domain)
        except Exception as error:
            self.error = error
            raise


def propose(part: Part, trial: Any, answer: Answer) -> dict[str, Any]:
    """Return the params that a component proposes to a trial, in the types of its defaults.

    Args:
        part: the component.
        trial: for all but questions.
        answer: answers questions, by the component's own names.

    Raises:
        PluginError: its `suggest` fails, or returns what are no params of it.
    """
    suggest = part.offer.component.suggest
    if suggest is None:
        return {}
    asking = Asking(answer)
    try:
        with stdout_to_stderr():
            returned = suggest(NamedTrial(trial, asking))
    except (Exception, SystemExit) as error:
        if error is asking.error:
            raise
        said = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        raise PluginError(f"{part.label}: its `suggest` fails: {one_line(said)}") from error
    if not isinstance(returned, Mapping):
        raise PluginError(
            f"{part.label}: its `suggest` returned {type(returned).__name__}, not a dict of params"
        )
    found = {}
    for param, value in returned.items():
        if param not in part.defaults:
            known = ", ".join(f"`{name}`" for name in part.defaults) or "none"
            raise PluginError(
                f"{part.label}: its `suggest` returned `{param}`, which is no param of it ({known})"
            )
        try:
            found[param] = typed(value, part.defaults[param], f"`{part.key(param)}`")
        except ConfigError as error:
            raise PluginError(f"{part.label}: its `suggest` is wrong: {error}") from error
    return found


def try_out(part: Part, ranges: Mapping[str, Domain]) -> Proposal:
    """Return what a component proposes, tried out with all that may be answered.

    Args:
        part: the component; what of it is fixed is answered so.
        ranges: of its params, in place of those that it names.

    Raises:
        PluginError: as `propose`; or what it asks for under one name cannot be one thing.
    """
    if part.offer.component.suggest is None:
        return Proposal()

    def walk(chooser: Chooser) -> Path:
        path = Path()

        def answer(name: str, domain: Domain) -> Any:
            if name in part.fixed:
                return part.params[name]
            if name not in path.asked:
                path.asked[name] = ranges.get(name, domain)
                path.answers[name] = chooser(name, path.asked[name])
            return path.answers[name]

        path.values = propose(part, ScriptedTrial(), answer)
        return path

    ways, chance = explore(walk)
    proposal = Proposal(always=set(ways[0].asked))
    for path in (*ways, *chance):
        proposal.always &= path.asked.keys()
        proposal.params |= path.values.keys()
        for name, domain in path.asked.items():
            known = proposal.asked.setdefault(name, domain)
            if known != domain:
                proposal.always.discard(name)
                try:
                    proposal.asked[name] = known.merge(domain)
                except ValueError as error:
                    raise PluginError(
                        f"{part.label}: its `suggest` asks for `{name}` in different ways: {error}"
                    ) from error
    return proposal
