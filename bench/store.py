"""The results directory: one folder a run, and an index that can always be made again.

A run counts as finished once its `record.json` is there; it is written last and atomically. The
index beside the runs (`bench.index`) only spares reading what has not changed.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import filelock

from bench import files, index, metrics
from bench.errors import StoreError, UnknownNameError
from bench.index import Entry, Index, Stamp
from bench.records import Purpose, RunRecord, RunSpec, RunStatus, digest
from bench.text import byte_size

OVER = (RunStatus.OK, RunStatus.DIVERGED)
"""How a run ends that has nothing left to go on with."""

OWN = (
    *("runs", "studies", "datasets", "experiments", "locks", "logs"),
    *(f"{index.NAME}*", "leaderboard.md", "leaderboard.csv", "leaderboard.json"),
)
"""What commands keep in a results directory, as patterns of names."""


class Store:
    """A results directory.

    Attributes:
        warnings: one line for each file that was skipped by the last call of `records`.
        unfinished: the run folders without a record that the last look at all runs came across.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "runs"
        self.warnings: list[str] = []
        self.unfinished: list[str] = []
        self._index = Index(root)

    def folder(self, run_id: str) -> Path:
        """Return the folder of a run."""
        return self.runs / run_id

    def lock(self, run_id: str) -> filelock.BaseFileLock:
        """Return the lock that the process which carries out a run holds.

        Args:
            run_id: the id of the whole run, since its parts share one saved state.
        """
        return files.lock(self.root / "locks" / f"{run_id}.lock")

    def check_writable(self, needed: float = 0) -> None:
        """Raise StoreError now rather than after the first run.

        Args:
            needed: bytes that are to be written.
        """
        try:
            free = files.free_bytes(self.root)
        except OSError as error:
            raise StoreError(f"cannot write `{self.root}`: {error.strerror or error}") from error
        if free < needed:
            raise StoreError(
                f"`{self.root}` has {byte_size(free)} of disk left, and {byte_size(needed)} may be "
                "needed; make room, or name another folder by `--results`"
            )
        files.check_writable(self.root)

    def owns(self, path: Path) -> bool:
        """Return whether a path is one of those that commands keep their own files at."""
        real = Path(os.path.realpath(path))
        # By its own name as well: a link that lies among the runs belongs to them.
        named = Path(os.path.realpath(path.parent)) / path.name
        root = Path(os.path.realpath(self.root))
        inside = [each.relative_to(root) for each in (real, named) if each.is_relative_to(root)]
        tops = [each.parts[0] for each in inside if each.parts]
        return any(fnmatch.fnmatchcase(top, own) for top in tops for own in OWN)

    def read(self, run_id: str) -> RunRecord | None:
        """Return a run's record, or None where there is none that can be read."""
        try:
            text = (self.folder(run_id) / "record.json").read_text("utf-8")
            record = RunRecord.from_dict(json.loads(text))
        except (OSError, ValueError, RecursionError, StoreError):
            return None
        return record if record.id == run_id else None

    def attempt(self, run_id: str) -> Path:
        """Return the folder in which a worker leaves its files until the run is committed."""
        return self.folder(run_id) / "attempt"

    def checkpoint(self, run_id: str) -> Path:
        """Return the file in which a worker saves the state of an unfinished run.

        Args:
            run_id: the id of the whole run.
        """
        return self.folder(run_id) / "checkpoint.pt"

    def write(self, record: RunRecord) -> None:
        """Commit a record and the files of its attempt; from then on the run is finished."""
        attempt = self.attempt(record.id)
        if attempt.is_dir():
            for path in attempt.iterdir():
                path.replace(self.folder(record.id) / path.name)
        self.discard(record.id)
        files.write_json(self.folder(record.id) / "record.json", record.to_dict())
        self.forget_state(record)

    def forget_state(self, record: RunRecord) -> None:
        """Remove the saved state of a run that has nothing left to go on with.

        One that pauses leaves it to the rest of the run, unless that is over already.
        """
        whole = record.spec.whole_id
        if record.status is RunStatus.OK and record.id != whole:
            rest = self.read(whole)
            if rest is None or rest.status not in OVER:
                return
        if record.status in OVER:
            self.checkpoint(whole).unlink(missing_ok=True)

    def forget_states(self, whole_ids: Iterable[str]) -> None:
        """Remove the saved states of runs that nobody will go on with.

        Those that a process has in hand stay: it removes them itself, or means to go on.

        Args:
            whole_ids: `RunSpec.whole_id` of each.
        """
        for whole in whole_ids:
            folder = self.folder(whole)
            if folder.exists():
                # A lock that is held is an OSError, and so is a folder that has more in it.
                with contextlib.suppress(OSError), self.lock(whole).acquire(blocking=False):
                    self.checkpoint(whole).unlink(missing_ok=True)
                    folder.rmdir()

    def sweep(self, spec: RunSpec) -> None:
        """Remove what a killed attempt has left; for the holder of the run's lock."""
        self.discard(spec.id)
        for run_id in {spec.id, spec.whole_id}:
            for path in self.folder(run_id).glob(files.TEMPORARY):
                path.unlink(missing_ok=True)

    def discard(self, run_id: str) -> None:
        """Remove what an attempt has left; what was committed before stays."""
        shutil.rmtree(self.attempt(run_id), ignore_errors=True)

    def find(self, prefix: str) -> RunRecord:
        """Return the one run whose id starts with `prefix`.

        Raises:
            UnknownNameError: no run does, or several do.
        """
        found = self.records(self.ids(prefix))
        if not found:
            raise UnknownNameError(
                f"no run in `{self.root}` starts with `{prefix}`; see `bench list runs`"
            )
        if len(found) > 1:
            ids = ", ".join(f"`{record.id}`" for record in found[:5])
            raise UnknownNameError(
                f"{len(found)} runs start with `{prefix}`: {ids}; give more digits"
            )
        return found[0]

    def stamp(self) -> str:
        """Return what is another text whenever a record or a study has come, gone or changed."""
        studies = (path.stat() for path in sorted((self.root / "studies").glob("*.json")))
        told = [[s.st_ino, s.st_mtime_ns, s.st_size] for s in studies]
        return digest([told, self._scan()])

    def ids(self, prefix: str = "") -> list[str]:
        """Return the ids of the runs that have a record, readable or not."""
        return [run_id for run_id in self._scan() if run_id.startswith(prefix)]

    def records(self, ids: Iterable[str] | None = None) -> list[RunRecord]:
        """Return the records that can be read, oldest first; name the others in `warnings`.

        Args:
            ids: of which runs; of all where None.
        """
        self.warnings = []
        records = []
        for run_id in self._scan() if ids is None else ids:
            try:
                records.append(self._record(run_id))
            except StoreError as error:
                self._skip(run_id, str(error))
        records.sort(key=lambda record: (record.finished_at, record.id))
        return records

    def finals(self) -> list[RunRecord]:
        """Return the records of final runs, oldest first; trials, of which there are more, unread.

        Files that cannot be read are named in `warnings`.
        """
        chosen = [entry.id for entry in self.entries() if entry.purpose == Purpose.FINAL]
        skipped = self.warnings
        records = self.records(chosen)
        self.warnings = [*skipped, *self.warnings]
        return records

    def entries(self) -> list[Entry]:
        """Return what the index knows of each run, oldest first; name the others in `warnings`.

        Of many runs this is much quicker than reading their records.
        """
        self.warnings = []
        found = self._index.entries(self._scan(), self._entry)
        for entry in found:
            if entry.problem:
                self._skip(entry.id, entry.problem)
        usable = [entry for entry in found if not entry.problem]
        usable.sort(key=lambda entry: (entry.finished_at, entry.id))
        return usable

    def recall(self, keys: Iterable[str]) -> dict[str, str]:
        """Return what has been remembered under some keys; what is not there is left out.

        A key is a hash of all that a value was computed from, or the value holds such a hash: so
        nothing that is stale is taken.
        """
        return self._index.recall(keys)

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep what was computed from records and predictions, so that it need not be again.

        Where the index cannot be written it is forgotten, which costs time and no more.
        """
        self._index.remember(values)

    def _record(self, run_id: str) -> RunRecord:
        path = self.folder(run_id) / "record.json"
        try:
            record = RunRecord.from_dict(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise _UnreadableError(f"it cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise StoreError(
                "it is no JSON; was it cut? restore the file, or remove its folder and run again"
            ) from error
        if record.id != run_id:
            raise StoreError(f"it is the record of run {record.id}")
        return record

    def _entry(self, run_id: str, stamp: Stamp) -> Entry | None:
        try:
            return Entry.of(self._record(run_id), stamp)
        except _UnreadableError as error:
            self._skip(run_id, str(error))
            return None
        except StoreError as error:
            return Entry(run_id, *stamp, problem=str(error))

    def _skip(self, run_id: str, why: str) -> None:
        self.warnings.append(f"skipped `{self.folder(run_id) / 'record.json'}`: {why}")

    def _scan(self) -> dict[str, Stamp]:
        """Return when each record on disk was written and how long it is, by run id."""
        present: dict[str, Stamp] = {}
        self.unfinished = []
        try:
            entries = sorted(os.scandir(self.runs), key=lambda entry: entry.name)
        except FileNotFoundError:
            return present
        except OSError as error:
            raise StoreError(f"cannot read `{self.runs}`: {error.strerror}") from error
        for entry in entries:
            try:
                status = os.stat(f"{entry.path}/record.json")
            except FileNotFoundError:
                if entry.is_dir():
                    self.unfinished.append(entry.name)
                else:
                    self.warnings.append(f"skipped `{entry.path}`: it is no run folder")
                continue
            except OSError:
                self.warnings.append(f"skipped `{entry.path}`: it is no run folder")
                continue
            present[entry.name] = Stamp(status.st_mtime_ns, status.st_size)
        return present


class _UnreadableError(StoreError):
    """A record that is there and cannot be read now, which says nothing of what it holds."""


def _val_score(record: RunRecord) -> float:
    return metrics.score(record.metrics.get("val", {}), record.spec.protocol.get("monitor"))


def prune_weights(store: Store, methods: Iterable[str]) -> None:
    """Keep weights only of the run with the best val score of each method on each content.

    And of those that other runs have started from, and of members of ensembles that have any: an
    ensemble predicts by theirs. Trials have none.
    """
    wanted = set(methods)
    entries = store.entries()
    needed = {run for entry in entries for run in entry.needs.split(",")}
    chosen = [e.id for e in entries if e.purpose == Purpose.FINAL and e.method in wanted]
    by_cell: dict[tuple[str, str], list[RunRecord]] = {}
    for record in store.records(chosen):
        content = str(record.spec.key.get("dataset", {}).get("fingerprint"))
        by_cell.setdefault((record.spec.method, content), []).append(record)
    for records in by_cell.values():
        records.sort(key=_val_score, reverse=True)
        for record in records[1:]:
            if record.id in needed:
                continue
            (store.folder(record.id) / "model.safetensors").unlink(missing_ok=True)
