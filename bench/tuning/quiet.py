"""Keeps Optuna's own log lines and warnings away from the terminal of whoever runs `bench`."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


def silence() -> None:
    """Have Optuna log nothing in this process: what matters reaches the user as our own lines."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Ignore warnings inside the block: which parts of Optuna are experimental is our concern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
