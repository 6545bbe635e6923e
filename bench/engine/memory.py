"""The most memory that a run took, told by whoever hands it out: torch on a GPU, else the kernel.

On a CPU it is the memory of the whole process, Python and its libraries' data included: what
must be free for such a run. Left out are the pages of files, which are programs and the memory
maps of datasets: the kernel counts them as resident once they are touched, shares them between
processes, and takes them back when it needs the room.

The kernel keeps a high-water mark of all resident pages and none of those without files, so what
files have at the end is taken from the mark. That is exact where their share no longer grows when
the mark is reached, as in a loop over the same images; a run that reads new files after its peak
is shown to have used less than it did, but never less than it has at the end.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_MARK = "5"  # see proc_pid_clear_refs(5); since Linux 4.0
_is_reset = False


def reset_peak_memory(device: str) -> None:
    """Start a new measurement, and give back what earlier runs left unused in this process."""
    global _is_reset
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return
    trim = _malloc_trim()
    if trim is not None:
        trim(0)
    try:
        _CLEAR.write_text(_RESET_MARK)
    except OSError:  # no Linux, or a sandbox
        _is_reset = False
    else:
        _is_reset = True


def peak_memory_bytes(device: str) -> int | None:
    """Return the most memory since the reset, or None where nobody keeps count."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if not _is_reset:
        return None
    sizes = _sizes()
    try:
        return max(sizes["VmHWM"] - sizes["RssFile"], sizes["RssAnon"])
    except KeyError:
        return None


def peak_memory_of(device: str) -> str:
    """Return what the number is of, for the record."""
    return "device, allocated by torch" if device == "cuda" else "process, resident, without files"


def _sizes() -> dict[str, int]:
    """Return what the kernel says of this process's memory, bytes by name."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines if line.endswith(" kB")]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return glibc's function that hands free memory back to the kernel, where there is one."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
