from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import files
from bench.errors import StoreError


def test_a_file_and_its_folder_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    files.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()


def test_old_content_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def write_half() -> None:
        with files.atomic_open(path) as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_is_a_store_error_and_leaves_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with (
        pytest.raises(StoreError, match=r"cannot write `.*file\.txt`: No space left"),
        files.atomic_open(path),
    ):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    contents = {"a" * 100_000, "b" * 100_000}
    files.write_text(path, "a" * 100_000)
    done = threading.Event()

    def write() -> None:
        for _ in range(20):
            for content in contents:
                files.write_text(path, content)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_text())
    writer.join()
    assert seen <= contents


def test_file_and_folder_are_flushed_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    flushed = []

    def fsync(descriptor: int) -> None:
        flushed.append((os.readlink(f"/proc/self/fd/{descriptor}"), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(path, "content")
    (temporary, before), (folder, after) = flushed
    assert Path(temporary).parent == tmp_path
    assert (before, folder, after) == (False, str(tmp_path), True)


def test_killed_before_the_rename_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    script = (
        "import os, signal, sys; from pathlib import Path; from bench import files\n"
        "with files.atomic_open(Path(sys.argv[1])) as file:\n"
        "    file.write(b'new'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, path])
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_others_may_read_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_text(tmp_path / "file.txt", "")
    finally:
        os.umask(old)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match="taken"):
        files.write_text(tmp_path / "taken" / "file.txt", "")
    with pytest.raises(StoreError, match="taken"):
        files.lock(tmp_path / "taken" / "file.lock")


def test_text_that_is_no_unicode_is_kept_readable(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file.txt", "a\udcffb")
    assert (tmp_path / "file.txt").read_text("utf-8") == "a\\udcffb"


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "folder" / "target.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    for content in ("the first", "the second"):  # at first it leads nowhere
        files.write_text(link, content)
        assert link.is_symlink()
        assert target.read_text() == content
    assert [entry.name for entry in target.parent.iterdir()] == ["target.txt"]


def test_a_link_that_leads_to_itself_is_named(tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    link.symlink_to(link)
    with pytest.raises(StoreError, match="Too many levels of symbolic links"):
        files.write_text(link, "")
    assert link.is_symlink()


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link"):
        reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
        reader.start()
        files.write_text(path, f"through {path.name}")
        reader.join(10)
        assert pipe.is_fifo()
    assert read == ["through pipe", "through link"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    for path in (taken / "file.txt", taken / "folder" / "file.txt"):
        with pytest.raises(StoreError, match=f"cannot write `{path}`: `{taken}` is a file"):
            files.write_text(path, "")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def numbers_of(value: object) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers_of(item)]
    return [value] if isinstance(value, float) else []


@given(plain)
@settings(deadline=None)
def test_json_is_standard_and_loses_only_what_is_not_finite(value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads(files.dump_json(value), parse_constant=refuse)
    assert read == files.finite(value)
    if all(math.isfinite(number) for number in numbers_of(value)):
        assert read == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_becomes_null(tmp_path: Path, number: float) -> None:
    files.write_json(tmp_path / "file.json", {"x": [number, (1.5, number)], 3: "three"})
    read = json.loads((tmp_path / "file.json").read_text())
    assert read == {"x": [None, [1.5, None]], "3": "three"}


def test_a_lock_keeps_others_out_and_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "one.lock"
    script = (
        "import sys, time; from pathlib import Path; from bench import files\n"
        "with files.lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(filelock.Timeout):
            files.lock(path).acquire(timeout=0)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    start = time.perf_counter()
    with files.lock(path).acquire(timeout=5):
        assert time.perf_counter() - start < 1
