"""Which process has a trial in hand, and whether that process still lives.

On one machine the operating system tells: each process holds a lock on a file of its own for as
long as it lives. Of processes on other machines a counter in the storage tells, which they raise
now and then; it is watched by the watcher's own clock, as those of machines differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

from bench import files
from bench.studies import folder_of

BEAT_SECONDS = 20.0
"""How often a process raises its counters."""
SILENT_SECONDS = 120.0
"""After which a process elsewhere that raised no counter is taken for gone."""
UNSIGNED_SECONDS = 15.0
"""The same of a trial that was taken without a name; a process that lives signs at once."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Owner:
    """The process itself, as the trials that it has in hand name it.

    Attributes:
        token: unlike that of any other.
    """

    def __init__(self, results: Path, study: str) -> None:
        self.token = uuid.uuid4().hex
        self._folder = folder_of(results).absolute() / "owners"
        self._prefix = hashlib.sha256(study.encode()).hexdigest()[:12]
        self._path = self._folder / f"{self._prefix}-{self.token}.lock"
        self._lock = files.lock(self._path)
        self._lock.acquire()
        # Another process may have found the file before it was locked, and removed it.
        while not self._path.exists():
            self._lock.release()
            self._lock.acquire()

    def signature(self) -> dict[str, Any]:
        """Return what is kept with a trial of this owner."""
        return {"token": self.token, "host": _host(), "lock": str(self._path)}

    def close(self) -> None:
        """Give up the lock: from now on this owner is gone. Safe to call twice."""
        if self._lock.is_locked:
            self._path.unlink(missing_ok=True)
            self._lock.release()

    def sweep(self, named: set[str]) -> None:
        """Remove the lock files of owners of this study that are gone.

        Args:
            named: the tokens of owners that trials still name; whoever asks about these needs
                their files.
        """
        for path in self._folder.glob(f"{self._prefix}-*.lock"):
            token = path.stem.rpartition("-")[2]
            if token != self.token and token not in named:
                with contextlib.suppress(OSError):
                    if not _is_held(path):
                        path.unlink(missing_ok=True)


class Watch:
    """What one process has seen of the owners of trials."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[object, float]] = {}

    def is_gone(self, number: int, signature: Mapping[str, Any] | None, beats: object) -> bool:
        """Return whether the owner of a RUNNING trial is gone.

        Args:
            number: the trial's.
            signature: its owner's; None where the owner has not signed yet.
            beats: the owner's counter.
        """
        if signature is not None and signature.get("host") == _host():
            path = Path(str(signature.get("lock")))
            # Without the file, as behind another mount or after a clean-up, the counter tells.
            with contextlib.suppress(OSError):
                if path.exists():
                    return not _is_held(path)
        mark = (signature and signature.get("token"), beats)
        now = time.monotonic()
        seen, since = self._seen.get(number, (None, now))
        if seen != mark:
            since = now
        self._seen[number] = (mark, since)
        return now - since > (UNSIGNED_SECONDS if signature is None else SILENT_SECONDS)


def _is_held(path: Path) -> bool:
    lock = files.lock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return True
    lock.release()
    return False


def _host() -> str:
    """Return what tells this machine, since it was started, from all others."""
    try:
        boot = _BOOT.read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}"
