"""Datasets decoded once: uint8 arrays on disk, named by the hash of their content.

`prepare` asks a plugin for its splits, checks them, and writes them as NumPy files that every
worker opens through a memory map. A small note beside them remembers which source gave which
content, so that the next command knows a dataset's fingerprint without loading it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import operator
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import files
from bench.errors import BenchError, DataError, PluginError, StoreError
from bench.provenance import component_source
from bench.records import ComponentRef, digest
from bench.registry import Offer
from bench.specs import Dataset, Splits
from bench.text import one_line

FORMAT = 1
SPLITS = ("train", "val", "test")

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StoredDataset:
    """A dataset on disk.

    Attributes:
        fingerprint: hash of the images, labels and class names.
        classes: class names in the order of their labels.
        image_shape: (H, W, C).
        counts: images by split; a split that the dataset lacks is absent.
    """

    folder: Path
    fingerprint: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    counts: Mapping[str, int]

    def open(self, split: str) -> tuple[Images, Labels]:
        """Return one split: images (N, H, W, C) uint8, memory-mapped, and labels (N,) int64."""
        images = np.load(self.folder / f"{split}.images.npy", mmap_mode="r")
        return images, np.load(self.folder / f"{split}.labels.npy")


def root() -> Path:
    """Return the folder of stored datasets."""
    return files.cache_folder()


def source_key(offer: Offer, ref: ComponentRef, data_dir: Path | None) -> str:
    """Return a hash of what a dataset would be loaded from, without loading it."""
    component = offer.component
    assert isinstance(component, Dataset)
    stamps: list[tuple[str, int, int]] = []
    if component.locate is not None:
        for path in component.locate(data_dir, **ref.params):
            status = path.stat()
            stamps.append((str(path), status.st_size, status.st_mtime_ns))
    source = component_source(component.load)
    return digest([FORMAT, ref.name, ref.plugin, dict(ref.params), source, stamps])[:24]


def recall(offer: Offer, ref: ComponentRef, data_dir: Path | None) -> StoredDataset | None:
    """Return the stored dataset if this source was prepared before, else None."""
    note = root() / "sources" / f"{source_key(offer, ref, data_dir)}.json"
    try:
        fingerprint = json.loads(note.read_text("utf-8"))["fingerprint"]
        return open_stored(fingerprint)
    except (OSError, ValueError, KeyError, TypeError, StoreError):
        return None


def open_stored(fingerprint: str) -> StoredDataset:
    """Return a stored dataset by its fingerprint.

    Raises:
        StoreError: it is not in the store, or its description is damaged.
    """
    folder = root() / "datasets" / fingerprint
    try:
        about = json.loads((folder / "about.json").read_text("utf-8"))
        height, width, channels = about["image_shape"]
        for split, count in about["counts"].items():
            whole = count * height * width * channels
            if (folder / f"{split}.images.npy").stat().st_size < whole:
                raise ValueError(f"the images of {split} are cut")
            (folder / f"{split}.labels.npy").stat()
        return StoredDataset(
            folder=folder,
            fingerprint=fingerprint,
            classes=tuple(about["classes"]),
            image_shape=(height, width, channels),
            counts=about["counts"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"dataset {fingerprint} is not in `{root()}`") from error


def prepare(offer: Offer, ref: ComponentRef, data_dir: Path | None) -> StoredDataset:
    """Load a dataset through its plugin, check it, and store it unless it is there already.

    Raises:
        PluginError: what the plugin returned is not a sound dataset.
        DataError: the data are missing or unreadable.
        StoreError: the store cannot be written.
    """
    component = offer.component
    assert isinstance(component, Dataset)
    with files.lock(root() / "sources" / f"{source_key(offer, ref, data_dir)}.lock"):
        stored = recall(offer, ref, data_dir)
        if stored is not None:
            return stored
        where = f"dataset `{ref.name}` of plugin {offer.plugin.label}"
        try:
            splits = component.load(data_dir, **ref.params)
        except BenchError:
            raise
        except Exception as error:
            reason = one_line(f"{type(error).__name__}: {error}")
            raise DataError(f"{where} could not be loaded: {reason}") from error
        stored = write(check(splits, where))
        # The key is taken again: a download during `load` may have made files to stamp.
        note = root() / "sources" / f"{source_key(offer, ref, data_dir)}.json"
        files.write_json(note, {"dataset": ref.name, "fingerprint": stored.fingerprint})
        return stored


@dataclass(frozen=True)
class CheckedSplits:
    """Splits whose arrays are known to be sound: images (N, H, W, C), labels (N,)."""

    arrays: Mapping[str, tuple[Images, Labels]]
    classes: tuple[str, ...]


def check(splits: Any, where: str) -> CheckedSplits:
    """Turn what a plugin returned into arrays, or say what is wrong with it.

    Raises:
        PluginError: naming the plugin, the split and the offending value.
    """
    if not isinstance(splits, Splits):
        raise PluginError(f"{where} returned {type(splits).__name__}, not bench.Splits")
    arrays: dict[str, tuple[Images, Labels]] = {}
    for split in SPLITS:
        content = getattr(splits, split)
        if content is None:
            if split == "val":
                continue
            raise PluginError(f"{where} has no {split} split")
        arrays[split] = _arrays(content, f"{where}: {split}", splits.image_size)
    count = len(splits.classes) or int(arrays["train"][1].max()) + 1
    if count < 2:
        raise PluginError(f"{where} has {count} class; two or more are needed")
    for split, (images, labels) in arrays.items():
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= count:
            wrong = low if low < 0 else high
            raise PluginError(
                f"{where}: {split} holds label {wrong}, "
                f"but {count} classes are labelled 0 to {count - 1}"
            )
        expected = arrays["train"][0].shape[1:]
        if images.shape[1:] != expected:
            raise PluginError(
                f"{where}: {split} images are {images.shape[1:]} (height, width, channels), "
                f"train images are {expected}"
            )
    names = tuple(str(name) for name in splits.classes) or tuple(map(str, range(count)))
    return CheckedSplits(arrays, names)


def write(splits: CheckedSplits) -> StoredDataset:
    """Write checked splits into the store under the hash of their content."""
    fingerprint = _fingerprint(splits)
    datasets = root() / "datasets"
    target = datasets / fingerprint
    try:
        datasets.mkdir(parents=True, exist_ok=True)
        with files.lock(datasets / f"{fingerprint}.lock"):
            try:
                return open_stored(fingerprint)
            except StoreError:
                shutil.rmtree(target, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(dir=datasets, prefix=".writing-"))
            try:
                _write_arrays(temporary, splits)
                temporary.chmod(0o777 & ~files.umask())  # mkdtemp's folders are private
                temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            f"cannot store a dataset in `{datasets}`: {error.strerror or error}; "
            "BENCH_CACHE names another folder"
        ) from error
    return open_stored(fingerprint)


def _write_arrays(folder: Path, splits: CheckedSplits) -> None:
    for split, (images, labels) in splits.arrays.items():
        np.save(folder / f"{split}.images.npy", images)
        np.save(folder / f"{split}.labels.npy", labels)
    about = {
        "format": FORMAT,
        "classes": list(splits.classes),
        "image_shape": list(splits.arrays["train"][0].shape[1:]),
        "counts": {split: len(labels) for split, (_, labels) in splits.arrays.items()},
    }
    # Written last: a folder with a description is a whole one.
    files.write_json(folder / "about.json", about)


def _fingerprint(splits: CheckedSplits) -> str:
    hasher = hashlib.sha256(json.dumps(list(splits.classes)).encode())
    for split, (images, labels) in splits.arrays.items():
        hasher.update(f"{split} {images.shape}".encode())
        hasher.update(np.ascontiguousarray(images).data)
        hasher.update(np.ascontiguousarray(labels).data)
    return hasher.hexdigest()[:32]


def _arrays(content: Any, where: str, image_size: int | None) -> tuple[Images, Labels]:
    if isinstance(content, tuple | list) and len(content) == 2 and hasattr(content[0], "dtype"):
        images, labels = np.asarray(content[0]), np.asarray(content[1])
    elif hasattr(content, "__len__") and hasattr(content, "__getitem__"):
        images, labels = _decode(content, where, image_size)
    else:
        raise PluginError(
            f"{where} is {type(content).__name__}; it must be a pair of arrays "
            "or a sequence of (image, label)"
        )
    if images.ndim == 3:
        images = images[..., None]
    if len(images) == 0:
        raise PluginError(f"{where} is empty")
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise PluginError(
            f"{where} images have shape {images.shape}; "
            "(N, H, W), (N, H, W, 1) or (N, H, W, 3) is needed"
        )
    if images.dtype != np.uint8:
        raise PluginError(f"{where} images are {images.dtype}; uint8 is needed")
    if labels.ndim != 1 or len(labels) != len(images):
        raise PluginError(f"{where} has {len(images)} images, but labels of shape {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise PluginError(f"{where} labels are {labels.dtype}; integers are needed")
    return images, labels.astype(np.int64)


def _decode(
    content: Sequence[Any], where: str, image_size: int | None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Read a sequence of (PIL image or array, label); gray images stay gray if all are."""
    images: list[npt.NDArray[Any]] = []
    labels: list[int] = []
    for index in range(len(content)):
        item = f"{where}: item {index}"
        try:
            pair = content[index]
        except BenchError:
            raise
        except Exception as error:  # whatever a plugin or a picture's decoder raises
            raise DataError(_unreadable(item, error)) from error
        try:
            image, label = pair
        except (TypeError, ValueError) as error:
            raise PluginError(f"{item} is no pair of image and label") from error
        try:
            array = _image_array(image, image_size)
        except Exception as error:
            raise DataError(_unreadable(item, error)) from error
        if array.ndim == 3 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.ndim < 2:
            raise PluginError(f"{item} is no image but {type(image).__name__}")
        if array.ndim > 3 or array.shape[2:] not in ((), (3,)):
            raise PluginError(
                f"{item} has shape {array.shape}; (H, W), (H, W, 1) or (H, W, 3) is needed"
            )
        if images and array.shape[:2] != images[0].shape[:2]:
            raise PluginError(
                f"{item} is {array.shape[1]}×{array.shape[0]}, the first is "
                f"{images[0].shape[1]}×{images[0].shape[0]}; Splits(image_size=...) makes "
                "them equal"
            )
        try:
            labels.append(operator.index(label))
        except TypeError as error:
            raise PluginError(f"{item} has label {label!r}; an integer is needed") from error
        images.append(array)
    if any(array.ndim == 3 for array in images):
        images = [np.stack([a] * 3, -1) if a.ndim == 2 else a for a in images]
    return np.stack(images) if images else np.empty((0, 1, 1), np.uint8), np.asarray(labels)


def _unreadable(item: str, error: Exception) -> str:
    return f"{item} cannot be read: {one_line(f'{type(error).__name__}: {error}')}"


def _image_array(image: Any, image_size: int | None) -> npt.NDArray[Any]:
    from PIL import Image, ImageOps

    if image_size is not None and isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    if isinstance(image, Image.Image):
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = Image.fromarray(_eight_bits(np.asarray(image)))
        elif image.mode == "F":
            raise ValueError("a picture of floats has no fixed range; make it one of 8 bits")
        image = image.convert("L" if image.mode in ("1", "L") else "RGB")
        if image_size is not None:
            scale = image_size / min(image.size)
            size = [max(image_size, round(edge * scale)) for edge in image.size]
            image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
            left, top = ((edge - image_size) // 2 for edge in image.size)
            image = image.crop((left, top, left + image_size, top + image_size))
    return np.asarray(image)


def _eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the upper byte of 16-bit gray values; Pillow would cut everything above 255."""
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError("a picture of more than 16 bits; make it one of 8 bits")
    return (values >> 8).astype(np.uint8)


def describe(stored: StoredDataset) -> dict[str, Any]:
    """Return the plain data that a worker hands back about a stored dataset."""
    plain = dataclasses.asdict(stored)
    plain["folder"] = str(stored.folder)
    return plain
