"""What a user wants searched: `search` and `space` of the config, read for one cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from bench.config import ExperimentConfig, protocol_value
from bench.errors import BenchError, ConfigError
from bench.overrides import PROTOCOL, defaults_of
from bench.protocol import NOT_SEARCHED, SEARCH_RANGES, Protocol
from bench.records import COMPONENT_KINDS, OPTIONAL_KINDS, RunSpec
from bench.registry import Offer, Registry
from bench.resolving import LATE
from bench.specs import Dataset
from bench.text import did_you_mean, listing
from bench.tuning.domains import Condition, Domain, Written, range_of, read
from bench.tuning.proposals import Part, try_out

SEARCHABLE = tuple(k for k in (*COMPONENT_KINDS, *OPTIONAL_KINDS) if k != Dataset.kind)
"""The kinds of component of which something can be searched."""
ALL = "*"
"""How a protocol field says that every component of its kind is a choice."""


@dataclass(frozen=True)
class Entry:
    """Something that is searched beside what components propose, or within another range.

    Attributes:
        source: how messages about it begin.
        origin: what of the config asks for it: `space` or `search`, and the name there.
    """

    domain: Domain
    source: str
    origin: tuple[str, str]
    condition: Condition | None = None


@dataclass
class Request:
    """What is to be searched in one cell.

    Attributes:
        parts: the components that a trial may have, by kind; that of the base first.
        entries: by the names that `--set` knows.
        used: what of `search` concerns this cell, apart from `entries`.
    """

    parts: dict[str, list[Part]]
    entries: dict[str, Entry] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)

    def all_parts(self) -> Iterator[Part]:
        """Yield the components of all kinds."""
        for parts in self.parts.values():
            yield from parts

    def owner(self, name: str) -> tuple[Part, str] | None:
        """Return the component and the param that a name means; None for a protocol field."""
        for part in self.all_parts():
            param = name.removeprefix(part.key(""))
            is_own = param in part.defaults or param in part.proposal.asked
            if is_own and name == part.key(param):  # one name may begin as another
                return part, param
        return None

    def domain(self, name: str) -> Domain | None:
        """Return what a searched name may be answered; None if it is not searched."""
        if name in self.entries:
            return self.entries[name].domain
        part, param = self.owner(name) or (None, "")
        return part.proposal.asked.get(param) if part and param in part.searched else None


def read_request(spec: RunSpec, config: ExperimentConfig, registry: Registry) -> Request:
    """Return what is to be searched in a cell.

    Args:
        spec: the cell.
        config: says what the user wants searched, and what is fixed.
        registry: offers the components.

    Raises:
        UsageError: a name, range or condition that cannot be understood.
        PluginError: what a component proposes does not fit its params.
    """
    reader = _Reader(spec, config, registry)
    reader.read_fields()
    reader.read_parts()
    reader.read_params()
    reader.read_search()
    reader.check_conditions()
    return reader.request


class _Reader:
    """Reads what is to be searched; its methods are called in the order of their definition."""

    def __init__(self, spec: RunSpec, config: ExperimentConfig, registry: Registry) -> None:
        self.spec, self.config, self.registry = spec, config, registry
        self.request = Request({})
        self.written = [read(key, value) for key, value in config.space.items()]
        for written in self.written:
            if "." not in written.key:
                raise ConfigError(
                    f"{written.source}: write NAME.PARAM=LOW..HIGH or protocol.FIELD=A,B"
                )
        grid = {key.rpartition(".")[::2] for key in config.set}
        self.set_fields = {param.replace("-", "_") for name, param in grid if name == PROTOCOL}
        self.set_params = [(name, param) for name, param in grid if name != PROTOCOL]

    def read_fields(self) -> None:
        """Read which protocol fields are searched."""
        given = {*self.config.protocol, *self.set_fields}
        for written in self.written:
            name, _, field_name = written.key.rpartition(".")
            if name != PROTOCOL:
                continue
            field_name = field_name.replace("-", "_")
            _check_field(field_name, written.source)
            if field_name in given:
                raise ConfigError(
                    f"{written.source}: it is given as {self.spec.protocol[field_name]}; "
                    "leave out one of the two"
                )
            self._add_field(field_name, written, ("space", written.key))
        for item in self.config.search:
            for field_name in self._fields_of(item):
                key = f"{PROTOCOL}.{field_name}"
                if field_name in given or item == PROTOCOL:
                    self.request.used.add(("search", item))
                if field_name not in given and key not in self.request.entries:
                    asked = {**self.spec.protocol, **self.spec.pinned}
                    written = read(key, SEARCH_RANGES[field_name](asked))
                    self._add_field(field_name, written, ("search", item))

    def _fields_of(self, item: str) -> list[str]:
        """Return the protocol fields that an item of `search` names."""
        if item == PROTOCOL:
            return list(SEARCH_RANGES)
        name, _, field_name = item.rpartition(".")
        if name != PROTOCOL:
            return []
        field_name = field_name.replace("-", "_")
        _check_field(field_name, f"--search {item}")
        if field_name not in SEARCH_RANGES:
            raise ConfigError(
                f"--search {item}: no range is known for it; give one: "
                f"`--space protocol.{field_name}=...`"
            )
        return [field_name]

    def _add_field(self, name: str, written: Written, origin: tuple[str, str]) -> None:
        entry = Entry(self._field_domain(name, written), written.source, origin, written.condition)
        self.request.entries[f"{PROTOCOL}.{name}"] = entry

    def _field_domain(self, name: str, written: Written) -> Domain:
        """Return the range or the choices of a protocol field.

        Raises:
            ConfigError: it has no ranges, or a value does not suit it.
        """
        source = written.source
        if written.ends is not None:
            kinds = _types_of(Protocol.model_fields[name].annotation)
            if not kinds & {int, float}:
                raise ConfigError(f"{source}: it is no number and has no range; list choices")
            domain = range_of(written, "float" if float in kinds else "int")
            for end in (domain.low, domain.high):
                protocol_value(name, end, source)
            return domain
        if name in LATE:
            return Domain("choice", choices=tuple(self._components_of(name, written)))
        values = [protocol_value(name, value, source) for value in written.choices]
        if name == "batch_size":  # each device is to have an image
            values = [value for value in values if value >= self.spec.devices] or values
        return Domain("choice", choices=tuple(values))

    def _components_of(self, kind: str, written: Written) -> Iterator[str]:
        """Yield the components that a field may name, that of the base as it is called there."""
        if written.choices == (ALL,):
            offers = [o for o in self.registry.offers(kind) if not o.component.is_source]
        else:
            offers = []
            for name in written.choices:
                try:
                    found = self.registry.default(kind) if name is None else None
                    offers.append(found or self.registry.get(kind, str(name)))
                except BenchError as error:
                    raise ConfigError(f"{written.source}: {error}") from error
        own = self.spec.components[kind]
        names = [offer.name for offer in self.registry.offers(kind)]
        for offer in offers:
            is_own = (offer.name, offer.plugin.name) == (own.name, own.plugin)
            alone = is_own or names.count(offer.name) == 1
            yield offer.name if alone else f"{offer.name}@{offer.plugin.name}"

    def read_parts(self) -> None:
        """Find the components that a trial may have, and what the user has fixed of them."""
        for kind in SEARCHABLE:
            ref = self.spec.components.get(kind)
            if ref is None:
                continue
            offer = self.registry.of(kind, ref)
            parts = [Part(kind, ref.name, offer, ref.params, defaults_of(offer))]
            entry = self.request.entries.get(f"{PROTOCOL}.{kind}")
            for name in entry.domain.choices if entry else ():
                other = self.registry.get(kind, name) if name != ref.name else offer
                if other is not offer and _identity(other) != _identity(offer):
                    defaults = defaults_of(other)
                    parts.append(Part(kind, other.name, other, defaults, defaults))
            self.request.parts[kind] = parts
        for part in self.request.all_parts():
            part.fixed = {p for name, p in self.set_params if part.is_called(name)}
            if part.offer.component.is_source:
                part.fixed.add("path")

    def read_params(self) -> None:
        """Read which params have ranges of the user's own."""
        # What names a component comes last and replaces what a pattern says of it.
        for written in sorted(self.written, key=lambda each: not _is_pattern(each.key)):
            name, _, param = written.key.rpartition(".")
            if name == PROTOCOL:
                continue
            parts = [part for part in self.request.all_parts() if part.is_called(name)]
            if not parts and not self._is_elsewhere(name, written.source):
                raise ConfigError(f"{written.source}: {self._unknown(name)}")
            having = [part for part in parts if param in part.defaults]
            if parts and not having and not _is_pattern(name):
                known = dict.fromkeys(param for part in parts for param in part.defaults)
                has = f"its params are {listing(known, 20)}" if known else "it has no params"
                raise ConfigError(
                    f"{written.source}: `{name}` has no param `{param}`"
                    f"{did_you_mean(param, known)}; {has}"
                )
            for part in having:
                if param in part.fixed:
                    raise ConfigError(
                        f"{written.source}: `--set` fixes `{part.key(param)}`; "
                        "leave out one of the two"
                    )
                domain = part.domain(param, written)
                origin = ("space", written.key)
                entry = Entry(domain, written.source, origin, written.condition)
                self.request.entries[part.key(param)] = entry

    def _is_elsewhere(self, name: str, source: str) -> bool:
        """Return whether something of that name is installed, as it may be of another cell."""
        if _is_pattern(name):
            return True
        bare = name.partition(":")[0].partition("@")[0]
        if bare == Dataset.kind or bare in self.registry.names(Dataset.kind):
            raise ConfigError(
                f"{source}: a dataset is not searched: scores on different images "
                "cannot be compared"
            )
        return any(bare in self.registry.names(kind) for kind in SEARCHABLE)

    def _unknown(self, name: str) -> str:
        own = [part.name for part in self.request.all_parts()]
        known = [*own, *(name for kind in SEARCHABLE for name in self.registry.names(kind))]
        return (
            f"nothing is called `{name}`{did_you_mean(name, [*known, PROTOCOL])}; "
            f"this cell has {listing([*own, PROTOCOL], 20)}"
        )

    def read_search(self) -> None:
        """Try out what components propose, and read what of it is searched."""
        for part in self.request.all_parts():
            ranges = {
                param: self.request.entries[part.key(param)].domain
                for param in part.defaults
                if part.key(param) in self.request.entries
            }
            part.proposal = try_out(part, ranges)
        for item in self.config.search:
            if item != PROTOCOL and not item.startswith(f"{PROTOCOL}."):
                self._select(item)

    def _select(self, item: str) -> None:
        """Read one item of `search`: a kind, a component or a param."""
        source = f"--search {item}"
        if item in SEARCHABLE:
            parts, param = self.request.parts.get(item, []), None
        else:
            parts = [part for part in self.request.all_parts() if part.is_called(item)]
            name, dot, param = ("", "", None) if parts else item.rpartition(".")
            if dot:
                parts = [part for part in self.request.all_parts() if part.is_called(name)]
            if _is_pattern(name):
                parts = [part for part in parts if param in part.proposal.params]
            if not parts:
                if any(self._is_elsewhere(each, source) for each in (item, name) if each):
                    return
                hint = did_you_mean(item, (*SEARCHABLE, PROTOCOL))
                what = f"it takes {listing(SEARCHABLE)}, `{PROTOCOL}`, components and NAME.PARAM"
                raise ConfigError(f"{source}: {what + hint if hint else self._unknown(item)}")
        for part in parts:
            self._search_part(part, item, param)

    def _search_part(self, part: Part, item: str, param: str | None) -> None:
        proposed = part.proposal.params
        params = set(part.proposal.asked) | proposed if param is None else {param}
        by_name = item not in SEARCHABLE
        # `--space` may have a range for what the component proposes none for.
        spelt = (part.name, *part.offer.component.aliases)
        keys = [written.key.rpartition(".") for written in self.written]
        ranged = {word for name, _, word in keys if name in spelt}
        if by_name and not (params & (proposed | part.fixed | ranged)):
            if param is not None and param not in part.defaults:
                raise ConfigError(
                    f"--search {item}: `{part.name}` has no param `{param}`"
                    f"{did_you_mean(param, part.defaults)}; its params are "
                    f"{listing(part.defaults, 20)}"
                )
            what = f"no range of `{param}`" if param else "no ranges"
            raise ConfigError(
                f"--search {item}: `{part.name}` proposes {what}; give one: "
                f"`--space {part.key(param or 'PARAM')}=LOW..HIGH`"
            )
        if params:
            self.request.used.add(("search", item))
        part.searched |= (params & (set(part.proposal.asked) | proposed)) - part.fixed

    def check_conditions(self) -> None:
        """Have conditions name what is searched, by the name that it has there.

        Raises:
            ConfigError: one can never hold, or waits for itself.
        """
        entries = self.request.entries
        for name, entry in list(entries.items()):
            if entry.condition is None:
                continue
            found = self._condition(entry.condition, entry.source)
            if found is None:
                del entries[name]
            else:
                entries[name] = dataclasses.replace(entry, condition=found)
        for name in entries:
            chain = [name]
            while condition := (entries[chain[-1]].condition if chain[-1] in entries else None):
                if condition.name in chain:
                    way = " -> ".join(f"`{each}`" for each in [*chain, condition.name])
                    raise ConfigError(f"{entries[name].source}: its condition goes round: {way}")
                chain.append(condition.name)

    def _condition(self, condition: Condition, source: str) -> Condition | None:
        """Return a condition by the canonical name; None if it is about another cell."""
        name, dot, param = condition.name.rpartition(".")
        if not dot:
            raise ConfigError(f"{source}: a condition is NAME.PARAM=VALUE, not `{condition}`")
        if name == PROTOCOL:
            canonical = f"{PROTOCOL}.{param.replace('-', '_')}"
            protocol_value(param.replace("-", "_"), condition.values[0], source)
        else:
            parts = [part for part in self.request.all_parts() if part.is_called(name)]
            if not parts:
                if self._is_elsewhere(name, source):
                    return None
                raise ConfigError(f"{source}: {self._unknown(name)}")
            canonical = parts[0].key(param)
        domain = self.request.domain(canonical)
        if domain is None:
            raise ConfigError(
                f"{source}: `{condition.name}` is not searched, so nothing can depend on it; "
                f"give it a range: `--space {condition.name}=...`"
            )
        missing = [value for value in condition.values if value not in domain]
        if missing:
            raise ConfigError(
                f"{source}: `{condition.name}` is never {missing[0]!r}; it is one of {domain}"
            )
        return Condition(canonical, condition.values)


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _identity(offer: Offer) -> tuple[str, str]:
    return offer.name, offer.plugin.name


def _check_field(name: str, source: str) -> None:
    """Refuse a protocol field that there is not, or that tuning leaves alone."""
    if name not in Protocol.model_fields:
        known = [field for field in Protocol.model_fields if field not in NOT_SEARCHED]
        raise ConfigError(
            f"{source}: the protocol has no field `{name}`{did_you_mean(name, known)}; "
            f"it can be searched in {listing(known, 20)}"
        )
    if name in NOT_SEARCHED:
        raise ConfigError(f"{source}: {NOT_SEARCHED[name]}")


def _types_of(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows, those inside of it included."""
    inner = get_args(annotation)
    return set().union(*map(_types_of, inner)) if inner else {annotation}
