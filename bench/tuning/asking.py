"""One trial, asked for everything that is searched, in an order that conditions may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.errors import ConfigError
from bench.overrides import PROTOCOL
from bench.protocol import COMPANIONS, Protocol, is_in_use
from bench.records import RunSpec
from bench.resolving import LATE
from bench.tuning.domains import Domain
from bench.tuning.proposals import Part, propose
from bench.tuning.request import Request
from bench.tuning.walking import Chooser, Path

_MISSING = object()
"""The answer to what is not asked for."""
_FIELDS = sorted(Protocol.model_fields, key=lambda name: (name not in LATE, name in COMPANIONS))
"""The protocol's fields: first those that name components, last those that depend on others."""


class Session:
    """One trial that is asked for everything; what is known of it so far."""

    def __init__(
        self,
        spec: RunSpec,
        request: Request,
        pins: Mapping[str, Mapping[str, Any]],
        chooser: Chooser,
        trial: Any,
    ) -> None:
        self.path = Path()
        self._trial = trial
        self._spec = spec
        self._request = request
        self._pins = pins
        self._chooser = chooser
        self._known: dict[str, Any] = {}
        self._under_way: set[str] = set()
        self._begun: list[Part] = []
        self._done: list[Part] = []
        self._too_early: dict[str, str] = {}

    def run(self) -> None:
        """Ask for everything: the protocol first, but for what it depends on.

        Raises:
            ConfigError: something is to depend on what is asked for after it.
            PluginError: a component's `suggest` fails.
        """
        for field in _FIELDS:
            name = f"{PROTOCOL}.{field}"
            if name in self._request.entries:
                self._entry(name)
        for parts in self._request.parts.values():
            for part in parts:
                if self._is_active(part):
                    self._propose(part)
        for name, asker in self._too_early.items():
            if name in self.path.answers:
                raise ConfigError(
                    f"{self._request.entries[asker].source}: it cannot depend on `{name}`, which "
                    "is asked for only after it; choose another condition"
                )

    def _propose(self, part: Part) -> None:
        """Ask for what a component proposes, then for what else the user wants of it; once."""
        if any(part is other for other in self._begun):
            return
        self._begun.append(part)
        if part.searched:

            def answer(param: str, domain: Domain) -> Any:
                return self._answer(part, param, domain)

            for param, value in propose(part, self._trial, answer).items():
                key = part.key(param)
                if param in part.searched and key not in self._request.entries:
                    self.path.values[key] = value
        for param in part.defaults:
            key = part.key(param)
            asked_there = part.searched and param in part.proposal.asked
            if key in self._request.entries and not asked_there:
                self._entry(key)
        self._done.append(part)

    def _answer(self, part: Part, param: str, domain: Domain) -> Any:
        """Answer what a component asks for."""
        key = part.key(param)
        if key in self._request.entries:
            value = self._entry(key)
            return part.params[param] if value is _MISSING else value
        if param in part.defaults and param not in part.searched:
            return part.params[param]
        return self._ask(key, domain)

    def _ask(self, name: str, domain: Domain) -> Any:
        if name not in self.path.answers:
            self.path.asked[name] = domain
            self.path.answers[name] = self._chooser(name, domain)
        return self.path.answers[name]

    def _entry(self, name: str) -> Any:
        """Answer what the user has named; `_MISSING` if it does not apply."""
        if name not in self._known:
            self._under_way.add(name)
            self._known[name] = self._find(name)
            self._under_way.discard(name)
            if self._known[name] is not _MISSING:
                self.path.values[name] = self._known[name]
        return self._known[name]

    def _find(self, name: str) -> Any:
        entry = self._request.entries[name]
        if not self._applies(name):
            return _MISSING
        condition = entry.condition
        if condition is not None:
            value = self._value_of(condition.name, name)
            if value is _MISSING or not condition.holds(value):
                return _MISSING
        return entry.domain.only if entry.domain.is_fixed else self._ask(name, entry.domain)

    def _value_of(self, name: str, asker: str) -> Any:
        """Return what a condition looks at; `_MISSING` if it is not asked for."""
        if name in self.path.answers:
            return self.path.answers[name]
        part, param = self._request.owner(name) or (None, "")
        if part is not None and not self._is_active(part):
            return _MISSING
        if part is not None and part.searched and param in part.proposal.asked:
            if param in part.proposal.always:
                if name not in self._request.entries:
                    return self._ask(name, part.proposal.asked[param])
            else:
                self._propose(part)
                if not any(part is other for other in self._done):
                    self._too_early[name] = asker
                return self.path.answers.get(name, _MISSING)
        if name in self._under_way:
            self._too_early[name] = asker
            return _MISSING
        return self._entry(name)

    def _applies(self, name: str) -> bool:
        """Return whether a name does anything in this trial."""
        found = self._request.owner(name)
        if found is not None:
            return self._is_active(found[0])
        field = name.removeprefix(f"{PROTOCOL}.")
        if field in LATE:
            return field not in self._pinned(self._pins)
        if field in COMPANIONS:
            self._settle(lambda other: other not in COMPANIONS)
        if not is_in_use(field, self._settings()):
            return False
        self._settle(lambda other: other in LATE)
        pins = {kind: self._part(kind).offer.component.pins for kind in self._request.parts}
        return field not in self._pinned({**self._pins, **pins})

    def _settle(self, chosen: Callable[[str], bool]) -> None:
        """Ask for the protocol fields that another one depends on."""
        for field in _FIELDS:
            name = f"{PROTOCOL}.{field}"
            if chosen(field) and name in self._request.entries and name not in self._under_way:
                self._entry(name)

    def _settings(self) -> dict[str, Any]:
        prefix = f"{PROTOCOL}."
        varied = {n.removeprefix(prefix): v for n, v in self.path.values.items()}
        return {**self._spec.settings, **varied}

    def _is_active(self, part: Part) -> bool:
        return self._part(part.kind) is part

    def _part(self, kind: str) -> Part:
        """Return the component of a kind that this trial has."""
        own, *others = self._request.parts[kind]
        name = f"{PROTOCOL}.{kind}"
        if not others or name in self._under_way:
            return own
        chosen = self._entry(name)
        return next((part for part in others if part.is_chosen(chosen)), own)

    @staticmethod
    def _pinned(pins: Mapping[str, Mapping[str, Any]]) -> set[str]:
        return {name for fields in pins.values() for name in fields}
