"""Trials carried out as a tuner would have them, part by part, for tests.

Called as a program it carries out parts of one run, so that a test can watch several processes:

    python trials.py RESULTS VALUES_AS_JSON EPOCH...
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conftest import Watcher

from bench import api, datastore, provenance
from bench.config import ExperimentConfig
from bench.forecast import PlannedRun
from bench.hardware import device_name
from bench.records import Purpose, RunRecord, RunSpec
from bench.registry import load_registry
from bench.runner import Outcome, Runner
from bench.store import Store

TIMES = ("seconds", "images_per_second")


def trial(results: Path, values: Mapping[str, Any]) -> RunSpec:
    """Return the first run of an experiment as a trial, once its dataset is stored."""
    config = config_of(results, values)
    registry = load_registry()
    spec = api.prepare(config, registry)[1][0].spec
    spec = dataclasses.replace(spec, purpose=Purpose.TRIAL)
    stored = datastore.prepare(
        registry.of("dataset", spec.dataset), spec.dataset, datastore.request_of(spec)
    )
    content = stored.fingerprint, stored.variant
    return provenance.complete(spec, registry, content, device_name("cpu"))


def config_of(results: Path, values: Mapping[str, Any]) -> ExperimentConfig:
    given = {"datasets": "tiny", "models": "dropout", "deterministic": True, "device": "cpu"}
    return ExperimentConfig.create({**given, **values, "results": results})


def carry_out(
    results: Path,
    values: Mapping[str, Any],
    parts: Sequence[int | None],
    watcher: Watcher | None = None,
) -> Outcome:
    """Carry out parts of a trial in this order, in one worker unless `values` asks for more."""
    config, registry = config_of(results, values), load_registry()
    executor = api.prepare(config, registry)[0].executor
    spec = trial(results, values)
    planned = [PlannedRun(spec.paused_at(part), False, 0.0, None, None) for part in parts]
    watcher = watcher or Watcher()
    registry.manager.register(watcher)
    return Runner(config, executor, registry, Store(results), watcher).run(planned)


def told(results: Path, record: RunRecord) -> dict[str, Any]:
    """Return all that must not depend on how a run was carried out."""
    folder = Store(results).folder(record.id)
    with np.load(folder / "predictions.npz") as arrays:
        predictions = {name: arrays[name].tobytes() for name in arrays}
    curves = {
        path.name: [
            {name: value for name, value in json.loads(line).items() if name not in TIMES}
            for line in path.read_text().splitlines()
        ]
        for path in sorted(folder.glob("*.jsonl"))
    }
    counted = ("steps", "epochs", "best_epoch", "stopped_early")
    return {
        "status": str(record.status),
        "metrics": record.metrics,
        "predictions": predictions,
        "curves": curves,
        "counted": {name: record.timing[name] for name in counted},
    }


if __name__ == "__main__":
    folder, settings, *epochs = sys.argv[1:]
    outcome = carry_out(Path(folder), json.loads(settings), [int(word) for word in epochs])
    print([str(record.status) for record in outcome.records])
