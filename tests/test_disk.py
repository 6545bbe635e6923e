"""What is promised when a write is cut short, or there is no room for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Done, Watcher, statuses

from bench import files
from bench.api import Result
from bench.errors import StoreError
from bench.store import Store

Experiment = Callable[..., Result]
Cli = Callable[..., Done]

# Promise 8: a kill between write and rename

KILLED = """
import os, signal, sys
from pathlib import Path

rename = Path.replace
left = int(sys.argv[3])

def strike(self, target):
    global left
    if Path(target).name == sys.argv[2]:
        if left == 0:
            assert self.stat().st_size > 0
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    return rename(self, target)

Path.replace = strike
exec(sys.argv[1])
"""


def killed_at_rename(code: str, name: str, after: int = 0) -> None:
    """Run code in a process that is killed when it wants to rename a file to `name`."""
    words = [sys.executable, "-c", KILLED, code, name, str(after)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=250)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("before", [None, b"old"])
def test_8_a_kill_between_write_and_rename_leaves_what_was_there(
    tmp_path: Path, before: bytes | None
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    code = f"from bench import files; files.write_bytes(Path({str(path)!r}), b'new')"
    killed_at_rename(code, "file")
    assert (path.read_bytes() if path.exists() else None) == before
    assert [stray.read_bytes() for stray in tmp_path.glob(files.TEMPORARY)] == [b"new"]


def test_8_a_kill_before_the_rename_of_a_record_costs_that_run_only(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    words = ["run", "--models", "tiny,noisy", "--datasets", "tiny", "--results", str(results)]
    killed_at_rename(f"from bench.cli import main; main({words!r})", "record.json", 1)
    store = Store(results)
    [record] = store.records()
    assert store.warnings == []
    assert record.spec.model.name == "tiny"
    assert len(list(results.rglob("*.tmp"))) == 1
    again = experiment("tiny,noisy")
    assert statuses(again) == {"tiny": "ok", "noisy": "ok"}
    assert again.records[0] == record
    assert [spec.model.name for spec in watcher.started] == ["noisy"]
    # What the killed process has left is gone.
    assert list(results.rglob("*.tmp")) == []


def test_8_a_kill_before_the_rename_of_a_saved_state_leaves_the_one_before(
    experiment: Experiment, watcher: Watcher, tmp_path: Path
) -> None:
    # A state is saved after every step; the worker is killed as the fourth would be renamed.
    model = "killed-at-rename"
    values = {"deterministic": True, "set": {f"{model}.after": 3}}
    store = Store(tmp_path / "results")
    resumed: list[int] = []
    # Ten steps, so nine states: the first two attempts save three each.
    for status in ("crashed", "crashed", "ok"):
        [record] = experiment(model, checkpoint_minutes=1e-9, **values).records
        assert str(record.status) == status
        assert store.checkpoint(record.id).exists() == (status != "ok")
        resumed.append(record.timing.get("resumed", 0))
    assert resumed == [0, 0, 2]
    assert list(store.root.rglob("*.tmp")) == []
    [whole] = experiment(model, **values, results=tmp_path / "whole").records
    assert whole.metrics == record.metrics


# Promise 10: full disks and folders that cannot be written


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_10_too_little_room_for_the_results_is_an_error_before_anything_starts(
    cli: Cli, small_disk: Path
) -> None:
    (small_disk / "filler").write_bytes(bytes(500_000))
    results = small_disk / "made" / "later"
    run = ("run", "--models", "tiny", "--datasets", "tiny", "--results", results)
    done = cli(*run)
    assert done.code == 3
    assert "starting workers" not in done.err
    error = done.err.strip().splitlines()[-1]
    assert error.startswith(f"error: `{results}` has ")
    assert "may be needed; make room, or name another folder by `--results`" in error
    (small_disk / "filler").unlink()
    assert cli(*run).code == 0


def test_10_a_disk_that_is_full_for_a_while_costs_the_saved_states_and_nothing_else(
    experiment: Experiment, small_disk: Path, tmp_path: Path
) -> None:
    filler = small_disk / "filler"
    # It is full for three steps in the midst of the run, which saves its state after every step.
    values = {
        "checkpoint_minutes": 1e-9,
        "set": {
            "fills-disk.filler": str(filler),
            "fills-disk.first": 12,
            "fills-disk.last": 14,
        },
        "epochs": 4,
    }
    result = experiment("fills-disk", results=small_disk / "results", **values)
    [record] = result.records
    assert statuses(result) == {"fills-disk": "ok"}
    assert not filler.exists()
    store = Store(small_disk / "results")
    log = (store.folder(record.id) / "log.txt").read_text()
    # The log had no room either at that time; what it lost is not the run's business.
    assert "Traceback" not in log
    assert store.records() == [record]


def test_10_a_disk_that_stays_full_is_named_and_the_store_can_be_read(
    cli: Cli, small_disk: Path
) -> None:
    results = small_disk / "results"
    run = ("run", "--datasets", "tiny", "--results", results)
    assert cli(*run, "--models", "tiny").code == 0
    filler = small_disk / "filler"
    fills = ("--set", f"fills-disk.filler={filler}", "--set", "fills-disk.first=8")
    done = cli(*run, "--models", "fills-disk", *fills)
    assert done.code == 3
    error = done.err.strip().splitlines()[-1]
    assert error.startswith(f"error: cannot write `{results}")
    assert "record.json`: No space left on device" in error
    assert "Traceback" not in done.err
    done = cli("leaderboard", "--results", results, "--json")
    assert done.code == 0
    assert '"model": "tiny"' in done.out
    filler.unlink()
    again = cli(*run, "--models", "tiny,fills-disk", "--set", f"fills-disk.filler={filler}")
    assert again.code == 0


def test_10_a_state_that_cannot_be_saved_costs_the_state_only(
    experiment: Experiment, tmp_path: Path
) -> None:
    values = {"keep": "none", "checkpoint_minutes": 1e-9}
    # Predictions take some kilobytes, a state more.
    result = experiment("short-files", **values, set={"short-files.longest": 12_000})
    [record] = result.records
    assert record.error is None
    store = Store(tmp_path / "results")
    log = (store.folder(record.id) / "log.txt").read_text()
    assert "could not save the state of the run: cannot write `" in log
    assert "checkpoint.pt`: File too large" in log


@pytest.mark.parametrize(
    ("longest", "name"),
    [(6_000, "model.safetensors"), (1_500, "predictions.npz"), (100, "epochs.jsonl")],
)
def test_10_a_file_that_cannot_be_written_is_named_by_its_run(
    experiment: Experiment, tmp_path: Path, longest: int, name: str
) -> None:
    result = experiment(["short-files", "tiny"], set={"short-files.longest": longest})
    assert statuses(result) == {"short-files": "failed", "tiny": "ok"}
    [record] = result.failed
    assert str(record.error).startswith(f"cannot write `{tmp_path / 'results'}")
    assert f"{name}`: " in str(record.error)
    assert "too large" in str(record.error)


def test_10_a_folder_that_cannot_be_written_is_an_error_before_anything_starts(
    cli: Cli, small_disk: Path
) -> None:
    results = small_disk / "results"
    run = ("run", "--datasets", "tiny", "--results", results)
    assert cli(*run, "--models", "tiny").code == 0
    mount("-o", "remount,ro", str(small_disk))
    done = cli(*run, "--models", "tiny,noisy")
    assert done.code == 3
    assert "starting workers" not in done.err
    assert "Read-only file system" in done.err.strip().splitlines()[-1]
    # What is finished can be read, and needs no writing.
    for words in (("leaderboard", "--results", results), (*run, "--models", "tiny")):
        done = cli(*words)
        assert done.code == 0, done.err
        assert "tiny" in done.out
        assert "Traceback" not in done.err


def test_10_room_is_looked_for_on_the_disk_of_the_folder(small_disk: Path) -> None:
    assert files.free_bytes(small_disk / "not" / "there") == files.free_bytes(small_disk)
    assert files.free_bytes(small_disk) <= 512 * 1024 < files.free_bytes(Path(os.sep))
    with pytest.raises(StoreError, match="of disk left"):
        Store(small_disk / "results").check_writable(10**6)
