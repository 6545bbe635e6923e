"""The wish that a run in training should save its state and end.

An executor passes it on, for example from the handler of a signal; the training loop looks at it
after every step.
"""

from __future__ import annotations

import threading

_wanted = threading.Event()


class Interrupted(Exception):
    """A run was asked to stop, and has saved its state."""


def request() -> None:
    """Ask the run that is under way in this process to stop."""
    _wanted.set()


def requested() -> bool:
    """Return whether the run under way is to stop."""
    return _wanted.is_set()


def clear() -> None:
    """Forget the wish; the next run is another one."""
    _wanted.clear()
