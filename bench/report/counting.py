"""How many runs a report speaks of, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from bench.index import Entry
from bench.leaderboard import Leaderboard
from bench.records import Purpose, RunStatus
from bench.store import Store


def counts(entries: Sequence[Entry], board: Leaderboard, store: Store) -> str:
    """Return how many runs there are, of how many methods, and what became of them.

    Args:
        entries: of all runs that have a record.
        board: made from them.
        store: has just been asked for them.
    """
    finals = [entry for entry in entries if entry.purpose == Purpose.FINAL]
    trials = len(entries) - len(finals)
    stopped = sum(entry.status == RunStatus.INTERRUPTED for entry in finals)
    good = sum(entry.status == RunStatus.OK for entry in finals)
    failed = len(finals) - stopped - good
    ranked = sum(len(row.runs) for row in board.rows)
    begun = sum(store.attempt(run).is_dir() for run in store.unfinished)
    text = f"{_of(len(finals), 'run')} of {_of(len(board.rows), 'method')}"
    datasets = {row.dataset for row in board.rows}
    text += f" on {_of(len(datasets), 'dataset')}" if datasets else ""
    parts = [
        (failed, f"{failed:,} failed"),
        (stopped, f"{stopped:,} interrupted, which the same command goes on with"),
        (len(finals) - ranked, f"{len(finals) - ranked:,} left out, since later ones replace them"),
        (trials, f"{_of(trials, 'trial')} of searches besides"),
        (begun, f"{begun:,} under way, or cut off"),
    ]
    said = [words for number, words in parts if number > 0]
    if not entries:
        said = said or ["`bench run --models resnet50,mobilenet` makes some"]
        text = "no finished runs here yet"
    return f"{text}; {'; '.join(said)}" if said else text


def _of(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
