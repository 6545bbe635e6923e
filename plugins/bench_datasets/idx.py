"""IDX, the file format of MNIST and its kin (http://yann.lecun.com/exdb/mnist/).

A file starts with two zero bytes, the code of its element type and the number of dimensions;
each dimension follows as a big-endian 32-bit integer, then the elements in row-major order.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSIGNED_BYTE = 0x08


def read_pair(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images (N, H, W) and labels (N,) of two files that belong together.

    Raises:
        bench.DataError: a file is unreadable, or the two do not fit each other.
    """
    pixels, targets = read(images), read(labels)
    if pixels.ndim != 3:
        raise bench.DataError(
            f"`{images}` has {pixels.ndim} dimensions, images have 3; "
            "check that images and labels are not swapped"
        )
    if targets.ndim != 1:
        raise bench.DataError(
            f"`{labels}` has {targets.ndim} dimensions, labels have 1; "
            "check that images and labels are not swapped"
        )
    if len(pixels) != len(targets):
        raise bench.DataError(
            f"`{images}` holds {len(pixels)} images, but `{labels}` {len(targets)} labels; "
            "take both from one source"
        )
    return pixels, targets


def read(path: Path) -> NDArray[np.uint8]:
    """Return the array that an IDX file of unsigned bytes holds, gzipped or not.

    Raises:
        bench.DataError: the file cannot be read, is no IDX file of bytes, or has the wrong length.
    """
    import numpy as np

    again = "fetch the file again"
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise bench.DataError(f"there is no file `{path}`; check `--data-dir`") from error
    except EOFError as error:
        raise bench.DataError(f"`{path}` ends before its time; {again}") from error
    except (OSError, zlib.error) as error:
        raise bench.DataError(f"cannot read `{path}`: {error}; {again}") from error
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or not magic[3]:
        shown = magic.hex(" ") or "nothing"
        raise bench.DataError(
            f"`{path}` is no IDX file of bytes: it starts with {shown}, not 00 00 08; {again}"
        )
    start = 4 + 4 * magic[3]
    if len(content) < start:
        raise bench.DataError(f"`{path}` ends within its header; {again}")
    shape = struct.unpack(f">{magic[3]}I", content[4:start])
    expected, found = math.prod(shape), len(content) - start
    if found != expected:
        problem = "is truncated" if found < expected else "goes on after its end"
        raise bench.DataError(
            f"`{path}` {problem}: {found} bytes of data where {expected} are announced; {again}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
