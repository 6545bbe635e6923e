"""Tells what layout a folder or a file has; archives and downloads do not say it."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import bench
from bench import extraction
from bench_datasets.sources import common, idx_files, imagenet, tables


def detect(path: Path) -> str:
    """Return the name of the source that reads what is at a path.

    Raises:
        bench.DataError: nothing is there, or it looks like none of the layouts.
    """
    return resolve(path)[0]


def resolve(path: Path) -> tuple[str, Path]:
    """Return the name of the source, and the path that it is to be given.

    A lone folder at the top, as archives have it, is passed through.

    Raises:
        bench.DataError: nothing is there, or it looks like none of the layouts.
    """
    found = common.existing(str(path))
    if found.is_file():
        return _of_file(found), found
    while True:
        layout = _of_folder(found)
        inner = [entry for entry in found.iterdir() if not common.hidden(entry.name)]
        if layout != "folder" or len(inner) != 1 or not inner[0].is_dir():
            return layout, found
        found = inner[0]


def _of_file(path: Path) -> str:
    name = path.name.lower()
    if name.endswith(".npz"):
        return "npz"
    if name.endswith(tables.SUFFIXES):
        return "csv"
    if extraction.is_archive(path):
        return "archive"
    # A download may have any name.
    if extraction.is_zip(path):
        return "npz" if _holds_arrays(path) else "archive"
    if tarfile.is_tarfile(path):
        return "archive"
    raise bench.DataError(
        f"`{path}` is no zip or tar file, no .npz and no .csv; check what it should be"
    )


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return all(member.endswith(".npy") for member in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _of_folder(path: Path) -> str:
    names = sorted(entry.name for entry in path.iterdir() if not common.hidden(entry.name))
    if "dataset_dict.json" in names or {"state.json", "dataset_info.json"} <= {*names}:
        return "hf"
    if imagenet.MAPPING in names or imagenet.find_base(path) is not None:
        return "imagenet"
    if any(idx_files.is_idx(name) for name in names):
        return "idx"
    csvs = [name for name in names if name.lower().endswith(tables.SUFFIXES)]
    folders = [path / name for name in names if (path / name).is_dir()]
    npz = [name for name in names if name.lower().endswith(".npz")]
    if len(npz) == 1 and not folders and not csvs:
        return "npz"
    if any(common.split_of_file(name) for name in csvs):
        return "csv"
    # Beside class folders, a table of any other name may be anything.
    sorted_ones = [each for each in folders if common.split_of(each.name) is None]
    nested = any(
        common.split_of(each.name) == "train" and any(entry.is_dir() for entry in each.iterdir())
        for each in folders
    )
    return "csv" if csvs and len(sorted_ones) < 2 and not nested else "folder"
