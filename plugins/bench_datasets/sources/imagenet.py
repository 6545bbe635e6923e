"""`imagenet:DIR`: ImageNet (ILSVRC 2012) as it is handed out."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import bench
from bench_datasets.sources import common, tables

MAPPING = "LOC_synset_mapping.txt"
SOLUTION = "LOC_val_solution.csv"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"

_SYNSET = re.compile(r"n\d{8}")


def load(data_dir: Path | None, *, path: str = "") -> bench.Splits:
    """ImageNet (ILSVRC 2012) as Kaggle or image-net.org hand it out: `imagenet:DIR`.

    `train` holds a folder for each synset, below ILSVRC/Data/CLS-LOC or directly. `val` holds
    such folders too, or all images, whose labels then come from LOC_val_solution.csv, or from the
    development kit's ILSVRC2012_validation_ground_truth.txt and meta.mat. The labels of ImageNet's
    own test images are secret: its val becomes the test split, part of train becomes val, and the
    test images, where present, are for prediction. Classes are in the order of their synsets, as
    pretrained models have them; LOC_synset_mapping.txt names them.

    Args:
        data_dir: not used.
        path: the folder.

    Raises:
        bench.DataError: the folder is not laid out so.
    """
    import numpy as np

    root = common.existing_folder(path, "imagenet")
    base = find_base(root)
    if base is None:
        raise bench.DataError(
            f"`{root}` has no folder `train` with folders of synsets such as `n01440764`, nor "
            "ILSVRC/Data/CLS-LOC; check the path, or use `folder:`"
        )
    train = _sorted_files(root, base / "train")
    synsets = sorted({synset for synset, _ in train})
    number = {synset: index for index, synset in enumerate(synsets)}
    val = _val(root, base)
    strange = sorted({synset for synset, _ in val} - number.keys())
    if strange or len(synsets) < 2:
        raise bench.DataError(
            f"`{base}`: val has {len(strange)} classes that train lacks: "
            f"{common.examples(strange)}; both must be whole"
            if strange
            else f"`{base}/train` holds {len(synsets)} classes; two or more are needed"
        )

    def files(items: list[tuple[str, str]]) -> bench.Files:
        names = [name for _, name in items]
        labels = np.array([number[synset] for synset, _ in items], np.int64)
        return bench.Files([root / name for name in names], labels, names)

    unlabelled = [name for _, name in _images(root, base / "test")]
    return bench.Splits(
        train=files(train),
        test=files(val) if val else None,
        classes=_names(root, synsets),
        unlabelled=bench.Files([root / name for name in unlabelled], (), unlabelled)
        if unlabelled
        else None,
    )


def locate(data_dir: Path | None, *, path: str = "") -> list[Path]:
    """Return all image files, and those of the labels.

    Raises:
        bench.DataError: the folder is not laid out as ImageNet is.
    """
    splits = load(data_dir, path=path)
    located = [file for name in (MAPPING, SOLUTION, TRUTH) if (file := _about(Path(path), name))]
    for part in (splits.train, splits.test, splits.unlabelled):
        located += [] if part is None else part.paths
    return located


@common.quietly
def hints(data_dir: Path | None, *, path: str = "") -> bench.DatasetHints | None:
    """Return counts and the size of the first image."""
    splits = load(data_dir, path=path)
    return common.file_hints(splits, common.task_of(len(splits.classes)))


def find_base(root: Path) -> Path | None:
    """Return the folder that holds `train` with its folders of synsets, or None."""
    for inner in ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC"):
        train = root / inner / "train"
        if train.is_dir() and any(_SYNSET.fullmatch(entry.name) for entry in train.iterdir()):
            return root / inner
    return None


def _images(root: Path, folder: Path) -> list[tuple[str, str]]:
    """Return the innermost folder's name and the path below the root of each image."""
    if not folder.is_dir():
        return []
    above = folder.relative_to(root).as_posix()
    return [
        (inner.rpartition("/")[2], "/".join(filter(None, (above, inner, name))))
        for inner, names in sorted(common.walk(folder))
        for name in names
        if common.is_image(name)
    ]


def _sorted_files(root: Path, folder: Path) -> list[tuple[str, str]]:
    """Return synset and path of images in folders of synsets."""
    items = _images(root, folder)
    strange = [name for synset, name in items if not _SYNSET.fullmatch(synset)]
    if strange:
        raise bench.DataError(
            f"{len(strange)} images in `{folder}` lie in no folder of a synset: "
            f"{common.examples(strange)}; move or remove them"
        )
    return items


def _val(root: Path, base: Path) -> list[tuple[str, str]]:
    items = _images(root, base / "val")
    if not items or all(_SYNSET.fullmatch(folder) for folder, _ in items):
        return items
    labels = _labels_of_val(root, [name for _, name in items])
    if labels is None:
        raise bench.DataError(
            f"`{base / 'val'}` holds {len(items)} images without folders of synsets, and neither "
            f"`{SOLUTION}` nor `{TRUTH}` with meta.mat is there to label them; put one in `{root}`"
        )
    missing = [name for _, name in items if _stem(name) not in labels]
    if missing:
        raise bench.DataError(
            f"{len(missing)} of {len(items)} images in `{base / 'val'}` have no label: "
            f"{common.examples(missing)}; fetch the table of labels again"
        )
    return [(labels[_stem(name)], name) for _, name in items]


def _labels_of_val(root: Path, names: list[str]) -> dict[str, str] | None:
    """Return the synset of each image by its name without the ending."""
    solution = _about(root, SOLUTION)
    if solution is not None:
        table = tables.read(solution)
        return {row[0].strip(): row[1].split(" ")[0] for row in table.rows if len(row) > 1}
    truth, meta = _about(root, TRUTH), _about(root, "meta.mat")
    if truth is None or meta is None:
        return None
    from scipy.io import loadmat

    # The development kit numbers the synsets in an order of its own.
    synsets = {int(each[0]): str(each[1]) for each in loadmat(meta, squeeze_me=True)["synsets"]}
    numbers = truth.read_text("utf-8").split()
    stems = sorted(map(_stem, names))
    if len(numbers) != len(stems):
        raise bench.DataError(
            f"`{truth}` labels {len(numbers)} images, but val holds {len(stems)}; fetch both again"
        )
    return {stem: synsets[int(number)] for stem, number in zip(stems, numbers, strict=True)}


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


def _about(root: Path, name: str) -> Path | None:
    """Return a file about the images, wherever the archives put it."""
    for inner in ("", "ILSVRC2012_devkit_t12/data", "devkit/data", "ILSVRC/devkit/data"):
        if (root / inner / name).is_file():
            return root / inner / name
    return None


def _names(root: Path, synsets: list[str]) -> list[str]:
    """Return the first word for each synset; its number too where two share a word."""
    mapping = _about(root, MAPPING)
    words: dict[str, str] = {}
    if mapping is not None:
        for line in mapping.read_text("utf-8").splitlines():
            synset, _, names = line.strip().partition(" ")
            words[synset] = names.partition(",")[0].strip() or synset
    chosen = [words.get(synset, synset) for synset in synsets]
    count = Counter(chosen)
    return [
        word if count[word] == 1 else f"{word} ({synset})"
        for word, synset in zip(chosen, synsets, strict=True)
    ]


SOURCE = bench.Dataset(
    name="imagenet",
    load=load,
    locate=locate,
    hints=hints,
    address=common.absolute,
    preload=("PIL.Image",),
)
