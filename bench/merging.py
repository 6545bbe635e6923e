"""The runs, studies and dataset cards of other results folders, brought into one.

A run is copied as it is committed by whoever trains: its files first, its record last and
atomically, under the run's lock. So a merge that is killed leaves only whole runs, and merging
again does the rest. Sources are only read. Of two results of one run the destination keeps its own,
unless that failed and the other did not: what is not taken stays where it lies, and is named.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import cards, files, studies
from bench.errors import ConfigError
from bench.records import RunRecord, RunStatus
from bench.store import Store
from bench.studies import StudyRecord

RECORD = "record.json"
NOT_COPIED = (RECORD, "checkpoint.pt")
"""The record comes last; the saved state of a run under way belongs to who trains it."""


@dataclass
class Merged:
    """What a merge has done.

    Attributes:
        copied: ids of runs.
        present: ids of runs that the destination had already, and the same.
        replaced: ids of runs that had failed there and succeeded elsewhere.
        studies: ids of studies that were copied or went on elsewhere.
        cards: fingerprints of datasets whose cards were copied or completed.
        conflicts: one line for each run or study with two results.
        left: one line for each run that a process has in hand.
        warnings: one line for each file that was skipped.
    """

    copied: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    studies: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the destination holds more than before."""
        return bool(self.copied or self.replaced or self.studies)

    @property
    def summary(self) -> str:
        """What was done, in one line."""
        counts = [
            (len(self.copied), "copied"),
            (len(self.replaced), "replaced that had failed"),
            (len(self.present), "there already"),
            (len(self.conflicts), "with another result, kept as it was"),
            (len(self.left), "in training, to be merged later"),
            (len(self.warnings), "skipped as damaged"),
        ]
        told = ", ".join(f"{number} {what}" for number, what in counts if number)
        studied = f"; {len(self.studies)} studies copied" if self.studies else ""
        noun = "dataset" if len(self.cards) == 1 else "datasets"
        carded = f"; cards of {len(self.cards)} {noun}" if self.cards else ""
        return f"{told or 'nothing to merge'}{studied}{carded}"


def merge(sources: Sequence[Path], destination: Path) -> Merged:
    """Copy what has ended from results folders into another; whatever is there stays.

    Args:
        sources: results folders; they may be in use.
        destination: made if need be; it may be in use.

    Raises:
        ConfigError: a source is no results folder, or the destination itself.
        StoreError: the destination cannot be written.
    """
    for source in sources:
        if not (source / "runs").is_dir() and not studies.folder_of(source).is_dir():
            raise ConfigError(f"`{source}` is no results folder: it has no `runs` in it")
        if source.resolve() == destination.resolve():
            raise ConfigError(f"`{source}` cannot be merged into itself; name another `--results`")
    target, result = Store(destination), Merged()
    target.check_writable()
    for source in sources:
        store = Store(source)
        records = store.records()
        result.warnings += store.warnings
        for record in records:
            _take(record, store, target, result)
        _take_studies(source, destination, result)
        _take_cards(source, destination, result)
    return result


def _take(record: RunRecord, source: Store, target: Store, result: Merged) -> None:
    """Copy a run that has ended, unless the destination has it."""
    run, whole = record.id, record.spec.whole_id
    where = f"run {run} of `{source.root}`"
    if record.status is RunStatus.INTERRUPTED:
        result.left.append(f"{where} was interrupted and will go on there")
        return
    with _held(source, whole, makes=False) as free, _held(target, whole, makes=True) as ours:
        if not (free and ours):
            place = source if not free else target
            result.left.append(f"{where} is being carried out in `{place.root}`; merge again then")
            return
        there = target.read(run)
        if there is not None and not _is_better(record, there):
            if _same(source, target, run):
                result.present.append(run)
            else:
                result.conflicts.append(
                    f"{where} ({_told(record)}) has another result in `{target.root}` "
                    f"({_told(there)}), which is kept"
                )
            return
        if not _copy(record, source, target):
            result.left.append(f"{where} changed while it was copied; merge again")
            return
        (result.copied if there is None else result.replaced).append(run)


@contextlib.contextmanager
def _held(store: Store, whole_id: str, *, makes: bool) -> Iterator[bool]:
    """Hold a run's lock if nobody else does, and say whether that is so.

    Args:
        store: whose run it is.
        whole_id: the id of the whole run.
        makes: whether a lock that is not there is made; in a source nothing is.
    """
    if not makes and not (store.root / "locks" / f"{whole_id}.lock").exists():
        yield True
        return
    lock = store.lock(whole_id)
    try:
        lock.acquire(blocking=False)
    except TimeoutError:  # filelock's own Timeout is one
        yield False
        return
    except OSError:
        if makes:
            raise
        yield True  # a source that cannot be written is not in use either
        return
    try:
        yield True
    finally:
        lock.release()


def _is_better(record: RunRecord, there: RunRecord) -> bool:
    """Return whether a result is to take the place of one that did not succeed."""
    return record.status is RunStatus.OK and there.status is not RunStatus.OK


def _told(record: RunRecord) -> str:
    accuracy = record.metrics.get("test", {}).get("accuracy")
    score = f", test accuracy {accuracy:.4f}" if isinstance(accuracy, float) else ""
    return f"{record.status}{score}, {record.finished_at or 'no date'}"


def _same(source: Store, target: Store, run: str) -> bool:
    """Return whether two stores hold the same result of a run."""
    texts = [(store.folder(run) / RECORD).read_bytes() for store in (source, target)]
    return texts[0] == texts[1] or json.loads(texts[0]) == json.loads(texts[1])


def _copy(record: RunRecord, source: Store, target: Store) -> bool:
    """Copy a run's files and then its record; return whether it stayed the same meanwhile."""
    run = record.id
    origin, folder, attempt = source.folder(run), target.folder(run), target.attempt(run)
    target.sweep(record.spec)
    try:
        text = (origin / RECORD).read_bytes()
        for path in sorted(origin.iterdir()):
            if path.name in NOT_COPIED or path.is_symlink() or not path.is_file():
                continue
            if path.match(files.TEMPORARY):
                continue
            with path.open("rb") as content, files.atomic_open(attempt / path.name) as file:
                shutil.copyfileobj(content, file)
        if text != (origin / RECORD).read_bytes():
            target.discard(run)
            return False
    except FileNotFoundError:
        target.discard(run)
        return False
    folder.mkdir(parents=True, exist_ok=True)
    for path in attempt.iterdir() if attempt.is_dir() else ():
        path.replace(folder / path.name)
    target.discard(run)
    # The bytes as they are: a later version may have written more than this one knows of.
    files.write_bytes(folder / RECORD, text)
    target.forget_state(record)
    return True


def _take_studies(source: Path, destination: Path, result: Merged) -> None:
    """Copy studies, and those that have gone on since they were copied."""
    found, warnings = studies.read_all(source)
    result.warnings += warnings
    ours = {study.id: study for study in studies.read_all(destination)[0]}
    for study in found:
        there = ours.get(study.id)
        if there is not None and not _goes_on(study, there):
            if study != there and not _goes_on(there, study):
                result.conflicts.append(
                    f"study {study.id} of `{source}` ({len(study.trials)} trials) differs from "
                    f"that in `{destination}` ({len(there.trials)} trials), which is kept"
                )
            continue
        text = (studies.folder_of(source) / f"{study.id}.json").read_bytes()
        files.write_bytes(studies.folder_of(destination) / f"{study.id}.json", text)
        result.studies.append(study.id)


def _take_cards(source: Path, destination: Path, result: Merged) -> None:
    """Copy cards of datasets, and the findings that those of the destination lack."""
    for fingerprint in cards.fingerprints(source):
        theirs, ours = (cards.read(root, fingerprint) for root in (source, destination))
        if theirs is None:
            path, _ = cards.paths(source, fingerprint)
            result.warnings.append(f"skipped `{path}`: it is no card of a dataset")
        elif ours is None:
            cards.write(destination, theirs)
            result.cards.append(fingerprint)
        elif ours.findings is None and theirs.findings is not None:
            # Samples stay as they are: there may be none on purpose.
            cards.note(destination, replace(ours, findings=theirs.findings, why_not=""))
            result.cards.append(fingerprint)


def _goes_on(study: StudyRecord, there: StudyRecord) -> bool:
    """Return whether a study holds all that another does, and more."""
    known = {trial.number: trial for trial in study.trials}
    ended = [trial for trial in there.trials if trial.state.is_over]
    return study != there and all(known.get(trial.number) == trial for trial in ended)


def named(lines: Sequence[str], limit: int = 8) -> list[str]:
    """Return the first lines of many, and how many more there are."""
    shown = [*lines[:limit]]
    return [*shown, f"and {len(lines) - limit} more"] if len(lines) > limit else shown
