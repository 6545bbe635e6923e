"""A pipe that ties processes to the one that started them: when that is gone, so are they."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading


def die_with_writer(descriptor: int) -> None:
    """Make the end of a pipe's last writer the end of this process, even in a computation.

    Nobody ever writes to the pipe. When its last writer is gone, however it went, Linux sends the
    signal that F_SETSIG names to this process and its group: SIGKILL, which neither a plugin nor a
    loop in C that holds the interpreter can keep off. A thread does the same to this process,
    later, where the kernel has no such call.

    Args:
        descriptor: the reading end.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, -os.getpgrp())
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)

    def wait() -> None:
        with contextlib.suppress(OSError):
            os.read(descriptor, 1)
        os._exit(1)

    # Also covers a writer that was gone before the signal was armed.
    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
