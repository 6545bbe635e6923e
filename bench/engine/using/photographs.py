"""Image files brought into the shape that a run's dataset was stored in, decoded when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bench import decoding, hardware
from bench.decoding import Interpolation, Pixels, Resize, UnreadableImage
from bench.engine import pipeline
from bench.errors import DataError
from bench.geometry import Geometry
from bench.stored import Indices


class Photographs:
    """Image files as the images of a split; they pass through what the run's own images did.

    Where these were stored at one size, so is each file. Where they were all alike and stored as
    they came, a file of that shape is taken as it is; another is brought to it by the run's own
    way of resizing, or to the network's size if the stored images are no squares.

    Attributes:
        bad: what is wrong with files that could not be read, by place; black images stand for
            them. With `strict` there are none.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        geometry: Geometry,
        size: int,
        resize: Resize,
        interpolation: Interpolation,
        *,
        strict: bool,
    ) -> None:
        self.bad: dict[int, str] = {}
        self._paths = paths
        self._geometry = geometry
        self._resize = resize
        self._interpolation = interpolation
        self._strict = strict
        self._size = size
        height, width = geometry.height, geometry.width
        if geometry.resize is None and height != width:
            height = width = size
        self._shape = (height, width, geometry.channels)
        # A pool for each batch would start some threads every few milliseconds.
        self._pool = ThreadPoolExecutor(hardware.cpu_count(), "decode")

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (N, H, W, C)."""
        return (len(self._paths), *self._shape)

    def __getitem__(self, ids: Indices) -> npt.NDArray[np.uint8]:
        """Return the images at `ids` (B,) as (B, H, W, C).

        Raises:
            DataError: a file cannot be read, with `strict`.
        """
        result = np.zeros((len(ids), *self._shape), np.uint8)

        def work(place: int) -> None:
            index = int(ids[place])
            try:
                result[place] = self._fitted(decoding.read_image(self._paths[index]))
            except UnreadableImage as error:
                if self._strict:
                    raise DataError(
                        f"{error}; `--on-bad skip` leaves such files out and names them"
                    ) from error
                self.bad[index] = error.why

        for _ in self._pool.map(work, range(len(ids))):
            pass
        return result

    def _fitted(self, pixels: Pixels) -> Pixels:
        geometry = self._geometry
        if geometry.resize is not None:
            return geometry.fit(pixels)
        height, width, channels = self._shape
        if pixels.shape[:2] == (geometry.height, geometry.width):
            pixels = decoding.with_channels(pixels, channels)
            if pixels.shape[:2] == (height, width):
                return pixels
            image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
            sized = pipeline.resize(image, self._size, self._resize, self._interpolation)
            return sized[0].permute(1, 2, 0).numpy()
        pixels = decoding.fit(pixels, height, self._resize, self._interpolation)
        return decoding.with_channels(pixels, channels)
