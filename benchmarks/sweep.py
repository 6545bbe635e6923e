"""What one more tiny run costs in a sweep, beyond its steps.

`bench run` trains the cnn for one epoch on some digits, for 1, 8 and 64 seeds with one worker; the
clock is outside. A line through the totals, by least squares, parts what a sweep costs once from
what each run adds; the seconds of training steps, as the records have them, are taken off. Beside
it: the same run in a fresh process each, which imports torch and bench's engine, does the one run
and ends; measured for a few, multiplied for many.

    python benchmarks/sweep.py [--seeds 1,8,64] [--rounds N] [--fresh N]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench import datastore, hardware, provenance
from bench.config import ExperimentConfig
from bench.plan import plan
from bench.registry import load_registry
from bench.store import Store

EXPERIMENT = {
    "datasets": "digits",
    "models": "cnn",
    "epochs": 1,
    "limit": 200,
    "batch_size": 32,
    "threads": 1,
    "device": "cpu",
}

ONE_RUN = """
import json, sys
from bench.engine.worker import perform
result = perform("run", json.load(open(sys.argv[1])), lambda metrics: None)
sys.exit(result["status"] != "ok")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,8,64", help="runs of each sweep, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fresh", type=int, default=3, help="runs in a fresh process, each round")
    given = parser.parse_args()
    counts = [int(part) for part in given.seeds.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["BENCH_CACHE"] = str(work / "cache")
        sweep(work / "first", 1)  # stores the dataset and fills the disk's caches
        job = one_job(work)
        totals, steps, apart = {count: [] for count in counts}, [], []
        for number in range(given.rounds):
            for count in counts if number % 2 == 0 else reversed(counts):
                results = work / f"{number}-{count}"
                totals[count].append(sweep(results, count))
                steps += [record.timing["train_seconds"] for record in Store(results).records()]
            apart += [fresh(job) for _ in range(given.fresh)]

    step_seconds, each = statistics.median(steps), statistics.median(apart)
    medians = [statistics.median(totals[count]) for count in counts]
    print(
        f"cnn on {EXPERIMENT['limit']} digits, one epoch of batches of {EXPERIMENT['batch_size']}, "
        f"1 worker, 1 thread, n = {given.rounds} rounds; medians (range)\n"
    )
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, python {platform.python_version()}, "
        f"torch {torch.__version__}\n"
    )
    print(f"| runs | `bench run` | a fresh process each (n = {len(apart)}, multiplied) | ratio |")
    print("|---|---|---|---|")
    for count, median in zip(counts, medians, strict=True):
        spread = f"{min(totals[count]):.2f} to {max(totals[count]):.2f}"
        others = count * each
        print(f"| {count} | {median:.2f} s ({spread}) | {others:.2f} s | {others / median:.1f} |")
    if len(counts) > 1:
        slope, fixed = np.polyfit(counts, medians, 1)
        print(
            f"\nOnce: {fixed:.2f} s. Each run: {1000 * slope:.0f} ms, of which "
            f"{1000 * step_seconds:.0f} ms are training steps (median); beyond them "
            f"{1000 * (slope - step_seconds):.0f} ms. A fresh process: {each:.2f} s "
            f"({min(apart):.2f} to {max(apart):.2f})."
        )


def sweep(results, seeds):
    """Return the seconds of a whole command that trains with so many seeds."""
    words = [f"--{key.replace('_', '-')}={value}" for key, value in EXPERIMENT.items()]
    command = [sys.executable, "-m", "bench", "run", *words, f"--seeds={seeds}"]
    seconds = timed([*command, f"--results={results}"])
    ended = [str(record.status) for record in Store(results).records()]
    assert ended == ["ok"] * seeds, f"{ended.count('ok')} of {seeds} runs ended well"
    return seconds


def one_job(work):
    """Write what a worker would be asked to do for one of the runs, and return the file."""
    config, registry = ExperimentConfig.create(EXPERIMENT), load_registry()
    [spec] = plan(config, registry).runs
    offer = registry.of("dataset", spec.dataset)
    dataset = datastore.prepare(offer, spec.dataset, datastore.request_of(spec))
    content = (dataset.fingerprint, dataset.variant)
    spec = provenance.complete(spec, registry, content, hardware.device_name("cpu"))
    job = {
        "spec": spec.to_dict(),
        "folder": str(work / "alone"),
        "workers": 1,
        "keep": config.keep,
        "offline": config.offline,
        "checkpoint": None,
        "checkpoint_minutes": config.checkpoint_minutes,
        "rerun": config.rerun,
    }
    path = work / "job.json"
    path.write_text(json.dumps(job), "utf-8")
    return path


def fresh(job):
    """Return the seconds of one run in a process of its own."""
    return timed([sys.executable, "-c", ONE_RUN, job])


def timed(command):
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr.strip().splitlines()[-1])
    return seconds


if __name__ == "__main__":
    main()
