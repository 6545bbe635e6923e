"""Which rows of two sides of a comparison belong together, and what differs between them.

Rows go together by method and dataset; where one side knows a param that the other lacks, as after
an update, by the params that both know; where a method has one row on each side, whatever its
params are, since a default that has changed is to show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.provenance import key_differences
from bench.records import canonical
from bench.sides import Entry, Side


def match(a: Side, b: Side) -> tuple[list[tuple[Entry, Entry]], list[Entry], list[Entry]]:
    """Return the rows that belong together, and those of A and B that have no counterpart."""
    if a.what == b.what == "run":
        # Whoever names two runs wants these compared, whatever they differ in.
        one, other = a.entries[0], b.entries[0]
        return ([(one, other)], [], []) if one.dataset == other.dataset else ([], [one], [other])
    ways: list[Callable[[Entry, Entry], bool]] = [
        lambda one, other: _params(one) == _params(other) and _place_of(one) == _place_of(other),
        lambda one, other: (
            _params(one) == _params(other) and one.circumstances == other.circumstances
        ),
        lambda one, other: _params(one) == _params(other),
        _agree,
        # A default that has changed is to show: the only row of a method is that method's.
        lambda one, other: True,
    ]
    left_a, left_b = [*a.entries], [*b.entries]
    matched: list[tuple[Entry, Entry]] = []
    for alike in ways:
        for one in [*left_a]:
            others = [entry for entry in left_b if _are_alike(one, entry, alike)]
            if len(others) != 1:
                continue
            if sum(_are_alike(entry, others[0], alike) for entry in left_a) == 1:
                matched.append((one, others[0]))
                left_a.remove(one)
                left_b.remove(others[0])
    places = {id(entry): place for place, entry in enumerate(b.entries)}
    return sorted(matched, key=lambda pair: places[id(pair[1])]), left_a, left_b


def _params(entry: Entry) -> str:
    """Return the params as text; of a tuned row none, since another search finds other ones."""
    return "" if entry.search else canonical(entry.params)


def _place_of(entry: Entry) -> tuple[str | None, str]:
    return entry.content, entry.circumstances


def _are_alike(one: Entry, other: Entry, alike: Callable[[Entry, Entry], bool]) -> bool:
    return one.method == other.method and alike(one, other)


def _agree(one: Entry, other: Entry) -> bool:
    """Return whether the params that both rows know are equal."""
    return set(one.params) == set(other.params) and all(
        canonical(values[name]) == canonical(other.params[kind][name])
        for kind, values in one.params.items()
        for name in values.keys() & other.params[kind].keys()
    )


def differing(a: Entry, b: Entry) -> list[tuple[str, Any, Any]]:
    """Return what differs in how two rows were made, seeds apart."""
    if a.row is not None and b.row is not None:
        keys = [
            {
                name: value
                for name, value in entry.row.records[-1].spec.key.items()
                if name != "seed"
            }
            for entry in (a, b)
            if entry.row is not None
        ]
        return list(key_differences(keys[0], keys[1]))
    names = ("device", "mode", "devices")
    return [
        (name, a.plain.get(name), b.plain.get(name))
        for name in names
        if a.plain.get(name) != b.plain.get(name)
    ]
