"""What `bench compare` compares: the rows of a results folder, a run, or a saved leaderboard.

Rows of two sides belong together if they are of one method on one dataset. Seeds, code and
versions may differ between them; that they do is what a comparison is for.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import leaderboard
from bench.answers import AnswerBook
from bench.errors import ConfigError, StoreError
from bench.protocol import Protocol
from bench.records import Purpose, RunRecord, canonical
from bench.rows import Row
from bench.store import Store
from bench.text import one_line

LEADERBOARD = "leaderboard.json"
CARRIED = ("threads", "log_steps")
"""Protocol fields about how a run is carried out; rows that differ in them are of one method."""


@functools.cache
def _usual_protocol() -> dict[str, Any]:
    """Return every protocol field at its default."""
    return Protocol.model_validate({}).model_dump(mode="json")


@dataclass(frozen=True)
class Entry:
    """One row of a side.

    Attributes:
        plain: the row as `leaderboard.json` holds it.
        row: with its records; None where only a saved leaderboard is at hand.
        content: the fingerprint of the dataset's content; None where it is not known.
        block: the title of the block that it stands in: dataset and protocol.
    """

    plain: Mapping[str, Any]
    row: Row | None = None
    content: str | None = None
    block: str = ""

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return str(self.plain["dataset"])

    @property
    def method(self) -> str:
        """What rows have in common that are compared, params left out."""
        plain = self.plain
        pinned = plain.get("pinned") or ()
        # A field that an earlier version did not know had the value that is its default now.
        protocol = {**_usual_protocol(), **plain["protocol"]}
        left_out = (*CARRIED, *pinned)
        asked = {name: value for name, value in protocol.items() if name not in left_out}
        names = [plain.get(name) for name in ("dataset", "model", "weights", "optimizer")]
        return canonical([*names, asked, self.search, plain.get("draw")])

    @property
    def search(self) -> list[Any] | None:
        """The search that chose the params; None for params that were asked for."""
        tuning = self.plain.get("tuning") if self.plain.get("tuned") else None
        if not isinstance(tuning, Mapping):
            return None
        return [tuning.get(name) for name in ("label", "sampler", "pruner", "budget")]

    @property
    def params(self) -> dict[str, Any]:
        """The params by kind of component, without where the dataset lies."""
        params = self.plain["params"]
        return {kind: dict(values) for kind, values in params.items() if kind != "dataset"}

    @property
    def circumstances(self) -> str:
        """What tells apart rows of one method within a side."""
        return canonical([self.plain.get(name) for name in ("device", "mode", "devices")])

    @property
    def label(self) -> str:
        """How tables name the row: model and optimizer, with the params that tell it apart."""
        if self.row is not None:
            return f"{self.row.name} with {self.row.optimizer_name}"
        plain = self.plain
        start = f" from {plain['weights']}" if plain.get("weights") else ""
        drawn = ", ".join(f"{name}={value}" for name, value in (plain.get("draw") or {}).items())
        model = f"{plain['model']}{start}" + (f" ({drawn})" if drawn else "")
        return f"{model} with {plain['optimizer']}"

    @property
    def title(self) -> str:
        """The row's name for a sentence, with its dataset and protocol."""
        return f"`{self.label}` on `{self.block or self.dataset}`"


@dataclass(frozen=True)
class Side:
    """One of the two things that are compared.

    Attributes:
        name: as the user wrote it.
        what: `results`, `run` or `leaderboard`.
        book: predictions of the runs; None for a saved leaderboard.
        warnings: one line for each file that was skipped.
    """

    name: str
    what: str
    entries: Sequence[Entry]
    book: AnswerBook | None = None
    warnings: Sequence[str] = field(default_factory=tuple)


class JointBook(AnswerBook):
    """The predictions of runs of several stores, which may hold runs of one id."""

    def __init__(self, sides: Sequence[Side]) -> None:
        super().__init__(Store(Path()))
        self._books: dict[int, AnswerBook] = {}
        self._kept = sides  # the keys are addresses of its records
        for side in sides:
            for entry in side.entries:
                for record in entry.row.records if entry.row and side.book else ():
                    assert side.book is not None
                    self._books[id(record)] = side.book

    def folder(self, record: RunRecord) -> Path:
        """Return the folder that holds a run's predictions."""
        return self._books[id(record)].folder(record)


def read(name: str, results: Path) -> Side:
    """Return what a results folder, a run's id or a saved leaderboard holds.

    Args:
        name: a folder, a `leaderboard.json`, or the beginning of a run's id.
        results: where a run is looked for.

    Raises:
        ConfigError: it is none of these.
        StoreError: the file or folder cannot be read or holds no leaderboard.
        UnknownNameError: no run has that id, or several have.
    """
    path = Path(name)
    if path.is_file():
        return _saved(name, path)
    if path.is_dir():
        if (path / "record.json").is_file():
            store = Store(path.resolve().parent.parent)
            return _of_run(name, path.resolve().name, store)
        if (path / "runs").is_dir():
            return _of_results(name, Store(path))
        if (path / LEADERBOARD).is_file():
            return _saved(name, path / LEADERBOARD)
        raise StoreError(f"`{name}` holds neither runs nor a `{LEADERBOARD}`")
    if "/" in name or path.suffix:
        raise ConfigError(
            f"there is no `{name}`; name a results folder, a `{LEADERBOARD}` or a run's id"
        )
    return _of_run(name, name, Store(results))


def _of_results(name: str, store: Store) -> Side:
    board = leaderboard.build(store.finals(), store)
    return _side(name, "results", board, store)


def _of_run(name: str, prefix: str, store: Store) -> Side:
    record = store.find(prefix)
    if record.spec.purpose is not Purpose.FINAL:
        raise ConfigError(
            f"run {record.id} ({record.spec.role}) has no test score; name a final run"
        )
    return _side(name, "run", leaderboard.build([record], store), store)


def _side(name: str, what: str, board: leaderboard.Leaderboard, store: Store) -> Side:
    entries = [
        Entry(row.to_dict(), row, row.content, block.title)
        for block in board.blocks
        for row in block.rows
    ]
    return Side(name, what, entries, AnswerBook(store), tuple(dict.fromkeys(store.warnings)))


def _saved(name: str, path: Path) -> Side:
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read `{path}`: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"`{path}` is no JSON; was it cut?") from error
    known = data.get("schema") if isinstance(data, dict) else None
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise StoreError(f"`{path}` is no leaderboard; `bench leaderboard --json` prints one")
    if known != leaderboard.SCHEMA:
        raise StoreError(
            f"the schema of `{path}` is {known!r}, this version reads {leaderboard.SCHEMA}"
        )
    entries = []
    for number, row in enumerate(rows, start=1):
        try:
            block = data["blocks"][row["block"]] if "block" in row else {}
            entry = Entry(row, None, row.get("content"), str(block.get("title", "")))
            _check(entry)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            why = one_line(f"{type(error).__name__}: {error}", 120)
            raise StoreError(f"row {number} of `{path}` is no row of a leaderboard ({why})") from (
                error
            )
        entries.append(entry)
    return Side(name, "leaderboard", entries)


def _check(entry: Entry) -> None:
    """Touch all that is read of a saved row, so that a foreign one is found out here."""
    _ = (entry.dataset, entry.method, entry.params, entry.label, entry.circumstances)
    for value in entry.plain["metrics"].values():
        _ = {name: value[name] for name in ("mean",)}
    _ = [int(entry.plain[name]) for name in ("seeds", "failed")]
    _ = [str(error) for error in entry.plain["errors"]]
    if not isinstance(entry.plain["metric"], str):
        raise TypeError("its metric has no name")
