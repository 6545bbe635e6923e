"""Weights of training items: a file named by its content, which a run finds by its digest."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import files
from bench.errors import ConfigError
from bench.stored import Indices

Weights = npt.NDArray[np.float64]


def digest_of(ids: Indices, weights: Weights) -> str:
    """Return a hash of which items have which weights, 16 hexadecimal digits."""
    content = ids.astype("<i8").tobytes() + weights.astype("<f8").tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def save(root: Path, ids: Indices, weights: Weights) -> tuple[str, Path]:
    """Write weights into a results folder; return their digest and their file.

    Args:
        root: the results folder.
        ids: (N,) places of the items in the stored split.
        weights: (N,), not negative.

    Raises:
        StoreError: the folder cannot be written.
    """
    digest = digest_of(ids, weights)
    path = root / "item-weights" / f"{digest}.npz"
    if not path.exists():
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, ids=ids, weights=weights)
        files.write_bytes(path, buffer.getvalue())
    return digest, path


def load(path: Path, digest: str, ids: Indices) -> Weights:
    """Return the weights (N,) of the items `ids`.

    Raises:
        ConfigError: the file is gone, damaged, or has the weights of other items.
    """
    again = "`bench ensemble --how boosting` makes it again"
    try:
        # Opened here: of a file that is no archive, NumPy leaves its own open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            known, weights = stored["ids"], stored["weights"]
            whole = digest_of(known, weights) == digest
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"cannot read the item weights `{path}`: {error}; {again}") from error
    if not whole or known.shape != weights.shape:
        raise ConfigError(f"the item weights `{path}` are damaged; remove the file, {again}")
    if not np.array_equal(known, ids):
        raise ConfigError(f"the item weights `{path}` are of other items than this run trains on")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ConfigError(f"the item weights `{path}` are not all finite and not negative")
    return np.asarray(weights, np.float64)
