"""What reading a results directory costs, by the number of stored runs.

Runs are made from one record, given below: ten datasets, as many models and optimizers as it takes,
five seeds each, accuracies drawn for every method and seed, and with `--predictions` what each said
of 1,000 test images. Each command is run in a fresh process, with a warm disk cache; the first call
finds no index. Memory is the largest resident set of the process (on Linux, in kilobytes).

    python benchmarks/leaderboard.py [--runs 1000,10000,100000] [--folder DIR] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench import hardware, index
from bench.protocol import Protocol
from bench.records import ComponentRef, RunRecord, RunSpec, RunStatus

DATASETS, SEEDS = 10, 5
ITEMS, CLASSES = 1000, 10
PARAMS = {"lr": 0.002, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="1000,10000,100000")
    parser.add_argument("--folder", type=Path, help="where to make them; kept if it is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--predictions", action="store_true")
    arguments = parser.parse_args()
    versions = f"python {platform.python_version()}, n = {arguments.rounds}"
    print(f"{hardware.cpu_name()}, {versions}, predictions {arguments.predictions}")
    for count in map(int, arguments.runs.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            root = (arguments.folder or Path(temporary)) / str(count)
            if not root.exists():
                make(root, count, arguments.predictions)
            measure(root, count, arguments.rounds)


def measure(root, count, rounds):
    (root / index.NAME).unlink(missing_ok=True)
    command = [shutil.which("bench"), "leaderboard", "--results", str(root), "--format"]
    first, memory, output = timed([*command, "csv"])
    rows = output.count("\n") - 1
    print(f"{count:7,} runs, {rows:,} rows: first call {first:.1f} s, {memory:,} kB")
    one = next((root / "runs").iterdir()) / "record.json"
    for form in ("table", "csv", "json", "md"):
        found = [timed([*command, form]) for _ in range(rounds)]
        say(f"  leaderboard --format {form}", found)
    os.utime(one)
    say("  leaderboard, one record changed", [timed([*command, "csv"])])
    say("  show RUN", [timed([command[0], "show", one.parent.name, "--results", str(root)])])


def say(name, found):
    seconds = [each[0] for each in found]
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    print(f"{name:34} {statistics.median(seconds):6.2f} s ({spread}), {found[0][1]:,} kB")


def timed(command):
    """Return the seconds, the peak memory in kB and the output of a command."""
    with tempfile.TemporaryFile("w+") as file:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=file, cwd=tempfile.gettempdir())
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            sys.exit(f"{' '.join(command)} ended with {status}")
        file.seek(0)
        return seconds, usage.ru_maxrss, file.read()


def make(root, count, predictions):
    """Store runs; the files are what the store writes, without waiting for the disk."""
    generator = np.random.default_rng(0)
    methods = math.ceil(count / DATASETS / SEEDS)
    optimizers = max(1, math.isqrt(methods))
    difficulty = generator.normal(0, 1, ITEMS)
    number = 0
    for dataset in range(DATASETS):
        labels = generator.integers(0, CLASSES, ITEMS)
        for method in range(methods):
            skill = generator.normal(1.5, 0.3)
            for seed in range(SEEDS):
                if number == count:
                    return
                number += 1
                right = generator.random(ITEMS) < 1 / (
                    1 + np.exp(-skill - generator.normal(0, 0.05) - difficulty)
                )
                record = made(dataset, *divmod(method, optimizers), seed, float(right.mean()))
                folder = root / "runs" / record.id
                folder.mkdir(parents=True)
                if predictions:
                    said = np.where(right, labels, (labels + 1) % CLASSES).astype(np.int32)
                    parts = {"ids": np.arange(ITEMS), "labels": labels, "predicted": said}
                    arrays = {f"test_{name}": array for name, array in parts.items()}
                    np.savez_compressed(folder / "predictions.npz", **arrays)
                (folder / "record.json").write_text(json.dumps(record.to_dict()))


def made(dataset, model, optimizer, seed, accuracy):
    """Return a record as a worker writes it, of the size that they have."""
    plain = {
        "dataset": ComponentRef(f"set{dataset}", "bench_datasets"),
        "model": ComponentRef(f"net{model}", "bench_timm", {"drop_path": 0.0, "stem": "auto"}),
        "optimizer": ComponentRef(f"rule{optimizer}", "bench_optim", PARAMS),
        "schedule": ComponentRef("one-cycle", "bench_optim", {"pct_start": 0.3}),
        "loss": ComponentRef("cross-entropy", "bench_optim", {"label_smoothing": 0.0}),
        "augmentation": ComponentRef("none", "bench_augment"),
    }
    sources = {
        kind: {"name": ref.name, "plugin": ref.plugin, "version": "1.0", "source": "0123" * 16}
        for kind, ref in plain.items()
    }
    key = {
        "components": sources,
        "dataset": {"fingerprint": f"{dataset:064d}", "variant": "28x28x1"},
        "protocol": PROTOCOL,
        "seed": seed,
        "device": "a processor",
        "versions": dict.fromkeys(("torch", "torchvision", "timm", "numpy"), "1.2.3"),
    }
    spec = RunSpec(**plain, protocol=PROTOCOL, seed=seed, key=key)
    scores = {"accuracy": accuracy, "log_loss": 1 - accuracy, "n": ITEMS}
    return RunRecord(
        spec,
        RunStatus.OK,
        metrics={"val": dict(scores), "test": dict(scores)},
        timing={"train_seconds": 10.0, "images_per_second": 1000.0, "wall_seconds": 12.0},
        profile={"parameters": 10_000_000, "flops": 10**9, "latency_ms": 1.0, "input_size": 28},
        environment={"task": "multi-class", "classes": [str(c) for c in range(CLASSES)], **NOTES},
        started_at="2026-01-01T00:00:00.000+00:00",
        finished_at="2026-01-01T00:00:12.000+00:00",
    )


PROTOCOL = {**Protocol().model_dump(), "epochs": 10, "batch_size": 64}
NOTES = {f"note_{number}": "what was in force" for number in range(30)}


if __name__ == "__main__":
    main()
