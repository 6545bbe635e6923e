"""What a record says of a run, as names and values that people read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.protocol import is_in_use
from bench.records import RunRecord
from bench.report.content import Facts
from bench.text import byte_size, duration, one_line

LONGEST = 2000
"""Characters of a value."""
_TOLD_ELSEWHERE = ("classes", "taxonomy", "ensemble", "mean", "std", "libraries")
"""What of an environment stands elsewhere or fills a page."""


def settings_of(record: RunRecord) -> Facts:
    """Return components with their params, the protocol as far as it is in use, and the seed."""
    spec = record.spec
    facts = [("role", spec.role)] if spec.role else []
    for kind, ref in spec.components.items():
        params = ", ".join(f"{name}={spoken(value)}" for name, value in ref.params.items())
        facts.append((kind, f"{ref.name} ({params})" if params else ref.name))
    for name, value in spec.protocol.items():
        if name not in spec.components and value is not None and is_in_use(name, spec.settings):
            pinned = ", pinned" if name in spec.pinned else ""
            facts.append((name.replace("_", " "), f"{spoken(value)}{pinned}"))
    return _lines([*facts, ("seed", str(spec.seed))])


def measured_of(record: RunRecord) -> Facts:
    """Return the metrics of each split, times and the size and speed of the network."""
    facts = []
    for split, values in record.metrics.items():
        plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
        told = ", ".join(f"{name.replace('_', ' ')} {spoken(v)}" for name, v in plain.items())
        facts.append((split, told))
    for part in (record.timing, record.profile):
        facts += [measured(name, value) for name, value in part.items()]
    return _lines(facts)


def environment_of(record: RunRecord) -> Facts:
    """Return versions, device, threads and so on, as they were."""
    known = record.environment
    told = {n: v for n, v in known.items() if n not in _TOLD_ELSEWHERE and v is not None}
    facts = [measured(name, value) for name, value in told.items()]
    libraries = known.get("libraries")
    if isinstance(libraries, dict):
        facts += [(str(name), spoken(version)) for name, version in libraries.items()]
    return _lines(facts)


def provenance_of(record: RunRecord) -> Facts:
    """Return what a run's id stands for: content, code, and when it was made."""
    key = record.spec.key
    content = key.get("dataset")
    facts = [("run", record.id)]
    if isinstance(content, dict):
        facts.append(("content", spoken(content.get("fingerprint"))))
        facts.append(("stored as", spoken(content.get("variant"))))
    for kind in record.spec.components:
        known = key.get(kind)
        if kind != "dataset" and isinstance(known, dict):
            told = [spoken(known.get(name)) for name in ("plugin", "version") if known.get(name)]
            code = f", code {known['source']}" if known.get("source") else ""
            facts.append((f"{kind} from", f"{' '.join(told)}{code}"))
    for name, heading in (("engine", "code of the engine"), ("source", "code that combines")):
        if key.get(name):
            facts.append((heading, spoken(key[name])))
    if record.spec.members:
        facts.append(("members", ", ".join(record.spec.members)))
    facts += [("started", record.started_at), ("finished", record.finished_at)]
    return _lines(facts)


def measured(name: str, value: Any) -> tuple[str, str]:
    """Return a field's name in words and its value in the unit that the name ends with."""
    words = name.replace("_", " ")
    number = not isinstance(value, bool) and isinstance(value, int | float)
    sensible = number and math.isfinite(value) and value >= 0
    for unit, text in _UNITS.items():
        if name.endswith(f"_{unit}"):
            # "train" alone would look like a split beside val and test.
            words = words if unit == "seconds" else words.removesuffix(f" {unit}")
            return words, text(value) if sensible else spoken(value)
    return words, spoken(value)


def spoken(value: Any) -> str:
    """Return a value of a record as a person reads it; `–` for what is not known."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {spoken(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(spoken(item) for item in value) or "none"
    return str(value)


def _lines(facts: list[tuple[str, str]]) -> Facts:
    return tuple((one_line(name), one_line(text, LONGEST)) for name, text in facts)


_UNITS: dict[str, Callable[[float], str]] = {
    "seconds": duration,
    "bytes": byte_size,
    "ms": lambda milliseconds: f"{milliseconds:.3g} ms",
}
"""The endings of fields that hold a quantity, and how it is said."""
