"""What rows of a block are called: as little as tells each from its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.records import canonical
from bench.rows import Row, Tuning


def tell_apart(rows: list[Row]) -> None:
    """Note in each row the params and pinned fields in which it differs from its neighbours.

    Of tuned rows those count that were asked for: what was found may differ in every digit.
    """
    tuned = [row for row in rows if row.is_tuned]
    for row in tuned:
        alike = [other for other in tuned if _method(other) == _method(row)]
        _show(row, _asked(row), [_asked(other) for other in alike])
        row.shown_params |= row.draw
    _mark(tuned)
    rows = [row for row in rows if not row.is_tuned]
    for row in rows:
        for kind, params in row.params.items():
            alike = [
                other
                for other in rows
                if getattr(other, kind, None) == getattr(row, kind, None)
                and other.protocol.get(kind) == row.protocol.get(kind)
            ]
            _show(row, {kind: params}, [other.params for other in alike])
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


def _show(
    row: Row,
    params: Mapping[str, Mapping[str, Any]],
    others: Sequence[Mapping[str, Mapping[str, Any]]],
) -> None:
    """Note the params, by kind of component, in which a row differs from others."""
    for kind, own in params.items():
        if kind == "dataset":
            continue  # its content is the block's
        for name, value in own.items():
            known = [other[kind].get(name) for other in others if kind in other]
            if all(canonical(each) == canonical(value) for each in known):
                continue
            if kind == "optimizer":
                row.shown_optimizer_params[name] = value
            else:
                row.shown_params[name if kind == "model" else f"{kind}.{name}"] = value


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
