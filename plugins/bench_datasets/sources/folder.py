"""`folder:DIR`: a folder for each class, with or without folders for the splits above them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import bench
from bench_datasets.sources import common, trees

Parts = tuple[str, ...]
Classes = dict[Parts, list[str]]


def load(data_dir: Path | None, *, path: str = "", tree: str = "") -> bench.Splits:
    """Images in class folders: `folder:DIR`, with or without train, val and test above them.

    The classes are those of train, in natural order; a split that has other ones is an error.
    Folders within class folders make a hierarchical task, whose classes are the innermost
    folders. Images without class folders in `test` or `unlabelled` are for prediction.

    Args:
        data_dir: not used.
        path: the folder.
        tree: a CSV or JSON file with the tree of the classes, in the folder or the current one.

    Raises:
        bench.DataError: the folder is missing or not laid out so.
    """
    root = common.existing_folder(path, "folder")
    layout = scan(root)
    classes = layout.classes
    taxonomy: list[Parts] = []
    if tree:
        taxonomy = trees.read(common.beside(tree, root), classes)
    elif layout.hierarchical:
        taxonomy = [
            tuple("/".join(parts[: depth + 1]) for depth in range(len(parts)))
            for parts in layout.order
        ]
    return bench.Splits(
        train=layout.files("train"),
        val=layout.files("val"),
        test=layout.files("test"),
        classes=classes,
        taxonomy=taxonomy,
        unlabelled=layout.unlabelled_files(),
    )


def locate(data_dir: Path | None, *, path: str = "", tree: str = "") -> list[Path]:
    """Return all image files, and that of the tree.

    Raises:
        bench.DataError: the folder is missing or not laid out as class folders are.
    """
    root = common.existing_folder(path, "folder")
    layout = scan(root)
    names = [name for split in layout.splits.values() for group in split.values() for name in group]
    own = [common.beside(tree, root)] if tree else []
    return own + [root / name for name in (*names, *layout.unlabelled)]


@common.quietly
def hints(data_dir: Path | None, *, path: str = "", tree: str = "") -> bench.DatasetHints | None:
    """Return counts and the size of the first image."""
    splits = load(data_dir, path=path, tree=tree)
    task = common.task_of(len(splits.classes), hierarchical=bool(splits.taxonomy))
    return common.file_hints(splits, task)


@dataclass
class Layout:
    """What a folder holds: for each split the files of each class, as paths below the root."""

    root: Path
    splits: dict[str, Classes]
    unlabelled: list[str] = field(default_factory=list)

    @property
    def order(self) -> list[Parts]:
        """The classes as paths below their split, in natural order."""
        return sorted(self.splits["train"], key=lambda parts: [common.natural(p) for p in parts])

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in natural order."""
        return ["/".join(parts) for parts in self.order]

    @property
    def hierarchical(self) -> bool:
        """Whether a class lies within another folder."""
        return any(len(parts) > 1 for parts in self.splits["train"])

    def files(self, split: str) -> bench.Files | None:
        """Return a split's files and labels (N,) int64, or None where it is absent."""
        import numpy as np

        if split not in self.splits:
            return None
        groups = [self.splits[split][parts] for parts in self.order]
        names = [name for group in groups for name in group]
        labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        return bench.Files([self.root / name for name in names], labels, names)

    def unlabelled_files(self) -> bench.Files | None:
        """Return the files to be predicted, or None."""
        if not self.unlabelled:
            return None
        return bench.Files([self.root / name for name in self.unlabelled], (), self.unlabelled)


def scan(root: Path) -> Layout:
    """Return what lies in a folder.

    Raises:
        bench.DataError: no image lies in it, or not in class folders, or the splits differ.
    """
    folders = dict(common.walk(root))
    images = {
        folder: [name for name in names if common.is_image(name)]
        for folder, names in folders.items()
    }
    found = {
        tuple(folder.split("/")) if folder else (): [
            f"{folder}/{name}" if folder else name for name in names
        ]
        for folder, names in images.items()
    }
    _some_images(root, folders, images)
    tree = Tree(root, found)
    layout = _splits(tree, tree.top())
    _check(root, layout)
    return layout


def _some_images(
    root: Path, folders: Mapping[str, list[str]], images: Mapping[str, list[str]]
) -> None:
    if any(images.values()):
        return
    others = [name for names in folders.values() for name in names]
    seen = f"{len(others)} other files, such as {common.examples(others)}" if others else "no file"
    raise bench.DataError(
        f"`{root}` holds no images, but {len(folders) - 1} folders and {seen}; "
        "put the images of each class in a folder of its name"
    )


class Tree:
    """All folders below a root, each with its images."""

    def __init__(self, root: Path, found: Mapping[Parts, list[str]]) -> None:
        self.root = root
        self.found = found
        self.inner: dict[Parts, list[Parts]] = {parts: [] for parts in found}
        for parts in found:
            # What lies beside images and holds none itself, as annotations do, is no class.
            if parts and (not found[parts[:-1]] or self._filled(parts)):
                self.inner[parts[:-1]].append(parts)

    def _filled(self, top: Parts) -> bool:
        return any(names for parts, names in self.found.items() if parts[: len(top)] == top)

    def top(self) -> Parts:
        """Return the folder to begin with: a lone folder of folders is passed through."""
        top: Parts = ()
        while True:
            inner = self.inner[top]
            if self.found[top] or len(inner) != 1 or not self.inner[inner[0]]:
                return top
            top = inner[0]

    def below(self, top: Parts) -> Iterator[Parts]:
        """Yield a folder and all within it."""
        yield top
        for parts in self.inner[top]:
            yield from self.below(parts)

    def shown(self, parts: Parts) -> str:
        """Return what errors call a folder."""
        return "/".join((self.root.name, *parts))


def _splits(tree: Tree, top: Parts) -> Layout:
    """Tell folders of splits from folders of classes."""
    root, found = tree.root, tree.found
    named: dict[str, Parts] = {}
    classes, unlabelled = [], []
    for parts in tree.inner[top]:
        split = common.split_of(parts[-1])
        if parts[-1].lower() in common.UNLABELLED_NAMES and not tree.inner[parts]:
            unlabelled += found[parts]
        elif split is None:
            classes.append(parts)
        elif split in named:
            raise bench.DataError(
                f"`{root}` has two folders for {split}, `{named[split][-1]}` and `{parts[-1]}`; "
                "keep one"
            )
        else:
            named[split] = parts
    filled = [each for each in classes if any(found[parts] for parts in tree.below(each))]
    # A folder `train` of images beside folders `car` and `ship` is a class of vehicles.
    vehicle = "train" in named and not tree.inner[named["train"]] and bool(filled)
    if vehicle and len(named) == 1:
        named, classes = {}, [*classes, named["train"]]
    if not named:
        return Layout(root, {"train": _shortened(_classes(tree, top, classes))}, unlabelled)
    if "train" not in named or filled:
        beside = common.examples(each[-1] for each in filled) or "no folder `train`"
        raise bench.DataError(
            f"`{root}` has folders of splits, {common.examples(p[-1] for p in named.values())}, "
            f"beside {beside}; put all class folders into `train`, `val` and `test`"
        )
    if found[top]:
        _refuse_mixed(tree, top)
    splits = {}
    for split, parts in named.items():
        if split == "test" and found[parts] and not tree.inner[parts]:
            unlabelled += found[parts]
        else:
            splits[split] = _classes(tree, parts, tree.inner[parts])
    train = _shortened(splits["train"])
    # Where another split has but one branch of train's tree, the names must stay comparable.
    for split, classes_of in splits.items():
        if not classes_of.keys() & train.keys():
            splits[split] = _shortened(classes_of)
    return Layout(root, {**splits, "train": train}, unlabelled)


def _refuse_mixed(tree: Tree, parts: Parts) -> NoReturn:
    names = tree.found[parts]
    inner = common.examples(each[-1] for each in tree.inner[parts])
    raise bench.DataError(
        f"{len(names)} images lie directly in `{tree.shown(parts)}` beside its folders {inner}, "
        f"for example `{names[0]}`; move them into a class folder"
    )


def _classes(tree: Tree, top: Parts, folders: Iterable[Parts]) -> Classes:
    """Return the files of each innermost folder within `folders`, by its path below `top`."""
    below = [parts for folder in folders for parts in tree.below(folder)]
    if not below:
        raise bench.DataError(
            f"`{tree.shown(top)}` holds {len(tree.found[top])} images but no class folders; put "
            "the images of each class in a folder of its name, or list labels in a table and "
            "use `csv:`"
        )
    for parts in (top, *below):
        if tree.inner[parts] and tree.found[parts]:
            _refuse_mixed(tree, parts)
    leaves = {parts: tree.found[parts] for parts in below if not tree.inner[parts]}
    empty = ["/".join(parts[len(top) :]) for parts, names in leaves.items() if not names]
    if empty:
        raise bench.DataError(
            f"{len(empty)} of the {len(leaves)} class folders in `{tree.shown(top)}` hold no "
            f"images: {common.examples(sorted(empty))}; fill or remove them"
        )
    return {parts[len(top) :]: names for parts, names in leaves.items()}


def _shortened(classes: Classes) -> Classes:
    """Leave out the folders that all classes lie in, as in `train/images/cat`."""
    skip = 0
    while len({parts[skip] for parts in classes}) == 1 and all(len(p) > skip + 1 for p in classes):
        skip += 1
    return {parts[skip:]: names for parts, names in classes.items()}


def _check(root: Path, layout: Layout) -> None:
    """Refuse a single class, and splits that differ in their classes."""
    train = layout.splits["train"]
    if len(train) < 2:
        only = "/".join(next(iter(train)))
        raise bench.DataError(
            f"`{root}` has one class, `{only}`, with {sum(map(len, train.values()))} images; "
            "two or more are needed"
        )
    for split, classes in layout.splits.items():
        for missing, where, there in (
            (classes.keys() - train.keys(), "train", split),
            (train.keys() - classes.keys(), split, "train"),
        ):
            if missing:
                names = sorted(("/".join(parts) for parts in missing), key=common.natural)
                raise bench.DataError(
                    f"`{root}`: {where} lacks {len(names)} of the classes of {there}: "
                    f"{common.examples(names)}; every split needs the same class folders"
                )


SOURCE = bench.Dataset(
    name="folder",
    load=load,
    locate=locate,
    hints=hints,
    address=common.absolute,
    preload=("PIL.Image",),
)
