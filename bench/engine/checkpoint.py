"""The state of a run under way, saved so that the same command can go on with it.

A checkpoint holds tensors and plain data only. It is read with `weights_only=True`, so that a file
that somebody has put there cannot run code.
"""

from __future__ import annotations

import pickle
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench import files
from bench.engine import interruption
from bench.errors import StoreError

SCHEMA = 1
SHORTEST_SECONDS = 1.0
"""An epoch that ends sooner after a checkpoint gets none: it would cost more than it saves."""


class Checkpoints:
    """Where one run saves its state.

    Attributes:
        refused: whether there was a state that could not be used.
        stands_aside: whether the state that is there is to stay as it is.

    Args:
        path: the file; None to save nothing.
        run: the id of the whole run, since a state is of no use to another one.
        minutes: of training after which the state is saved inside an epoch.
        writes: whether this process is the one that saves it; of several ranks one is.
    """

    def __init__(
        self, path: Path | None, run: str = "", minutes: float = 5.0, *, writes: bool = True
    ) -> None:
        self._path = path
        self._run = run
        self._seconds = minutes * 60
        self.refused = False
        self.stands_aside = False
        self._writes = writes
        self._last = time.perf_counter()

    def due(self) -> bool:
        """Return whether the state should be saved now, in the midst of an epoch."""
        return interruption.requested() or time.perf_counter() - self._last >= self._seconds

    def due_after_epoch(self) -> bool:
        """Return whether the state should be saved at the end of an epoch."""
        long_ago = time.perf_counter() - self._last >= SHORTEST_SECONDS
        return long_ago or interruption.requested()

    def save(self, state: Mapping[str, Any]) -> bool:
        """Replace the saved state and return whether that is done.

        A disk that is full costs the state, not the run.
        """
        saved = False
        if self._path is not None and self._writes and not self.stands_aside:
            content = {"schema": SCHEMA, "run": self._run, **state}
            try:
                with files.atomic_open(self._path) as file:
                    torch.save(content, file)
                saved = True
            except (StoreError, RuntimeError) as error:
                print(f"could not save the state of the run: {error}", file=sys.stderr)
        self._last = time.perf_counter()
        return saved

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None where there is none, or none that this run can use."""
        if self._path is None or not self._path.exists():
            return None
        try:
            # Generators want their state on the CPU; what belongs on a GPU is copied there when
            # modules and optimizers load it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is strange about a file that is refused
                content = torch.load(self._path, map_location="cpu", weights_only=True)
            if content["schema"] != SCHEMA or content["run"] != self._run:
                raise ValueError("it is the state of another run")
        except (
            *(OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, AttributeError),
            *(pickle.UnpicklingError, UnicodeDecodeError, IndexError),
        ) as error:
            print(f"`{self._path}` is not used, the run starts anew: {error}", file=sys.stderr)
            self.refused = True
            return None
        return dict(content)

    def remove(self) -> None:
        """Remove the saved state."""
        if self._path is not None and self._writes:
            self._path.unlink(missing_ok=True)
