"""Code of plugins, called where commands run: what it prints, and what it raises.

Workers have an output of their own; here stdout belongs to whoever reads the answer.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

from bench.errors import BenchError, PluginError
from bench.text import one_line


@contextlib.contextmanager
def calling(
    what_fails: str, *, error: type[BenchError] = PluginError, advice: str = ""
) -> Iterator[None]:
    """Call a plugin's code: what it prints goes to stderr, what it raises names it.

    Args:
        what_fails: how the message begins, for example "metric of plugin `x` failed".
        error: what is raised in place of what the plugin raises.
        advice: how the message ends.

    Raises:
        BenchError: as it came, where the plugin raised one; else `error`, also for SystemExit.
    """
    with stdout_to_stderr():
        try:
            yield
        except BenchError:
            raise
        except (Exception, SystemExit) as caught:
            said = one_line(f"{type(caught).__name__}: {caught}")
            raise error(f"{what_fails}: {said}{advice}") from caught


class _Diversion:
    """Sends stdout to stderr as long as anybody, in whatever thread, wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stream: TextIO | None = None
        self._descriptor: int | None = None

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                # In a notebook or under a test sys.stdout is not descriptor 1.
                self._stream, sys.stdout = sys.stdout, sys.stderr
                self._stream.flush()
                with contextlib.suppress(OSError):  # a caller without those descriptors
                    self._descriptor = os.dup(1)
                    os.dup2(2, 1)

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                if self._descriptor is not None:
                    os.dup2(self._descriptor, 1)
                    os.close(self._descriptor)
                    self._descriptor = None
                assert self._stream is not None
                sys.stdout, self._stream = self._stream, None


_diversion = _Diversion()


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr whatever foreign code prints, from C as well as from Python.

    All threads are concerned: nobody prints an answer meanwhile.
    """
    _diversion.enter()
    try:
        yield
    finally:
        _diversion.leave()


@contextlib.contextmanager
def naming_crashes() -> Iterator[None]:
    """Have a crash of the interpreter, as of a plugin in C, say on stderr in which file it was."""
    if faulthandler.is_enabled():
        yield
        return
    faulthandler.enable(file=2, all_threads=False)
    try:
        yield
    finally:
        faulthandler.disable()
