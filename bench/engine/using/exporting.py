"""The job of a worker that writes a trained network to a file that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Emit = Callable[[dict[str, Any]], None]


def perform(payload: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Write a network to a file."""
    raise NotImplementedError
