"""What a run is and what came of it as flat names and values, as trackers keep them.

Names are paths with dots for what was chosen (`optimizer.lr`), with slashes for what was measured
(`val/accuracy`): trackers group curves by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.records import EpochMetrics, RunRecord, RunSpec

Plain = str | int | float | bool
_COSTS = {
    "timing": ("train_seconds", "wall_seconds", "images_per_second"),
    "profile": ("parameters", "flops", "latency_ms", "peak_memory_bytes"),
}


def params(run: RunSpec) -> dict[str, Plain]:
    """Return what was chosen for a run, seed included; what is None is left out.

    Components are under their kinds (`optimizer`), their params below (`optimizer.lr`), the fields
    of the protocol under `protocol`; lists are JSON.
    """
    found: dict[str, Any] = {}
    for kind, ref in run.components.items():
        found[kind] = ref.name
        found |= {f"{kind}.{name}": value for name, value in ref.params.items()}
    # The names of these components are above already.
    fields = {name: value for name, value in run.protocol.items() if name not in run.components}
    found |= {f"protocol.{name}": value for name, value in fields.items()}
    found |= {"seed": run.seed, "mode": str(run.mode), "device": run.device}
    return {
        name: value if isinstance(value, Plain) else json.dumps(value)
        for name, value in found.items()
        if value is not None
    }


def curves(metrics: EpochMetrics) -> dict[str, float]:
    """Return what was measured of an epoch."""
    found = {
        "train/loss": metrics.train_loss,
        "train/accuracy": metrics.train_accuracy,
        "val/loss": metrics.val_loss,
        "val/accuracy": metrics.val_accuracy,
        "val/score": metrics.val_score,
        "lr": metrics.lr,
        "images_per_second": metrics.images_per_second,
        "epoch_seconds": metrics.seconds,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def results(record: RunRecord) -> dict[str, float]:
    """Return what came of a run: `final/val_...`, `final/test_...`, and what it cost.

    Those of val are of the weights that were kept, which need not be the last epoch's.
    """
    found = {
        f"final/{split}_{name}": value
        for split, values in record.metrics.items()
        for name, value in values.items()
        if name != "n"
    }
    for part, names in _COSTS.items():
        told: Mapping[str, Any] = getattr(record, part)
        found |= {f"cost/{name}": told.get(name) for name in names}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
