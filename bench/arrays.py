"""Small files of arrays that somebody else may have written: read with care, whatever is in them.

`numpy.load` makes room for what a header claims before it looks at the rest, so that a file of a
few bytes can ask for all memory. Here a header has to agree with the bytes that follow it, and
those are counted beforehand.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]

ABOUT = "about"
MEMBERS = 32
"""A file with more arrays than this is no file of ours."""


def packed(arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """Return the bytes of a compressed `.npz` file of these arrays, with some plain data."""
    told = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{ABOUT: told, **arrays})
    return buffer.getvalue()


def read(path: Path, most: int) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of whole numbers that a file holds, and its plain data.

    Args:
        path: what `packed` made.
        most: bytes that all its arrays may take together; the file itself may not be longer.

    Raises:
        ValueError: there is no such file, it is damaged, too large, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ValueError("it is too large")
        arrays = _members(content, most)
        about = json.loads(arrays.pop(ABOUT).tobytes())
        if not isinstance(about, dict):
            raise ValueError("what it says of itself is no table")
    except Exception as error:  # zip, zlib, npy and json each have ways of their own
        raise ValueError(f"`{path}` cannot be read: {error}") from error
    return arrays, about


def _members(content: bytes, most: int) -> Arrays:
    found: Arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        listed = archive.infolist()
        # What is unpacked is cut off at the sizes that are listed.
        if len(listed) > MEMBERS or sum(each.file_size for each in listed) > most:
            raise ValueError("it holds too much")
        for each in listed:
            found[each.filename.removesuffix(".npy")] = _array(archive.read(each))
    return found


def _array(content: bytes) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"an array is of version {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    rest = content[stream.tell() :]
    if fortran or dtype.kind not in "uib" or dtype.itemsize * math.prod(shape) != len(rest):
        raise ValueError("an array is not what its header says")
    return np.frombuffer(rest, dtype).reshape(shape)
