"""Files of arrays that somebody may have tampered with."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from bench import arrays

MOST = 10_000
WHOLE = arrays_of.arrays(
    st.sampled_from([np.uint8, np.int64, np.bool_]),
    arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
)


@given(st.dictionaries(st.sampled_from(["ids", "maps", "images"]), WHOLE))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_packed_is_read_again(tmp_path: Path, given: dict[str, Any]) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(arrays.packed(given, {"layer": "x.1", "name": "<b>\udce9$"}))
    found, about = arrays.read(path, 1_000_000)
    assert about == {"layer": "x.1", "name": "<b>\udce9$"}
    assert {*found} == {*given}
    for name, expected in given.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def member(header: dict[str, Any], content: bytes, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return the bytes of an array whose header may not be true."""
    text = repr(header).encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + content


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in {"about": ABOUT, **members}.items():
            opened.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def header(shape: tuple[int, ...], descr: str = "|u1", *, fortran: bool = False) -> dict[str, Any]:
    return {"descr": descr, "fortran_order": fortran, "shape": shape}


ABOUT = member(header((2,)), b"{}")
HOSTILE = {
    "a size that nothing has": archive(ids=member(header((2**40,)), b"123")),
    "a size that overflows": archive(ids=member(header((2**33, 2**31)), b"")),
    "a negative size": archive(ids=member(header((-4,)), b"1234")),
    "too few bytes": archive(ids=member(header((4,)), b"123")),
    "too many bytes": archive(ids=member(header((4,)), b"12345")),
    "objects": archive(ids=member(header((1,), "|O"), pickle.dumps([1]))),
    "numbers with fractions": archive(ids=member(header((1,), "<f8"), bytes(8))),
    "another order": archive(ids=member(header((2, 2), fortran=True), b"1234")),
    "another version": archive(ids=member(header((4,)), b"1234", (9, 0))),
    "no header": archive(ids=b"1234"),
    "a bomb": archive(ids=member(header((10**6,)), bytes(10**6))),
    "too many members": archive(**{f"m{n}": member(header((1,)), b"1") for n in range(50)}),
    "no table about it": archive(about=member(header((2,)), b"[]")),
    "no text about it": archive(about=member(header((2,)), b"\xff\xfe")),
    "nothing": b"",
    "no archive": b"PK\x03\x04 and nothing else",
    "a long file": bytes(MOST + 1),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=[*HOSTILE])
def test_what_is_not_as_it_says_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file.npz` cannot be read"):
        arrays.read(path, MOST)


def test_a_file_that_is_not_there_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        arrays.read(tmp_path / "none.npz", MOST)
    with pytest.raises(ValueError, match="cannot be read"):
        arrays.read(tmp_path, MOST)


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_rightly_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    expected = np.arange(200, dtype=np.int64)
    content = bytearray(arrays.packed({"ids": expected}, {"layer": "x"}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "file.npz"
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        found, _ = arrays.read(path, MOST)
    except ValueError:
        return
    if "ids" in found:
        np.testing.assert_array_equal(found["ids"], expected)
