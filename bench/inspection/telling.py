"""What a check has found, in sentences, from the plain data that it prints and keeps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bench.records import RunSpec
from bench.text import listing, one_line

EXAMPLES = 3
"""How many examples a line of the summary names."""

Plain = Mapping[str, Any]
"""What `bench data check --json` prints."""


def command(spec: RunSpec) -> str:
    """Return the `bench data check` of a run's dataset."""
    words = ["bench", "data", "check", spec.dataset.selector]
    words += ["--data-dir", spec.data_dir] if spec.data_dir else []
    words += ["--exclude", spec.exclude] if spec.exclude else []
    return shlex.join(words)


def answer(found: Plain) -> str:
    """Return in a line whether a dataset is broken, and what repeats in it.

    Raises:
        KeyError, TypeError or AttributeError: this is not what a check prints.
    """
    above = _above(found)
    within = [pair for pair in found["duplicates"] if pair["b"] not in above]
    counts = {
        "cannot be read": len(found["unreadable"]),
        "under another label than a copy": len(found["conflicts"]),
        "in another split as well": len(found["leaks"]),
        "the same as another": sum(pair["kind"] == "exact" for pair in within),
        "nearly the same as another": sum(pair["kind"] == "near" for pair in within),
    }
    total = int(found["files"])
    whole = f"{total:,} {'image' if total == 1 else 'images'}"
    parts = [f"{count:,} {what}" for what, count in counts.items() if count]
    if not parts:
        return f"sound: {whole}, all of them readable, none twice"
    broken = found["unreadable"] or found["conflicts"] or found["leaks"]
    return f"{'broken' if broken else 'sound'}: of {whole}, {'; '.join(parts)}"


def rows(found: Plain, splits: Mapping[str, str] | None = None) -> list[tuple[str, int, list[str]]]:
    """Return a row for each kind of finding: what, how many, the first examples.

    Duplicates are counted here unless they stand among conflicts and leaks already. A warning
    that is about all images names none of them.

    Args:
        found: what a check prints.
        splits: the split of each image by name, as far as it is known.

    Raises:
        KeyError, TypeError or AttributeError: this is not what a check prints.
    """
    above = _above(found)
    others = [pair for pair in found["duplicates"] if pair["b"] not in above]
    other = "other " if above else ""
    kinds = [
        ("unreadable", [f"`{item['path']}` {item['why']}" for item in found["unreadable"]]),
        ("conflicting labels", [_labelled(pair) for pair in found["conflicts"]]),
        ("leaks between splits", [_leaking(pair, splits or {}) for pair in found["leaks"]]),
        (f"{other}exact duplicates", [_both(p) for p in others if p["kind"] == "exact"]),
        (f"{other}near duplicates", [_both(p) for p in others if p["kind"] == "near"]),
    ]
    told = [(name, len(examples), examples[:EXAMPLES]) for name, examples in kinds if examples]
    for warning in found["warnings"]:
        named = warning["examples"] if warning["count"] < found["files"] else ()
        examples = [_first(named)] if named else []
        told.append((f"warning: {warning['message']}", warning["count"], examples))
    return [
        (one_line(name), int(count), [one_line(example, 2000) for example in examples])
        for name, count, examples in told
    ]


def _above(found: Plain) -> set[str]:
    """Return the copies that stand among conflicts and leaks."""
    return {pair["b"] for pair in (*found["conflicts"], *found["leaks"])}


def _labelled(pair: Plain) -> str:
    a, b = pair["labels"]
    return f"`{pair['a']}` ({a or 'none'}) and `{pair['b']}` ({b or 'none'})"


def _leaking(pair: Plain, splits: Mapping[str, str]) -> str:
    a, b = (
        f"`{pair[end]}` ({splits[pair[end]]})" if pair[end] in splits else f"`{pair[end]}`"
        for end in ("a", "b")
    )
    return f"{a} and {b}, {pair['kind']}"


def _both(pair: Plain) -> str:
    return f"`{pair['a']}` and `{pair['b']}`"


def _first(names: Sequence[str]) -> str:
    return listing(names[:EXAMPLES]) + (", …" if len(names) > EXAMPLES else "")
