"""The settings of rows, so that any two of them can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.records import RunRecord, canonical
from bench.report.choice import Section, Shown
from bench.report.content import Settings
from bench.rows import Row
from bench.text import one_line

MOST = 200
"""Rows whose own settings are told; the best of all blocks in turn."""
LONGEST = 200
"""Letters of a value."""


def of(
    sections: Sequence[Section], rows: Sequence[Shown], records: Mapping[str, RunRecord]
) -> Settings:
    """Return the settings of some rows, and what all have alike.

    Versions and sources stand in records, so those are of the rows that have one; all else that
    rows have alike is of every row of the blocks.

    Args:
        sections: all blocks, of which several may have rows of one name.
        rows: of these.
        records: by the id of a row, one of its runs.
    """
    titles = {shown.id: each.block.title for each in sections for shown in each.rows}
    several = len(sections) > 1
    code = {shown.id: _code(records.get(shown.id)) for shown in rows}
    coded = {name for own in code.values() for name in own}
    found = {shown.id: _flat(shown.row) | code[shown.id] for shown in rows}
    every = [shown for each in sections for shown in each.rows]
    others = [_flat(shown.row) for shown in every if shown.id not in found]
    names = [*dict.fromkeys(name for settings in found.values() for name in settings)]
    common = {
        name: next(iter(values))
        for name in names
        if len(values := {settings.get(name) for settings in found.values()}) == 1
        and (name in coded or all(other.get(name) in values for other in others))
    }
    return Settings(
        tuple(
            (shown.id, f"{titles[shown.id]} · {shown.label}" if several else shown.label)
            for shown in rows
        ),
        tuple((name, value) for name, value in common.items() if value is not None),
        {
            row: {name: value for name, value in settings.items() if name not in common}
            for row, settings in found.items()
        },
        len(others),
    )


def _flat(row: Row) -> dict[str, str]:
    """Return all that decided what came of a row, by dotted name."""
    plain: dict[str, Any] = {"dataset": row.dataset, "content": (row.content or "unknown")[:12]}
    for kind, params in row.params.items():
        name = getattr(row, kind, None) or row.protocol.get(kind)
        if name is not None:
            plain[kind] = name
        plain |= {f"{kind}.{param}": value for param, value in params.items()}
    # The names of schedule, loss and augmentation are told with their params.
    plain |= {f"protocol.{k}": v for k, v in row.protocol.items() if k not in row.params}
    plain |= {f"draw.{key}": value for key, value in row.draw.items()}
    plain |= {"device": row.device, "devices": row.devices, "mode": row.mode, "seeds": row.seeds}
    plain |= {"members": ", ".join(map(str, row.members))} if row.members else {}
    plain |= {"tuned": row.mark or "yes"} if row.is_tuned else {}
    return {one_line(name, LONGEST): _word(value) for name, value in plain.items()}


def _code(record: RunRecord | None) -> dict[str, str]:
    """Return the versions and the sources that made the runs of a row, which they all share."""
    if record is None:
        return {}
    key = record.spec.key
    libraries = key.get("libraries")
    found = {f"version.{k}": v for k, v in libraries.items()} if isinstance(libraries, dict) else {}
    for kind in record.spec.components:
        part = key.get(kind)
        if isinstance(part, dict) and part.get("source"):
            found[f"source.{kind}"] = f"{part.get('version')} {str(part['source'])[:12]}"
    found |= {"source.engine": key["engine"]} if key.get("engine") else {}
    return {one_line(name, LONGEST): _word(value) for name, value in found.items()}


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    text = "none" if value is None else value if isinstance(value, str) else canonical(value)
    return one_line(text, LONGEST)
