"""Pictures of items, found wherever a run has left one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from bench import pictures
from bench.pictures import Pictures
from bench.records import RunRecord
from bench.store import Store

Pixels = npt.NDArray[np.uint8]


class Gallery:
    """Pictures that some runs have left of the items of their datasets.

    Runs on one content share them, stored in one shape: equal ids are equal items. So a run
    without pictures, as an ensemble, shows those that others have left.
    """

    def __init__(self, store: Store, records: Iterable[RunRecord] = ()) -> None:
        """Remember whose pictures may be shown; they are read once they are asked for.

        Args:
            store: of the runs; is left with the warnings of what could not be read.
            records: the runs that others may borrow from, the preferred ones first.
        """
        self._store = store
        self._known: dict[str, Pictures | None] = {}
        self._lenders: dict[tuple[str, ...], list[str]] = {}
        for record in records:
            self.add(record)

    def add(self, record: RunRecord) -> None:
        """Let others borrow from a run; an ensemble adds its members."""
        lenders = self._lenders.setdefault(_content(record), [])
        for run_id in (record.id, *record.spec.members):
            if run_id not in lenders:
                lenders.append(run_id)

    def own(self, record: RunRecord) -> Pictures | None:
        """Return what a run itself has left."""
        return self._read(record.id)

    def find(self, record: RunRecord, ids: Iterable[int], split: str) -> dict[int, Pixels]:
        """Return pictures of items of a split by id, of those of which any run has left one.

        Args:
            record: of the run that they are for; its own come first.
            ids: places in the stored split.
            split: `test`.
        """
        wanted, found = {int(each) for each in ids}, {}
        for left in self._left_for(record):
            if not wanted:
                break
            if left.split == split:
                for place, each in enumerate(left.ids.tolist()):
                    if each in wanted:
                        found[each] = left.images[place]
                        wanted.discard(each)
        return found

    def has_any(self, record: RunRecord) -> bool:
        """Return whether there are pictures of the items of a run."""
        return any(True for _ in self._left_for(record))

    def _left_for(self, record: RunRecord) -> Iterator[Pictures]:
        """Yield what runs have left of the items of a run, its own first."""
        content = _content(record)
        # Without a content nobody knows whether two runs have had the same items.
        others = self._lenders.get(content, []) if content[0] else []
        for run_id in dict.fromkeys((record.id, *record.spec.members, *others)):
            left = self._read(run_id)
            if left is not None:
                yield left

    def _read(self, run_id: str) -> Pictures | None:
        if run_id not in self._known:
            folder = self._store.folder(run_id)
            left = pictures.read(folder)
            if left is None and (path := folder / pictures.NAME).exists():
                self._store.warnings.append(
                    f"the pictures of run `{run_id}` are not shown: `{path}` cannot be read; "
                    "restore it, or train the run again with `--rerun`"
                )
            # A file from elsewhere may hold pictures of no size.
            self._known[run_id] = left if left is not None and left.images.size else None
        return self._known[run_id]


def _content(record: RunRecord) -> tuple[str, ...]:
    """Return what runs have in common whose ids name the same items."""
    known = record.spec.key.get("dataset", {})
    return tuple(str(known.get(name) or "") for name in ("fingerprint", "variant"))
