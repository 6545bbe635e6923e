"""The leaderboard of a whole results directory, of which only what has changed is made again.

Runs are ranked by contest (see `RunSpec.contest`), each on its own. The index keeps the blocks of
a contest with a hash of the runs in it, the studies and the code that ranks; new ones take their
place, so that the index does not grow with every run.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import answers, leaderboard, studies
from bench.index import Entry
from bench.leaderboard import Block, Leaderboard
from bench.records import Purpose, canonical, digest
from bench.rows import Row
from bench.standings import Standings
from bench.store import Store
from bench.studies import StudyRecord

_STANDINGS = "standings"
_KEPT = ("answer", "metric", "gap", "gap_of_methods", "unusable")
"""The fields of a block that are as they were made, whatever else is in the leaderboard."""
_LOOKS, _LOOKS_IN_ALL = 200, 2000
"""Runs of a contest, and of all, of which each call looks whether their predictions are those that
were ranked: what could not be used, then the best. Of 100,000 runs that took as long as all else.
"""


def stored(
    store: Store, sort: str = "score", entries: Sequence[Entry] | None = None
) -> Leaderboard:
    """Return what `leaderboard.build` makes of all records of a store; rows have no records.

    Args:
        store: is left with the warnings of what could not be read.
        sort: one of `bench.rows.SORTS`.
        entries: what the store has just said of its runs; it is asked where None.
    """
    with without_collecting():
        return _stored(store, sort, store.entries() if entries is None else entries)


def _stored(store: Store, sort: str, entries: Sequence[Entry]) -> Leaderboard:
    contests: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.purpose == Purpose.FINAL:
            contests.setdefault(entry.contest, []).append(entry)
    found, warnings = studies.read_all(store.root)
    warnings = [*store.warnings, *warnings]
    chosen_by = digest([study.to_dict() for study in found])
    kept = store.recall([_STANDINGS, *map(_place, contests)])
    blocks: list[Block] = []
    keys = []
    looks = max(1, min(_LOOKS, _LOOKS_IN_ALL // max(1, len(contests))))
    for contest, own in contests.items():
        keys.append(key := _key(own, chosen_by))
        known = _remembered(kept.get(_place(contest)), key, store, looks)
        if known is None:
            known = _made(store, own, found, contest, key)
        blocks += known
    board = _with_standings(store, blocks, sort, digest(sorted(keys)), kept.get(_STANDINGS))
    store.warnings = [*warnings, *answers.warnings(board.unusable, store)]
    return board


def _made(
    store: Store,
    entries: Sequence[Entry],
    found: Sequence[StudyRecord],
    contest: str,
    key: str,
) -> list[Block]:
    """Rank the runs of a contest and keep its blocks; return them without the records."""
    records = store.records(entry.id for entry in entries)
    blocks = leaderboard.blocks_of(records, store, found)
    looked_at = {run: answers.stamp(store.folder(run)) for run in _to_look_at(blocks)}
    ranked = [_to_plain(block) for block in blocks]
    text = json.dumps({"key": key, "blocks": ranked, "predictions": looked_at})
    store.remember({_place(contest): text})
    return _remembered(text, key, store, 0) or []


def _to_look_at(blocks: Sequence[Block]) -> list[str]:
    """Return runs whose predictions matter most, if they should come, go or change."""
    unusable = (run for block in blocks for run in block.unusable)
    best = (run for block in blocks for row in block.rows for run in row.runs)
    return [*itertools.islice(dict.fromkeys(itertools.chain(unusable, best)), _LOOKS)]


def _with_standings(
    store: Store, blocks: list[Block], sort: str, key: str, text: str | None
) -> Leaderboard:
    """Return the leaderboard, with what holds over several datasets if that was found before."""
    try:
        kept = json.loads(text) if text else {}
        if kept["key"] == key:
            known = [Standings.from_plain(each) for each in kept["standings"]]
            return leaderboard.assembled(blocks, sort, known)
    except (ValueError, KeyError, TypeError):
        pass  # none yet, or damaged
    board = leaderboard.assembled(blocks, sort)
    if not blocks:
        return board  # what was looked at may be no results folder: nothing is left there
    plain = {"key": key, "standings": [each.to_plain() for each in board.standings]}
    store.remember({_STANDINGS: json.dumps(plain)})
    return board


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Look for no cycles meanwhile: rows have none, and of many the search takes longer than all.

    With 100,000 runs it was three of seven seconds.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _place(contest: str) -> str:
    """Return where the index keeps the blocks of a contest."""
    return f"ranking:{contest}"


def _remembered(text: str | None, key: str, store: Store, looks: int) -> list[Block] | None:
    """Return the blocks that the index has kept, or None where they are others or damaged.

    Args:
        text: what it has kept.
        key: of what is wanted.
        store: has the predictions.
        looks: of how many runs to look whether their predictions have changed.
    """
    try:
        kept = json.loads(text) if text else {}
        if kept["key"] != key:
            return None
        for run, was in itertools.islice(kept["predictions"].items(), looks):
            if answers.stamp(store.folder(run)) != (None if was is None else tuple(was)):
                return None
        return [_from_plain(each) for each in kept["blocks"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _key(entries: Sequence[Entry], chosen_by: str) -> str:
    """Return a hash of all that the blocks of a contest are made from."""
    runs = "".join(f"{entry.id} {entry.modified} {entry.size}\n" for entry in entries)
    return digest([source(), chosen_by, hashlib.sha256(runs.encode()).hexdigest()])


@functools.cache
def source() -> str:
    """Return a hash of the core's source without the engine's: all that may have a say in a rank.

    What other code has made of runs is not taken. Reading it takes some milliseconds.
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
