"""Finds the files that a table of labels speaks of."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import bench
from bench_datasets.sources import common


class ImageIndex:
    """All images below a folder, by what a table may call them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths: set[str] = set()
        self._named: dict[str, list[str]] = defaultdict(list)
        for folder, names in common.walk(root):
            for name in names:
                if common.is_image(name):
                    path = f"{folder}/{name}" if folder else name
                    self.paths.add(path)
                    self._named[name].append(path)
                    self._named[posixpath.splitext(name)[0]].append(path)

    def find(self, names: Sequence[str], split: str, table: Path) -> list[str]:
        """Return the path below the root of each name; one outside it stays as it is.

        Raises:
            bench.DataError: files are missing, or a name fits several.
        """
        found = [self._find(name, split) for name in names]
        missing = [name for name, paths in zip(names, found, strict=True) if not paths]
        if missing:
            raise bench.DataError(
                f"`{table}`: {len(missing)} of {len(names)} images are not below `{self.root}`, "
                f"which holds {len(self.paths)}: {common.examples(missing)}; "
                "`--set csv.images=DIR` names another folder"
            )
        for name, paths in zip(names, found, strict=True):
            if len(paths) > 1:
                raise bench.DataError(
                    f"`{table}`: `{name}` may be {common.examples(sorted(paths))} in "
                    f"`{self.root}`; write the path from there"
                )
        return [paths[0] for paths in found]

    def _find(self, name: str, split: str) -> list[str]:
        """Return the paths that a name fits: as it is, in the usual folders, else anywhere."""
        if name.startswith("/"):
            return [name] if common.is_image(name) and Path(name).is_file() else []
        plain = posixpath.normpath(name.replace("\\", "/"))
        for folder in ("", "images", split, f"images/{split}", f"{split}/images"):
            path = posixpath.join(folder, plain)
            if path in self.paths:
                return [path]
        paths = self._named.get(posixpath.basename(plain), [])
        above = posixpath.dirname(plain)
        if above and not above.startswith(".."):
            paths = [path for path in paths if f"/{posixpath.dirname(path)}".endswith(f"/{above}")]
        if len(paths) > 1:
            ours = [path for path in paths if _split_above(path) == split]
            return ours or paths
        return paths

    def unnamed(self, used: set[str]) -> list[str]:
        """Return the images that no table names, in those folders that hold named ones."""
        folders = {posixpath.dirname(path) for path in used}
        return sorted(path for path in self.paths - used if posixpath.dirname(path) in folders)


def _split_above(path: str) -> str | None:
    """Return the split whose name a folder of the path bears."""
    for folder in reversed(path.split("/")[:-1]):
        split = common.split_of_file(folder)
        if split:
            return split
    return None
