"""What is known of the runs of a results directory without reading each record again.

A database beside the runs, derived from them and made anew whenever it is damaged or of another
version; it is never the truth. It also keeps what was computed from records and predictions.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from bench.records import RunRecord

NAME = "index.sqlite"
_SCHEMA = 4
_AT_ONCE = 500
"""Keys in one query; SQLite once allowed 999."""
_SEAL = "."


class Stamp(NamedTuple):
    """What tells whether a file is still the one that was read: nanoseconds and bytes."""

    modified: int
    size: int


class Entry(NamedTuple):
    """A run, as far as choosing and grouping need it.

    Attributes:
        method: see `RunSpec.method`; likewise `contest`.
        content: the fingerprint of the dataset; empty where it is not known.
        needs: ids of the runs whose weights it began with or, of an ensemble, whose networks it
            combines, joined by commas.
        problem: why the record cannot be used; then the fields above are empty.
    """

    id: str
    modified: int
    size: int
    finished_at: str = ""
    status: str = ""
    purpose: str = ""
    method: str = ""
    contest: str = ""
    content: str = ""
    needs: str = ""
    problem: str = ""

    @property
    def stamp(self) -> Stamp:
        """What the file was when it was read."""
        return Stamp(self.modified, self.size)

    @classmethod
    def of(cls, record: RunRecord, stamp: Stamp) -> Self:
        """Return what is kept of a record."""
        spec = record.spec
        return cls(
            record.id,
            *stamp,
            finished_at=record.finished_at,
            status=str(record.status),
            purpose=str(spec.purpose),
            method=spec.method,
            contest=spec.contest,
            content=str(spec.key.get("dataset", {}).get("fingerprint") or ""),
            needs=",".join(
                [*spec.members, *(Path(file).parent.name for file in spec.origin.get("files", ()))]
            ),
        )


_TABLES = {
    # The last column lies at the end of its cell: where the end of the file is missing, which
    # SQLite takes for zeros, it is no seal any more.
    "runs": "id TEXT PRIMARY KEY, modified INTEGER, size INTEGER, "
    + ", ".join(f"{name} TEXT" for name in Entry._fields[3:])
    + ", seal TEXT",
    "derived": "key TEXT PRIMARY KEY, value TEXT",
}


class Index:
    """The database of a results directory."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME

    def entries(
        self, present: Mapping[str, Stamp], read: Callable[[str, Stamp], Entry | None]
    ) -> list[Entry]:
        """Return the runs that are there, those that have changed read again; in no order.

        Args:
            present: the records on disk, by id.
            read: reads one; None where it cannot be read now but may be later.
        """
        if not present:
            return []
        try:
            with self._open() as database:
                return self._brought_up_to_date(database, present, read)
        except sqlite3.Error as error:
            # A damaged database, or one that cannot be written here: the files are the truth.
            if "locked" not in str(error):  # by a process that is writing it
                with contextlib.suppress(OSError):
                    self._path.unlink(missing_ok=True)
            found = (read(run_id, stamp) for run_id, stamp in present.items())
            return [entry for entry in found if entry is not None]

    def recall(self, keys: Iterable[str]) -> dict[str, str]:
        """Return what has been remembered under some keys; what is not there is left out."""
        wanted = [*dict.fromkeys(keys)]
        found: dict[str, str] = {}
        if not self._path.is_file():
            return found
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                query = f"SELECT * FROM derived WHERE key IN ({_marks(len(some))})"
                # SQLite reads zeros where the end of its file is missing; JSON holds none.
                found |= {k: v for k, v in database.execute(query, some) if v and "\0" not in v}
        return found

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep values; where nothing can be written they are forgotten, which costs time only."""
        if not values:
            return
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            database.executemany("INSERT OR REPLACE INTO derived VALUES (?, ?)", values.items())
            database.commit()

    @staticmethod
    def _brought_up_to_date(
        database: sqlite3.Connection,
        present: Mapping[str, Stamp],
        read: Callable[[str, Stamp], Entry | None],
    ) -> list[Entry]:
        columns = ", ".join(Entry._fields)
        rows = database.execute(f"SELECT {columns} FROM runs WHERE seal = ?", (_SEAL,))
        known = {row[0]: row for row in rows}
        found, changed = [], []
        for run_id, stamp in present.items():
            row = known.get(run_id)
            if row is not None and row[1] == stamp[0] and row[2] == stamp[1]:
                found.append(Entry._make(row))
            elif (entry := read(run_id, stamp)) is not None:
                found.append(entry)
                changed.append((*entry, _SEAL))
        gone = [(run_id,) for run_id in known.keys() - present.keys()]
        if changed or gone:
            marks = _marks(len(Entry._fields) + 1)
            database.executemany(f"INSERT OR REPLACE INTO runs VALUES ({marks})", changed)
            database.executemany("DELETE FROM runs WHERE id = ?", gone)
            database.commit()
        return found

    def _open(self) -> contextlib.closing[sqlite3.Connection]:
        """Return the database, with the tables of this version in it."""
        database = sqlite3.connect(self._path, timeout=5)
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != _SCHEMA:
                for name, columns in _TABLES.items():
                    database.execute(f"DROP TABLE IF EXISTS {name}")
                    database.execute(f"CREATE TABLE {name} ({columns})")
                database.execute(f"PRAGMA user_version = {_SCHEMA}")
        except sqlite3.Error:
            database.close()
            raise
        return contextlib.closing(database)


def _marks(count: int) -> str:
    return ",".join("?" * count)
