"""The random generators that a run may draw from: their state, saved, restored or left alone."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch


def random_state(device: str) -> dict[str, Any]:
    """Return the state of every generator that a run may draw from."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    assert isinstance(keys, np.ndarray)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if device == "cuda" else None,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set every generator to what `random_state` returned."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])


@contextlib.contextmanager
def kept(device: str) -> Iterator[None]:
    """Leave every generator as it was, whatever is drawn meanwhile."""
    state = random_state(device)
    try:
        yield
    finally:
        restore_random_state(state)
