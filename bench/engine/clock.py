"""The clock of a job: all of its wall time is booked to one part or another."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bench.engine import device as devices


class Clock:
    """Splits a job's wall time into parts that add up to it.

    Attributes:
        parts: seconds by part.

    Args:
        device: waited for before time is booked.
        since: `time.perf_counter()` when the job began, in whatever process; by default now.
    """

    def __init__(self, device: str = "cpu", since: float | None = None) -> None:
        self.parts: dict[str, float] = {}
        self.device = device
        self._last = time.perf_counter() if since is None else since

    def mark(self, part: str) -> float:
        """Book the time since the last mark, once the device is done, and return the seconds."""
        devices.synchronize(self.device)
        now = time.perf_counter()
        seconds = now - self._last
        self.parts[part] = self.parts.get(part, 0.0) + seconds
        self._last = now
        return seconds

    def unbooked(self) -> float:
        """Return the seconds since the last mark; the device, which may be lost, is not asked."""
        return time.perf_counter() - self._last

    def resume(self, parts: Mapping[str, float]) -> None:
        """Add what earlier attempts at this run have spent."""
        for part, seconds in parts.items():
            self.parts[part] = self.parts.get(part, 0.0) + seconds
