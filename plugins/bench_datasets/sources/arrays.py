"""Arrays of images and labels, brought to the form that the core takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bench
from bench_datasets.sources import common


class ArraySplits:
    """Pairs of images and labels by split, as they come from a file.

    Attributes:
        where: what errors call the file.
        pairs: images and labels by split; `train` is among them.
        names: class names, where the file has them.
    """

    def __init__(
        self, where: str, pairs: Mapping[str, tuple[Any, Any]], names: Sequence[str] = ()
    ) -> None:
        self.where = where
        self.pairs = pairs
        self.names = [str(name) for name in names]

    def splits(self) -> bench.Splits:
        """Return the splits: images (N, H, W) or (N, H, W, C) uint8, labels as in `labels`.

        Raises:
            bench.DataError: an array is no array of images, or does not fit its labels.
        """
        images = {name: self._images(name, pair[0]) for name, pair in self.pairs.items()}
        labels, classes = self.labels()
        for name, pixels in images.items():
            if len(pixels) != len(labels[name]):
                raise bench.DataError(
                    f"`{self.where}` has {len(pixels)} images but {len(labels[name])} labels in "
                    f"{name}; take both from one source"
                )
        parts = {name: (pixels, labels[name]) for name, pixels in images.items()}
        return bench.Splits(
            train=parts["train"], val=parts.get("val"), test=parts.get("test"), classes=classes
        )

    def labels(self) -> tuple[dict[str, Any], list[str]]:
        """Return labels (N,) in 0 .. C-1 or (N, C) of 0 and 1, and the names of the classes.

        Rows of 0 and 1 that all have a single 1 are taken as one label each. Labels that do not
        count from 0 are numbered in natural order, and keep their values as names.

        Raises:
            bench.DataError: they are neither, or another split has one that train lacks.
        """
        import numpy as np

        raw = {name: np.asarray(pair[1]) for name, pair in self.pairs.items()}
        raw = {
            name: array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
            for name, array in raw.items()
        }
        shapes = {array.ndim for array in raw.values()}
        if shapes == {2} and len({array.shape[1] for array in raw.values()}) == 1:
            return self._rows(raw)
        if shapes != {1}:
            shown = ", ".join(f"{name} {array.shape}" for name, array in raw.items())
            raise bench.DataError(
                f"labels of `{self.where}` have shapes {shown}; (N,), (N, 1) or (N, C) is needed"
            )
        return self._numbers(raw)

    def _rows(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        import numpy as np

        width = raw["train"].shape[1]
        for name, array in raw.items():
            if not np.isin(array, (0, 1)).all():
                raise bench.DataError(
                    f"labels of `{self.where}` in {name} have shape {array.shape} but are not all "
                    "0 and 1; give one number or a row of 0 and 1 for each image"
                )
        classes = self._named(width)
        if all((array.sum(1) == 1).all() for array in raw.values()):
            return {name: array.argmax(1) for name, array in raw.items()}, classes
        return {name: array.astype(np.uint8) for name, array in raw.items()}, classes

    def _numbers(self, raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        import numpy as np

        for name, array in raw.items():
            if array.dtype.kind == "f" and (array == np.floor(array)).all():
                raw[name] = array.astype(np.int64)
            elif array.dtype.kind not in "iubUSO":
                raise bench.DataError(
                    f"labels of `{self.where}` in {name} are {array.dtype}; "
                    "whole numbers or names are needed"
                )
        if all(array.dtype.kind in "iub" for array in raw.values()):
            low = min(int(array.min(initial=0)) for array in raw.values())
            high = max(int(array.max(initial=0)) for array in raw.values())
            present = np.unique(raw["train"])
            # With names at hand, a number is the place of its name, present in train or not.
            if self.names and low >= 0 and high < len(self.names):
                return {n: a.astype(np.int64) for n, a in raw.items()}, self.names
            if self.names:
                raise bench.DataError(
                    f"labels of `{self.where}` run from {low} to {high}, but it names "
                    f"{len(self.names)} classes; they must run from 0 to {len(self.names) - 1}"
                )
            known = [str(value) for value in present.tolist()]
        else:
            known = sorted({str(value) for value in raw["train"].tolist()}, key=common.natural)
        if len(known) < 2:
            raise bench.DataError(
                f"`{self.where}` has one class, {common.examples(known) or 'none'}; "
                "two or more are needed"
            )
        number = {name: index for index, name in enumerate(known)}
        encoded = {}
        for split, array in raw.items():
            values, places = np.unique(array.astype(str), return_inverse=True)
            strange = [str(value) for value in values if value not in number]
            if strange:
                raise bench.DataError(
                    f"`{self.where}`: {split} has {len(strange)} labels that train lacks: "
                    f"{common.examples(strange)}; train needs images of every class"
                )
            table = np.array([number[str(value)] for value in values], np.int64)
            encoded[split] = table[places] if len(table) else np.zeros(0, np.int64)
        return encoded, known

    def _named(self, count: int) -> list[str]:
        if self.names and len(self.names) != count:
            raise bench.DataError(
                f"`{self.where}` names {len(self.names)} classes, but its labels have {count}; "
                "name each"
            )
        return self.names or [str(index) for index in range(count)]

    def _images(self, split: str, array: Any) -> Any:
        import numpy as np

        what = f"images of `{self.where}` in {split}"
        if array.ndim and len(array) == 0:
            raise bench.DataError(f"{what} are none; leave the split out or fill it")
        # (N, C, H, W), as torch has it: the last dimension of images is 1 or 3 otherwise.
        if array.ndim == 4 and array.shape[-1] not in (1, 3) and array.shape[1] in (1, 3):
            array = array.transpose(0, 2, 3, 1)
        if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3)):
            raise bench.DataError(
                f"{what} have shape {array.shape}; (N, H, W), (N, H, W, 1) or (N, H, W, 3) is "
                "needed"
            )
        if array.dtype == np.uint8:
            return array
        whole = array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255
        if not whole:
            raise bench.DataError(
                f"{what} are {array.dtype} from {array.min():g} to {array.max():g}; uint8 from 0 "
                "to 255 is needed: scale and store them again"
            )
        return array.astype(np.uint8)
