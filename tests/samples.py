"""Specs, records and registries made of plain values, for tests that need some to start from."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import bench
from bench.protocol import Protocol
from bench.records import ComponentRef, RunRecord, RunSpec, RunStatus
from bench.registry import Plugin, Registry
from bench.specs import KINDS
from bench.store import Store

if TYPE_CHECKING:
    from bench.engine.pipeline import Batches

FINGERPRINT = "f00d" * 8
VARIANT = "8x8x1"


def make_spec(
    model: str = "net",
    optimizer: str = "adamw",
    seed: int = 0,
    dataset: str = "shapes",
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    protocol: Mapping[str, Any] | None = None,
    pinned: Mapping[str, Any] | None = None,
    fingerprint: str | None = FINGERPRINT,
    device_name: str = "a processor",
    version: str = "1.0",
    **fields: Any,
) -> RunSpec:
    """Return a spec with a complete key."""
    names = {
        "dataset": dataset,
        "model": model,
        "optimizer": optimizer,
        "schedule": "constant",
        "loss": "cross-entropy",
        "augmentation": "none",
    }
    given = params or {}
    refs = {kind: ComponentRef(name, "acme", given.get(kind, {})) for kind, name in names.items()}
    late = {kind: names[kind] for kind in ("schedule", "loss", "augmentation")}
    full = Protocol(**{**late, **(protocol or {})})
    spec = RunSpec(
        **refs,
        protocol=full.model_dump(mode="json"),
        seed=seed,
        pinned=dict(pinned or {}),
        **fields,
    )
    key: dict[str, Any] = {
        kind: {"name": ref.name, "plugin": ref.plugin, "params": dict(ref.params)}
        for kind, ref in refs.items()
    }
    key["dataset"] = {"name": dataset, "plugin": "acme", "fingerprint": fingerprint}
    key["dataset"]["variant"] = VARIANT
    key |= {
        "protocol": dict(spec.protocol),
        "seed": seed,
        "mode": str(spec.mode),
        "device": device_name,
        "version": version,
        **spec.tuning,
        **spec.drawing,
    }
    return RunSpec(**{**vars(spec), "key": key})


def make_record(
    spec: RunSpec | None = None,
    accuracy: float = 0.8,
    n: int = 1000,
    *,
    status: RunStatus = RunStatus.OK,
    error: str | None = None,
    finished_at: str = "2026-01-01T00:00:00.000+00:00",
    timing: Mapping[str, Any] | None = None,
    profile: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    log_loss: float | None = 0.5,
) -> RunRecord:
    """Return the record of a run; one that did not end well has no metrics."""
    metrics: dict[str, dict[str, Any]] = {}
    if status is RunStatus.OK:
        metrics = {
            "val": {"accuracy": accuracy, "log_loss": log_loss, "n": 200},
            "test": {"accuracy": accuracy, "log_loss": log_loss, "n": n},
        }
    return RunRecord(
        spec=spec or make_spec(),
        status=status,
        error=error,
        metrics=metrics,
        timing=timing or {"train_seconds": 2.0, "images_per_second": 500.0},
        profile=profile or {"parameters": 1234, "flops": 5678, "latency_ms": 1.5, "input_size": 8},
        environment={"threads": 2, **(environment or {})},
        started_at="2026-01-01T00:00:00+00:00",
        finished_at=finished_at,
    )


def write_predictions(store: Store, record: RunRecord, right: Sequence[bool]) -> None:
    """Store test predictions of a run, right or wrong item by item."""
    labels = np.zeros(len(right), np.int64)
    folder = store.folder(record.id)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "predictions.npz",
        test_ids=np.arange(len(right)),
        test_labels=labels,
        test_predicted=np.where(right, 0, 1),
    )


def make_plugin_module(*components: bench.Component) -> types.ModuleType:
    """Return a module whose hooks return these components."""
    module = types.ModuleType("acme")
    for kind in {component.kind for component in components}:
        offered = [component for component in components if component.kind == kind]
        hook = bench.hookimpl(lambda offered=offered: offered)
        setattr(module, f"register_{KINDS[kind].plural}", hook)
    return module


def add_plugin(
    registry: Registry, *components: bench.Component, name: str = "acme", version: str = "1.0"
) -> Plugin:
    """Add a plugin, distributed as `<name>-dist`, that offers these components."""
    plugin = Plugin(name, f"{name}-dist", version, name)
    registry.add(plugin, lambda: make_plugin_module(*components))
    return plugin


def load_nothing(data_dir: Path | None) -> bench.Splits:
    """A dataset that must not be loaded."""
    raise AssertionError("planning loads nothing")


def make_batches(
    images: Any, labels: Any, size: int, ids: Any = None, normalize: str = "standard", **fields: Any
) -> Batches:
    """Return images (N, H, W, C) of a stored split as a run gets them on a CPU."""
    import torch

    from bench import stored
    from bench.engine import pipeline, placement

    chosen = np.arange(len(images)) if ids is None else np.asarray(ids)
    mean, std = [0.0] * images.shape[-1], [1.0] * images.shape[-1]
    if normalize == "standard":
        mean, std = stored.channel_statistics(images, chosen)
    resize = fields.get("resize", "crop")
    place = placement.place(images, chosen, "cpu", "auto")
    shaped = pipeline.shaped(mean, std)
    plain = {
        "images": pipeline.kept_at_size(place, size, resize),
        "labels": torch.from_numpy(np.asarray(labels)[chosen]),
        "ids": chosen,
        "size": size,
        "resize": resize,
        "mean": shaped[0],
        "std": shaped[1],
        "memory_format": torch.contiguous_format,
        "classes": int(np.max(labels)) + 1,
    }
    return pipeline.Batches(**{**plain, **fields})
