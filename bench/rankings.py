"""The leaderboard of a whole results directory, of which only what has changed is made again.

Runs are ranked by contest (see `RunSpec.contest`), each on its own. The index keeps the blocks of
a contest with a hash of the runs in it, the studies and the code that ranks; new ones take their
place, so that the index does not grow with every run.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import leaderboard, studies
from bench.index import Entry
from bench.leaderboard import Block, Leaderboard
from bench.records import Purpose, canonical, digest
from bench.rows import Row
from bench.store import Store
from bench.studies import StudyRecord

_KEPT = ("answer", "metric", "gap", "gap_of_methods")
"""The fields of a block that are as they were made, whatever else is in the leaderboard."""


def stored(store: Store, sort: str = "score") -> Leaderboard:
    """Return what `leaderboard.build` makes of all records of a store; rows have no records.

    Args:
        store: is left with the warnings of what could not be read.
        sort: one of `bench.rows.SORTS`.
    """
    contests: dict[str, list[Entry]] = {}
    for entry in store.entries():
        if entry.purpose == Purpose.FINAL:
            contests.setdefault(entry.contest, []).append(entry)
    found, warnings = studies.read_all(store.root)
    warnings = [*store.warnings, *warnings]
    chosen_by = digest([study.to_dict() for study in found])
    kept = store.recall(map(_place, contests))
    blocks: list[Block] = []
    made: dict[str, str] = {}
    for contest, entries in contests.items():
        key = _key(entries, chosen_by)
        known = _remembered(kept.get(_place(contest)), key)
        if known is None:
            known = _ranked(store, entries, found)
            plain = {"key": key, "blocks": [_to_plain(block) for block in known]}
            made[_place(contest)] = json.dumps(plain)
        blocks += known
    if made:
        store.remember(made)
    store.warnings = warnings
    return leaderboard.assembled(blocks, sort)


def _ranked(store: Store, entries: Sequence[Entry], found: Sequence[StudyRecord]) -> list[Block]:
    records = store.records(entry.id for entry in entries)
    return leaderboard.blocks_of(records, store, found)


def _place(contest: str) -> str:
    """Return where the index keeps the blocks of a contest."""
    return f"ranking:{contest}"


def _remembered(text: str | None, key: str) -> list[Block] | None:
    """Return the blocks that the index has kept, or None where they are others or damaged."""
    try:
        kept = json.loads(text) if text else {}
        return [_from_plain(each) for each in kept["blocks"]] if kept["key"] == key else None
    except (ValueError, KeyError, TypeError):
        return None


def _key(entries: Sequence[Entry], chosen_by: str) -> str:
    """Return a hash of all that the blocks of a contest are made from."""
    runs = "".join(f"{entry.id} {entry.modified} {entry.size}\n" for entry in entries)
    return digest([_code(), chosen_by, hashlib.sha256(runs.encode()).hexdigest()])


@functools.cache
def _code() -> str:
    """Return a hash of the core's source without the engine's: all that may have a say in a rank.

    Blocks that other code has made are not taken. Reading it takes some milliseconds.
    """
    here = Path(__file__).parent
    paths = sorted([*here.glob("*.py"), *(here / "stats").glob("*.py")])
    return digest([path.read_text("utf-8") for path in paths])


def _to_plain(block: Block) -> dict[str, Any]:
    """Return a block as plain data, what its rows have in common once."""
    rows = [row.to_plain() for row in block.rows]
    first = rows[0]
    common = {
        name: value
        for name, value in first.items()
        if all(canonical(row[name]) == canonical(value) for row in rows)
    }
    own = [{name: row[name] for name in row if name not in common} for row in rows]
    plain = {name: getattr(block, name) for name in _KEPT}
    return {**plain, "common": common, "rows": own}


def _from_plain(data: dict[str, Any]) -> Block:
    rows = [Row.from_plain({**data["common"], **own}) for own in data["rows"]]
    return Block("", rows, **{name: data[name] for name in _KEPT})
