"""How a dataset is asked for, and the shape that its images are stored in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, cast

from bench import decoding, intake
from bench.decoding import Interpolation, Pixels, Resize
from bench.intake import Shapes

NATIVE_EDGE = 128
"""Images of one size, no edge longer than this, are stored as they are and resized by the runs."""


@dataclass(frozen=True)
class Request:
    """How a dataset is to be loaded.

    Attributes:
        data_dir: where the user keeps datasets.
        size: height and width wanted, pixels; None for the dataset's own.
        resize: what is done with images of another shape.
        interpolation: how pixels between pixels are found where an image is resized.
        color: `gray`, `rgb`, or `auto`: gray where all images are.
        on_bad: `error` or `skip`: what is done with files that cannot be read.
        exclude: a file with the names or paths of files to leave out, one a line.
        stream: keep no decoded images; the runs decode files as they go.
    """

    data_dir: Path | None = None
    size: int | None = None
    resize: Resize = "crop"
    interpolation: Interpolation = "bilinear"
    color: str = "auto"
    on_bad: str = "error"
    exclude: Path | None = None
    stream: bool = False


@dataclass(frozen=True)
class Geometry:
    """The shape that a dataset's images are stored in; `size` is None for images of one size."""

    height: int
    width: int
    channels: int
    resize: Resize | None
    interpolation: Interpolation = "bilinear"

    @property
    def variant(self) -> str:
        """Return the name of the folder that holds the images."""
        mark = f"-{self.resize}" if self.resize else ""
        mark += f"-{self.interpolation}" if mark and self.interpolation != "bilinear" else ""
        return f"{self.height}x{self.width}x{self.channels}{mark}"

    @classmethod
    def of_variant(cls, name: str) -> Self:
        """Return the shape that a folder of images is named after.

        Raises:
            ValueError: the name is that of none.
        """
        edges, *marks = name.split("-")
        height, width, channels = (int(edge) for edge in edges.split("x"))
        resize, interpolation = (*marks, None, None)[:2]
        made = cls(height, width, channels, cast("Resize | None", resize))
        if interpolation is not None:
            made = replace(made, interpolation=cast(Interpolation, interpolation))
        if made.variant != name:
            raise ValueError(f"{name!r} is the name of no shape")
        return made

    @property
    def bytes_each(self) -> int:
        """Return the bytes of one image."""
        return self.height * self.width * self.channels

    def fit(self, pixels: Pixels) -> Pixels:
        """Bring the pixels of one image into this shape."""
        if self.resize is not None:
            pixels = decoding.fit(pixels, self.height, self.resize, self.interpolation)
        return decoding.with_channels(pixels, self.channels)


def geometry(shapes: Shapes, own_size: int | None, request: Request) -> Geometry:
    """Return the shape to store images in; it depends on content and request only."""
    channels = {"gray": 1, "rgb": 3}.get(request.color, 1 if shapes.gray else 3)
    if shapes.uniform is not None and max(shapes.uniform) <= NATIVE_EDGE:
        return Geometry(*shapes.uniform, channels, None)
    size = request.size or own_size or min(shapes.edge, intake.DEFAULT_EDGE)
    return Geometry(size, size, channels, request.resize, request.interpolation)
