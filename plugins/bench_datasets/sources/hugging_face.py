"""`hf:DIR` or `hf:NAME`: sets of the library `datasets`, from disk or from the hub."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench import downloads
from bench.text import did_you_mean, listing, one_line
from bench_datasets.sources import common
from bench_datasets.sources.tables import IMAGE_COLUMNS, LABEL_COLUMNS

OFFLINE_SWITCHES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


class Rows:
    """One split: pairs of an image and its label, decoded when they are asked for.

    Attributes:
        labels: (N,) integers, or (N, C) of 0 and 1.
    """

    def __init__(self, rows: Any, image_column: str, labels: Any) -> None:
        self.labels = labels
        self._rows = rows.select_columns([image_column])
        self._column = image_column

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return a PIL image and its label."""
        label = self.labels[index]
        return self._rows[index][self._column], int(label) if label.ndim == 0 else label


def load(
    data_dir: Path | None,
    *,
    path: str = "",
    config: str = "",
    revision: str = "",
    image_column: str = "",
    label_column: str = "",
) -> bench.Splits:
    """Hugging Face: a set in `hf:DIR` as `save_to_disk` wrote it, or `hf:NAME` from the hub.

    Labels are one ClassLabel, integer or text for each image, or a list of ClassLabel. A split
    without labels is left out. It takes the package `datasets`.

    Args:
        data_dir: not used.
        path: the folder, or the name on the hub.
        config: which of several configurations, for a name.
        revision: branch, tag or commit, for a name; without it the newest is taken.
        image_column: the column of images, where there are several.
        label_column: the column of labels, likewise.

    Raises:
        bench.DataError: the set cannot be had, or its columns are not understood.
    """
    splits = _open(path, config, revision)
    image = _image_column(path, splits["train"].features, image_column)
    label = _label_column(path, splits["train"].features, label_column)
    labels, classes = _labels(path, splits, label)
    parts = {name: Rows(splits[name], image, part) for name, part in labels.items()}
    return bench.Splits(
        train=parts["train"], val=parts.get("val"), test=parts.get("test"), classes=classes
    )


def locate(data_dir: Path | None, *, path: str = "", **params: Any) -> list[Path]:
    """Return the files of a folder; nothing for a name, which says `revision` if it matters."""
    if not _is_path(path):
        return []
    root = common.existing_folder(path, "hf")
    return [root / inner / name for inner, names in common.walk(root) for name in names]


@common.quietly
def hints(data_dir: Path | None, *, path: str = "", **params: Any) -> bench.DatasetHints | None:
    """Return counts and the size of the first image of a folder; for a name nothing."""
    if not _is_path(path):
        return None
    splits = load(data_dir, path=path, **params)
    image = splits.train[0][0]
    return bench.DatasetHints(
        train=len(splits.train),
        val=0 if splits.val is None else len(splits.val),
        test=0 if splits.test is None else len(splits.test),
        image_size=min(*image.size, 224),
        channels=1 if image.mode in ("1", "L", "I", "I;16") else 3,
        task=common.task_of(len(splits.classes), multi_label=splits.train.labels.ndim == 2),
    )


def address(text: str) -> str:
    """Return the absolute path of a folder, or a name on the hub as it stands.

    Raises:
        bench.UsageError: the text is empty.
    """
    path = common.absolute(text)
    return path if os.path.exists(path) or text.startswith((".", "~")) else text


def _is_path(path: str) -> bool:
    return os.path.isabs(path)


def _open(path: str, config: str, revision: str) -> Mapping[str, Any]:
    """Return the splits by our names for them; `train` is among them."""
    if _is_path(path):
        common.existing_folder(path, "hf")
    try:
        with _switches():
            datasets: Any = importlib.import_module("datasets")
            opened = _opened(datasets, path, config, revision)
    except ModuleNotFoundError as error:
        raise bench.DataError(
            f"`hf:{path}` takes the package `{error.name}`, which is not installed; "
            "pip install bench-harness[hf]"
        ) from error
    except Exception as error:  # whatever the hub, the disk and the library come up with
        if not _is_path(path):
            downloads.refuse_offline(f"the Hugging Face set `{path}`")
        raise bench.DataError(
            f"`hf:{path}` could not be opened ({one_line(str(error), 160)}); it must be a folder "
            "written by save_to_disk, or a name on huggingface.co"
        ) from error
    if isinstance(opened, datasets.Dataset):
        return {"train": opened}
    splits: dict[str, Any] = {}
    for name, rows in opened.items():
        split = common.split_of(name)
        if split and len(rows):
            splits.setdefault(split, rows)
    if "train" not in splits:
        raise bench.DataError(
            f"`hf:{path}` has no split `train`, only {listing(opened)}; choose another set or "
            "`config`"
        )
    return splits


def _opened(datasets: Any, path: str, config: str, revision: str) -> Any:
    root = Path(path)
    saved = ("dataset_dict.json", "state.json")
    if _is_path(path) and any((root / name).is_file() for name in saved):
        return datasets.load_from_disk(path)
    return datasets.load_dataset(path, config or None, revision=revision or None)


@contextlib.contextmanager
def _switches() -> Iterator[None]:
    """Keep the library from the network where downloads are forbidden."""
    if not downloads.is_offline():
        yield
        return
    before = {name: os.environ.get(name) for name in OFFLINE_SWITCHES}
    os.environ.update(dict.fromkeys(OFFLINE_SWITCHES, "1"))
    try:
        datasets: Any = importlib.import_module("datasets")
        # It reads its switches once, when it is imported, which may have been earlier.
        kept = datasets.config.HF_HUB_OFFLINE
        datasets.config.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            datasets.config.HF_HUB_OFFLINE = kept
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _image_column(path: str, features: Mapping[str, Any], wanted: str) -> str:
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    return _choose(path, features, wanted, images, IMAGE_COLUMNS, "image")


def _label_column(path: str, features: Mapping[str, Any], wanted: str) -> str:
    classes = [
        name
        for name, feature in features.items()
        if "ClassLabel" in (type(feature).__name__, type(_inner(feature)).__name__)
    ]
    plain = [
        name
        for name, feature in features.items()
        if name.lower() in LABEL_COLUMNS and type(feature).__name__ == "Value"
    ]
    return _choose(path, features, wanted, classes or plain, LABEL_COLUMNS, "label")


def _inner(feature: Any) -> Any:
    """Return what a list consists of, whichever way the library's version writes lists."""
    return feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)


def _choose(
    path: str,
    features: Mapping[str, Any],
    wanted: str,
    found: Sequence[str],
    known: Sequence[str],
    kind: str,
) -> str:
    param = f"{kind}_column"
    if wanted:
        if wanted not in features:
            raise bench.DataError(
                f"`hf:{path}` has no column `{wanted}`{did_you_mean(wanted, features)}, only "
                f"{listing(features)}; check `--set hf.{param}`"
            )
        return wanted
    usual = [name for name in found if name.lower() in known]
    for names in (found, usual):
        if len(names) == 1:
            return names[0]
    problem = f"has {len(found)} columns of {kind}s" if found else f"has no column of {kind}s"
    raise bench.DataError(
        f"`hf:{path}` {problem} among {listing(features)}; name one with `--set hf.{param}=NAME`"
    )


def _labels(
    path: str, splits: Mapping[str, Any], column: str
) -> tuple[dict[str, Any], Sequence[str]]:
    """Return labels (N,) or (N, C) of the splits that have some, and the classes."""
    import numpy as np

    from bench_datasets.sources.arrays import ArraySplits

    feature = splits["train"].features[column]
    raw = {n: rows[column][:] for n, rows in splits.items() if column in rows.column_names}
    inner = _inner(feature)
    if inner is not None:
        width = len(inner.names)
        rows_of = {name: np.zeros((len(items), width), np.uint8) for name, items in raw.items()}
        for name, items in raw.items():
            for index, numbers in enumerate(items):
                rows_of[name][index, list(numbers or ())] = 1
        return dict(rows_of), list(inner.names)
    known = {name: items for name, items in raw.items() if not _all_unknown(items)}
    if "train" not in known:
        raise bench.DataError(f"`hf:{path}`: column `{column}` of train is empty; choose another")
    names = list(getattr(feature, "names", None) or ())
    pairs = {name: ((), np.asarray(items)) for name, items in known.items()}
    return ArraySplits(f"hf:{path}", pairs, names).labels()


def _all_unknown(items: Sequence[Any]) -> bool:
    """Return whether a split's labels are withheld, as -1 or nothing in each row."""
    return all(item is None or item == -1 for item in items)


SOURCE = bench.Dataset(name="hf", load=load, locate=locate, hints=hints, address=address)
