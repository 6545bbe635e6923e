"""Makes image files that are damaged, odd or hostile: a corpus for tests, or `bad_images.py DIR`.

Each function writes one kind of file. `write_unreadable` and `write_odd` write all of theirs.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

UNREADABLE = {
    "truncated.jpg": "damaged",
    "truncated.png": "damaged",
    "truncated.gif": "damaged",
    "empty.jpg": "is empty",
    "text.jpg": "no image that Pillow knows",
    "page.png": "no image that Pillow knows",
    "flipped.png": "damaged",
    "float.tiff": "holds floats",
    "bomb.png": "too many pixels",
}
"""The files of `write_unreadable`, and what their error says."""


def write_unreadable(folder: Path) -> list[Path]:
    """Write files that must be refused, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = Image.fromarray(_noise())
    for name in ("truncated.jpg", "truncated.png", "truncated.gif"):
        whole = encoded(noise, {"jpg": "JPEG"}.get(name[-3:], name[-3:]))
        (folder / name).write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture\n" * 20)
    (folder / "page.png").write_text("<!DOCTYPE html><html><body>Not found</body></html>")
    png = bytearray(encoded(noise, "png"))
    png[len(png) // 2] ^= 0xFF
    (folder / "flipped.png").write_bytes(png)
    Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)).save(
        folder / "float.tiff"
    )
    (folder / "bomb.png").write_bytes(bomb())
    return [folder / name for name in UNREADABLE]


def write_odd(folder: Path) -> dict[str, Path]:
    """Write files that look strange but must be read, and return their paths by what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    red = Image.new("RGB", (8, 6), (200, 30, 30))
    paths: dict[str, Path] = {}

    def add(kind: str, name: str, image: Image.Image, **options: object) -> None:
        paths[kind] = folder / name
        image.save(paths[kind], **options)

    add("cmyk", "cmyk.jpg", red.convert("CMYK"))
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([0, 0, 0, 10, 200, 10])
    palette.putpixel((0, 0), 0)
    add("palette", "palette.png", palette, transparency=0)
    add("gray16", "gray16.png", Image.fromarray(np.full((6, 8), 0x8012, np.uint16)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is stored on top belongs to the right
    turned = np.zeros((6, 8, 3), np.uint8)
    turned[:3] = 255
    add("exif", "exif.jpg", Image.fromarray(turned), exif=exif, quality=95)
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    add("animated", "animated.gif", frames[0], save_all=True, append_images=frames[1:])
    clear = np.zeros((6, 8, 4), np.uint8)
    clear[:, 4:] = (0, 0, 255, 255)
    add("rgba", "rgba.png", Image.fromarray(clear))
    add("gray-alpha", "gray-alpha.png", Image.new("LA", (8, 6), (100, 0)))
    add("one-bit", "one-bit.png", Image.new("1", (8, 6), 1))
    return paths


def bomb(width: int = 20_000, height: int = 10_000) -> bytes:
    """Return a PNG file of 200 megapixels, gray and all black, which takes 24 KB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def encoded(image: Image.Image, format: str) -> bytes:
    """Return an image as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, format)
    return stream.getvalue()


def _noise() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for path in (*write_unreadable(target), *write_odd(target).values()):
        print(path, path.stat().st_size)
