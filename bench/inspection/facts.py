"""What a dataset holds, as plain data: sizes, modes, classes, brightness."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from bench.decoding import GRAY_MODES
from bench.inspection.scanning import SPLITS, Progress, Scan, scan
from bench.inspection.warnings import class_counts
from bench.specs import Splits


def summarise(
    splits: Splits,
    *,
    scanned: Scan | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Return facts about a dataset, as `bench data info` shows them.

    Mean and standard deviation are those of all pixels of train at the images' own sizes, by
    channel, in [0, 1]: large images weigh more than small ones.

    Args:
        splits: what a dataset's `load` returned.
        scanned: what `scan` made of the same splits, if it was called already.
        progress: called after each image with the number done and the number of all.
        threads: how many decode at a time; as many as there are processors by default.

    Raises:
        DataError: a split has no form that is known, or not as many labels as images.
    """
    if scanned is None:
        scanned = scan(splits, progress=progress, threads=threads)
    readable = [item for item in scanned.items if not item.why]
    present = [split for split in SPLITS if getattr(splits, split) is not None]
    counts = {split: class_counts(scanned, split) for split in present if split != "unlabelled"}
    gray = all(item.mode in GRAY_MODES for item in readable)
    mean, std = _moments(scanned, 1 if gray else 3)
    return {
        "task": str(scanned.task),
        "images": {split: sum(item.split == split for item in scanned.items) for split in present},
        "unreadable": len(scanned.items) - len(readable),
        "bytes": sum(item.size for item in readable),
        "channels": 1 if gray else 3,
        "width": _spread([item.width for item in readable]),
        "height": _spread([item.height for item in readable]),
        "modes": _tally(item.mode for item in readable),
        "formats": _tally(item.format for item in readable if item.format),
        "classes": [
            {"name": name, **{split: counts[split][label] for split in counts}}
            for label, name in enumerate(scanned.classes)
        ],
        "mean": mean,
        "std": std,
    }


def _tally(words: Any) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _spread(values: list[int]) -> dict[str, float] | None:
    if not values:
        return None
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def _moments(scanned: Scan, channels: int) -> tuple[list[float] | None, list[float] | None]:
    histogram = scanned.histogram[:channels].astype(np.float64)
    total = histogram.sum(axis=1)
    if not total.all():
        return None, None
    levels = np.arange(256) / 255
    mean = histogram @ levels / total
    variance = (histogram * (levels - mean[:, None]) ** 2).sum(axis=1) / total
    return mean.tolist(), np.sqrt(variance).tolist()
