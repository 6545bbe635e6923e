"""What rows of a block are called: as little as tells each from its neighbours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.records import canonical
from bench.rows import Row, Tuning


def tell_apart(rows: list[Row]) -> None:
    """Note in each row the params and pinned fields in which it differs from its neighbours.

    Of tuned rows those count that were asked for: what was found may differ in every digit.
    """
    tuned = [row for row in rows if row.is_tuned]
    plain = [row for row in rows if not row.is_tuned]
    _show_differing(tuned, lambda row, kind: _method(row), _asked)
    for row in tuned:
        row.shown_params |= row.draw
    _mark(tuned)
    _show_differing(
        plain,
        lambda row, kind: (getattr(row, kind, None), row.protocol.get(kind)),
        lambda row: row.params,
    )
    for row in plain:
        for name in row.pinned:
            row.shown_params[name] = row.protocol[name]
        row.shown_params |= row.draw
        if row.devices > 1:
            row.shown_params["devices"] = row.devices
    _spare_digests([row for row in rows if row.members])


def _asked(row: Row) -> Mapping[str, Mapping[str, Any]]:
    return row.tuning.asked if row.tuning is not None else {}


def _method(row: Row) -> tuple[Any, ...]:
    return (row.model, row.weights, row.optimizer, row.devices)


def _show_differing(
    rows: Sequence[Row],
    peers: Callable[[Row, str], Any],
    params_of: Callable[[Row], Mapping[str, Mapping[str, Any]]],
) -> None:
    """Note in each row the params, by kind of component, in which it differs from its peers."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        for kind in params_of(row):
            if kind != "dataset":  # its content is the block's
                groups.setdefault(canonical([kind, peers(row, kind)]), []).append(row)
    for key, alike in groups.items():
        kind = json.loads(key)[0]
        known = [params_of(row)[kind] for row in alike]
        for name in _differing(known):
            for row, params in zip(alike, known, strict=True):
                if name not in params:
                    continue
                if kind == "optimizer":
                    row.shown_optimizer_params[name] = params[name]
                else:
                    row.shown_params[name if kind == "model" else f"{kind}.{name}"] = params[name]


def _differing(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of which not all have the same value, in the order of their appearance."""
    names = dict.fromkeys(name for each in params for name in each)
    return [name for name in names if len({canonical(each.get(name)) for each in params}) > 1]


def _spare_digests(rows: Sequence[Row]) -> None:
    """Leave out the digest of an ensemble's methods where the rest tells it from others."""
    said = [{k: v for k, v in row.shown_params.items() if k != "methods"} for row in rows]
    alike = [
        (row.model, row.optimizer, row.members, rest) for row, rest in zip(rows, said, strict=True)
    ]
    for row, rest, own in zip(rows, said, alike, strict=True):
        if alike.count(own) == 1:
            row.shown_params = rest


def _mark(rows: Sequence[Row]) -> None:
    """Say of tuned rows what they are, in as few words as tell them apart."""
    ways: list[Callable[[Tuning], str]] = [
        lambda tuning: "tuned",
        lambda tuning: f"tuned, {tuning.label}" if tuning.label else "tuned",
        lambda tuning: f"tuned by {tuning.sampler}",
        lambda tuning: f"tuned by {tuning.sampler}, {tuning.pruner}",
        lambda tuning: f"tuned, trial {tuning.trial}",
        lambda tuning: f"tuned by {tuning.sampler}, {tuning.pruner}, trial {tuning.trial}",
        lambda tuning: f"tuned by study {tuning.study[:6]}, trial {tuning.trial}",
    ]
    for row in rows:
        alike = [
            other.tuning
            for other in rows
            if (_method(other), other.shown_params, other.shown_optimizer_params)
            == (_method(row), row.shown_params, row.shown_optimizer_params)
            and other.tuning is not None
        ]
        assert row.tuning is not None
        own = row.tuning
        row.mark = next(
            (way(own) for way in ways if [way(other) for other in alike].count(way(own)) == 1),
            ways[-1](own),
        )


def labels_of(rows: Sequence[Row]) -> dict[int, str]:
    """Return the shortest name that tells each row from the others, by the row's `id()`."""
    models = {row.name for row in rows}
    optimizers = {row.optimizer_name for row in rows}
    result = {}
    for row in rows:
        if len(optimizers) == 1:
            result[id(row)] = row.name
        elif len(models) == 1:
            result[id(row)] = row.optimizer_name
        else:
            result[id(row)] = f"{row.name} with {row.optimizer_name}"
    return result


def labels_across(rows: Sequence[Row]) -> dict[int, str]:
    """Return how each row is called, by its `id()`, so that it can be found in another block.

    A block where all rows have one value of a param does not name it; here another block may.
    """
    copies = [replace(row, shown_params={}, shown_optimizer_params={}, mark="") for row in rows]
    tell_apart(copies)
    names = labels_of(copies)
    return {id(row): names[id(copy)] for row, copy in zip(rows, copies, strict=True)}
