"""Studies in a file: Optuna's journal, with a lock of the operating system, and mended if torn.

The journal is a text file of JSON lines, each an operation. The number of a trial is how many were
created before it, so a line cannot be left out of the midst: all that can be kept of a damaged
file is what stands before the damage.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import TrialState

from bench import files
from bench.errors import StoreError

_POLL_SECONDS = 0.002
_FIELDS: dict[int, tuple[str, ...]] = {
    0: ("study_name", "directions"),
    1: ("study_id",),
    2: ("study_id", "user_attr"),
    3: ("study_id", "system_attr"),
    4: ("study_id", "datetime_start"),
    5: ("trial_id", "param_name", "param_value_internal", "distribution"),
    6: ("trial_id", "state", "values"),
    7: ("trial_id", "step", "intermediate_value"),
    8: ("trial_id", "user_attr"),
    9: ("trial_id", "system_attr"),
}
"""What a line of each operation must hold to be read (optuna/storages/journal/_storage.py)."""
_CREATE_STUDY, _CREATE_TRIAL, _SET_STATE = 0, 4, 6
_LATEST_KNOWN = 10


class _Lock(BaseJournalFileLock):
    """The system's lock on a file beside the journal, which a killed holder cannot leave behind."""

    def __init__(self, path: Path) -> None:
        self._lock = files.lock(path)

    def acquire(self) -> bool:
        self._lock.acquire(poll_interval=_POLL_SECONDS)
        return True

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Backend(JournalFileBackend):
    """The file, mended when it is opened and before anything is appended to a torn end."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._file_lock = _Lock(path.with_suffix(".lock"))
        with _failures(path), self._file_lock:
            _mend(path, say)
            super().__init__(str(path), self._file_lock)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Return the operations from a number on."""
        with _failures(self._path):
            yield from super().read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add operations at the end, all or none."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with _failures(self._path), self._file_lock:
            if not _ends_well(self._path):
                _mend(self._path, self._say)
            with self._path.open("ab", buffering=0) as file:
                _append(file, text.encode())
                # What a process has written outlives it in the kernel's cache, however it is
                # killed; only a power cut can take it. Then the last notes of trials under way
                # may go, which their runs' records hold too, but not that a trial exists or ended.
                if any(log["op_code"] in (_CREATE_STUDY, _SET_STATE) for log in logs):
                    os.fsync(file.fileno())


class Journal(JournalStorage):
    """Optuna's storage over a journal file; see `bench.tuning.storage.open_storage`."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        super().__init__(_Backend(path, say))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set a trial's state; False if it should run and another process was faster."""
        # Optuna tells that a claim went well by what this process claimed last. That is true too
        # where it had the trial before, put it down, and another was faster now: forget it.
        self._replay_result._worker_id_to_owned_trial_id.pop(self._replay_result.worker_id, None)
        return super().set_trial_state_values(trial_id, state, values)


@contextlib.contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Turn what goes wrong with the file into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"cannot use the studies in `{path}`: {reason}") from error
    except ValueError as error:
        raise StoreError(
            f"the studies in `{path}` were damaged just now; run the command again, which mends "
            "the file"
        ) from error


def _append(file: IO[bytes], content: bytes) -> None:
    """Write at the end of a file, or leave it as it was."""
    size = os.fstat(file.fileno()).st_size
    try:
        if file.write(content) != len(content):
            raise OSError(errno.ENOSPC, "only a part could be written; is the disk full?")
    except BaseException:
        os.ftruncate(file.fileno(), size)
        raise


def _ends_well(path: Path) -> bool:
    """Return whether a file is empty or ends with a whole line."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _mend(path: Path, say: Callable[[str], None]) -> None:
    """Cut a journal before its first damaged line, if it has one. Its lock must be held.

    Raises:
        StoreError: a newer Optuna wrote the file.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    sound = _sound_bytes(path, content)
    if sound == len(content):
        if not _ends_well(path):  # the operation is whole, only the end of its line was cut
            files.write_bytes(path, content + b"\n")
        return
    aside = _unused(path)
    shutil.copyfile(path, aside)
    files.write_bytes(path, content[:sound])
    kept, lines = (len(part.splitlines()) for part in (content[:sound], content))
    say(
        f"the studies in `{path}` were damaged in line {kept + 1} of {lines}; what stands before "
        f"it is kept, and the damaged file as `{aside.name}`"
    )


def _sound_bytes(path: Path, content: bytes) -> int:
    """Return how many bytes stand before the first line that is no operation."""
    sound = 0
    for line in content.splitlines(keepends=True):
        try:
            operation = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(operation, dict) or not isinstance(operation.get("worker_id"), str):
            break
        code = operation.get("op_code")
        if not isinstance(code, int):
            break
        if code > _LATEST_KNOWN:
            raise StoreError(
                f"a newer Optuna wrote the studies in `{path}`; upgrade Optuna, or choose "
                "another folder with --results"
            )
        if any(name not in operation for name in _FIELDS.get(code, ())):
            break
        sound += len(line)
    return sound


def _unused(path: Path) -> Path:
    """Return a name beside `path` that nothing has, for what was damaged."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return aside
