"""A comparison as text: one sentence first, then cells, Markdown for a pull request, plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench import stats
from bench.changes import SAME, Change, Comparison, Pair
from bench.gates import Finding, Verdict
from bench.rows import METRIC_NAMES
from bench.sides import Entry
from bench.text import listing, markdown_cell, one_line

SCHEMA = 1
HEADINGS = ("row", "metric", "seeds", "A", "B", "B less A", "says")
SHOWN = 8
"""Findings and lone rows that Markdown lists before it only counts."""


def summary(comparison: Comparison) -> str:
    """Return one sentence on how many rows became better and worse."""
    count = len(comparison.pairs)
    if not count:
        names = [
            {entry.block or entry.dataset for entry in side.entries}
            for side in (comparison.a, comparison.b)
        ]
        held = [listing(sorted(each), 3) or "nothing" for each in names]
        return f"no row is in both: A holds {held[0]}, B holds {held[1]}"
    verdicts = [says(pair.score, p) for pair, p in _scores(comparison)]
    counts = {
        "worse": verdicts.count("worse"),
        "better": verdicts.count("better"),
        "not told apart": verdicts.count("not told apart"),
        "not measured": sum(verdict.startswith("not measured") for verdict in verdicts),
    }
    counts["unchanged"] = verdicts.count("unchanged")
    counts["of the same runs"] = verdicts.count(SAME)
    verdict = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    lone = [
        f"{len(entries)} only in {name}"
        for name, entries in (("A", comparison.only_a), ("B", comparison.only_b))
        if entries
    ]
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return "; ".join([f"{rows} in both: {verdict}", *lone])


def _scores(comparison: Comparison) -> list[tuple[Pair, float]]:
    corrected = comparison.corrected()
    return [(pair, corrected.get(place, 1.0)) for place, pair in enumerate(comparison.pairs)]


def says(change: Change, p: float) -> str:
    """Return what a change means, given its p-value after correction."""
    found = change.difference
    if found is None:
        return f"not measured: {change.why}"
    if found.test == SAME:
        return found.test
    if found.low == found.high == 0:
        return "unchanged"
    if p >= stats.ALPHA:
        return "not told apart"
    return "better" if change.better * found.estimate > 0 else "worse"


def notes(comparison: Comparison) -> list[str]:
    """Return what a reader must know of the numbers, a sentence each."""
    result = []
    tests = dict.fromkeys(
        change.difference.test
        for pair in comparison.pairs
        for change in pair.changes
        if change.difference is not None and change.difference.test != SAME
    )
    if tests:
        result.append(
            f"intervals are at 95 % ({', '.join(tests)}); `better` and `worse` hold over all rows "
            "together (Holm)"
        )
    if any(
        change.of_networks and change.difference
        for pair in comparison.pairs
        for change in pair.changes
    ):
        result.append(
            "rows with one seed compare two networks; `--seeds 3` or more compare the methods"
        )
    differing = _differing(comparison)
    if differing:
        result.append(f"what the runs were made with differs in {listing(differing, 6)}")
    for name, entries in (("A", comparison.only_a), ("B", comparison.only_b)):
        by_block: dict[str, list[str]] = {}
        for entry in entries:
            by_block.setdefault(entry.block or entry.dataset, []).append(entry.label)
        for title, labels in by_block.items():
            result.append(f"only in {name}, {title}: {listing(labels, SHOWN)}")
    for name, side in (("A", comparison.a), ("B", comparison.b)):
        for entry in side.entries:
            if entry.plain["failed"]:
                causes = "; ".join(map(str, entry.plain["errors"]))
                failed = f"{entry.plain['failed']} of {_runs(entry)} runs failed"
                result.append(f"in {name}, {entry.title}: {failed} ({causes})")
    return result


def _runs(entry: Entry) -> int:
    return int(entry.plain["seeds"]) + int(entry.plain["failed"])


def _differing(comparison: Comparison) -> list[str]:
    """Return the fields that differ in any pair, with their values where all pairs agree."""
    seen: dict[str, set[tuple[str, str]]] = {}
    for pair in comparison.pairs:
        for name, then, now in pair.differing:
            seen.setdefault(name, set()).add((_short(then), _short(now)))
    lines = []
    for name, values in seen.items():
        [(then, now), *others] = [*values]
        lines.append(name if others else f"{name}: {then} -> {now}")
    return lines


def _short(value: Any) -> str:
    text = "none" if value is None else one_line(str(value), 40)
    # A digest says no more in full.
    return text[:8] if len(text) == 40 and " " not in text else text


def cells(pair: Pair, change: Change, p: float) -> list[str]:
    """Return a change as text, in the order of `HEADINGS`."""
    counts = [int(entry.plain["seeds"]) for entry in (pair.a, pair.b)]
    found = change.difference
    moved = "–"
    if found is not None:
        moved = change.spoken(found.estimate)
        if found.low != found.high:
            ends = (change.spoken(end, unit=False) for end in (found.low, found.high))
            moved += f" ({' to '.join(ends)})"
    return [
        pair.b.label,
        METRIC_NAMES.get(change.metric, change.metric),
        str(counts[0]) if counts[0] == counts[1] else f"{counts[0]}, {counts[1]}",
        change.shown(change.a),
        change.shown(change.b),
        moved,
        says(change, p),
    ]


def blocks(comparison: Comparison) -> dict[str, list[list[str]]]:
    """Return the rows as cells, by the title of their block in B."""
    result: dict[str, list[list[str]]] = {}
    names = dict.fromkeys(change.metric for pair in comparison.pairs for change in pair.changes)
    corrected = {name: comparison.corrected(name) for name in names}
    for place, pair in enumerate(comparison.pairs):
        title = pair.b.block or pair.b.dataset
        for change in pair.changes:
            p = corrected[change.metric].get(place, 1.0)
            result.setdefault(title, []).append(cells(pair, change, p))
    return result


def told(findings: Sequence[Finding]) -> list[str]:
    """Return the first findings, the gravest first, and how many more there are."""
    lines = [f"{finding.verdict}: {finding.why}" for finding in findings[:SHOWN]]
    more = len(findings) - SHOWN
    return [*lines, f"and {more} more"] if more > 0 else lines


def conclusion(findings: Sequence[Finding]) -> str:
    """Return the gate's verdict in one line."""
    counts = {v: sum(f.verdict is v for f in findings) for v in Verdict}
    checks = f"{len(findings)} check" + ("s" if len(findings) != 1 else "")
    each = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
    word = (
        "regressed"
        if counts[Verdict.REGRESSED]
        else ("could not measure" if counts[Verdict.UNMEASURED] else "passed")
    )
    return f"{word}: {checks}, {each}"


def to_markdown(comparison: Comparison, findings: Sequence[Finding] | None = None) -> str:
    """Return a comment for a pull request: the verdict, what is behind it, the table."""
    lines = []
    if findings is not None:
        lines += [f"**{markdown_cell(conclusion(findings))}**", ""]
        grave = told([each for each in findings if each.verdict is not Verdict.KEPT])
        lines += [f"- {markdown_cell(line)}" for line in grave]
        lines += [""] if grave else []
    sides = f"A is {comparison.a.name}, B is {comparison.b.name}. {summary(comparison)}."
    lines += [markdown_cell(sides), ""]
    for title, rows in blocks(comparison).items():
        lines += [f"**{markdown_cell(title)}**", ""]
        lines.append("| " + " | ".join(HEADINGS) + " |")
        lines.append("|" + "---|" * len(HEADINGS))
        lines += ["| " + " | ".join(map(markdown_cell, row)) + " |" for row in rows]
        lines.append("")
    lines += [f"- {markdown_cell(note)}" for note in notes(comparison)]
    return "\n".join(lines).rstrip() + "\n"


def to_dict(
    comparison: Comparison, findings: Sequence[Finding] | None, code: int
) -> dict[str, Any]:
    """Return the comparison as plain data."""
    names = dict.fromkeys(change.metric for pair in comparison.pairs for change in pair.changes)
    corrected = {name: comparison.corrected(name) for name in names}
    pairs = [
        {
            **_named(pair.b),
            "differing": [{"field": f, "a": a, "b": b} for f, a, b in pair.differing],
            "changes": [
                _change(change, corrected[change.metric].get(place, 1.0)) for change in pair.changes
            ],
            **{f"seeds_{side}": e.plain["seeds"] for side, e in (("a", pair.a), ("b", pair.b))},
            **{f"failed_{side}": e.plain["failed"] for side, e in (("a", pair.a), ("b", pair.b))},
            **{f"errors_{side}": e.plain["errors"] for side, e in (("a", pair.a), ("b", pair.b))},
        }
        for place, pair in enumerate(comparison.pairs)
    ]
    checks = [
        {
            "limit": finding.limit.text,
            "metric": finding.limit.metric,
            "verdict": str(finding.verdict),
            "why": finding.why,
            "row": _named(finding.pair.b) if finding.pair else None,
        }
        for finding in findings or ()
    ]
    return {
        "schema": SCHEMA,
        "a": {"name": comparison.a.name, "what": comparison.a.what},
        "b": {"name": comparison.b.name, "what": comparison.b.what},
        "summary": summary(comparison),
        "rows": pairs,
        "only_a": [_named(entry) for entry in comparison.only_a],
        "only_b": [_named(entry) for entry in comparison.only_b],
        "notes": notes(comparison),
        "checks": None if findings is None else checks,
        "exit_code": code,
    }


def _named(entry: Entry) -> Mapping[str, Any]:
    names = ("dataset", "model", "weights", "optimizer", "params", "protocol")
    return {"label": entry.label, **{name: entry.plain.get(name) for name in names}}


def _change(change: Change, p: float) -> Mapping[str, Any]:
    found = change.difference
    return {
        "metric": change.metric,
        "a": change.a,
        "b": change.b,
        "difference": None if found is None else asdict(found),
        "p_holm": None if found is None else p,
        "says": says(change, p),
        "of_networks": change.of_networks,
    }
