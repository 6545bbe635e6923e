"""The peak memory of a run, as the kernel and torch tell it."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from bench.engine import memory

MIB = 2**20
on_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the kernel keeps no resettable mark"
)


def peak() -> int:
    found = memory.peak_memory_bytes("cpu")
    assert found is not None
    return found


@on_linux
def test_the_peak_is_of_what_was_there_at_once_since_the_reset() -> None:
    memory.reset_peak_memory("cpu")
    before = peak()
    assert before > 10 * MIB
    block = np.ones(200 * MIB, np.uint8)
    del block
    assert 190 * MIB < peak() - before < 230 * MIB
    memory.reset_peak_memory("cpu")
    assert peak() - before < 30 * MIB


@on_linux
def test_pages_of_a_memory_map_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(bytes(200 * MIB))
    memory.reset_peak_memory("cpu")
    before = peak()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert int(np.frombuffer(mapped, np.uint8).sum()) == 0
        # They were resident, or there would be nothing to leave out.
        assert memory._sizes()["RssFile"] > 200 * MIB
        assert abs(peak() - before) < 30 * MIB


def test_nothing_is_told_where_the_mark_cannot_be_reset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none" / "clear_refs")
    memory.reset_peak_memory("cpu")
    assert memory.peak_memory_bytes("cpu") is None


@pytest.mark.parametrize("status", ["", "Name:\tpython\n", "VmHWM:\t  100 kB\n"])
def test_nothing_is_told_where_the_kernel_tells_too_little(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str
) -> None:
    (tmp_path / "status").write_text(status)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "clear_refs")
    memory.reset_peak_memory("cpu")
    assert memory.peak_memory_bytes("cpu") is None


def test_the_record_can_say_what_the_number_is_of() -> None:
    assert memory.peak_memory_of("cuda") == "device, allocated by torch"
    assert memory.peak_memory_of("cpu") == "process, resident, without files"
