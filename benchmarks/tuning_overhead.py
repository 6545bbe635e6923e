"""What a trial costs beside a plain run: the same training, asked for by a study and told to it.

In one process `bench.run` trains the cnn for one epoch on some digits, with one warm worker: n runs
with plain seeds (A), and a study of n trials (B), in the order A B B A in each round. The clock
runs from the end of the first run to the end of the last, so that starting workers is outside, and
a run's own seconds, as its record has them, are taken off: what is left is spent between runs. In B
calls of Optuna and of the storage are timed too, and writing the study for readers.

    python benchmarks/tuning_overhead.py [--trials N] [--rounds N] [--storage URL] [--sampler NAME]
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import optuna
import torch

from bench import api, hardware, studies
from bench.config import ExperimentConfig
from bench.records import Purpose
from bench.registry import load_registry
from bench.store import Store
from bench.tuning.cell import CellStudy
from bench.tuning.shared import SharedStudy
from bench.tuning.tuned import TunedCell

EXPERIMENT = {
    "datasets": "digits",
    "models": "cnn",
    "optimizers": "adamw",
    "epochs": 1,
    "limit": 200,
    "batch_size": 32,
    "threads": 1,
    "device": "cpu",
    "keep": "none",
}
PARTS = {
    "the storage": [
        (SharedStudy, name)
        for name in (
            *("trials", "create", "claim", "scores", "note", "report", "finish", "release"),
            *("beat", "release_stale"),
        )
    ],
    "choosing params": [(CellStudy, "_overrides")],
    "the study's file": [(TunedCell, "_write")],
}


class Quiet:
    """Takes what the runner says."""

    def __getattr__(self, name):
        return lambda *arguments, **named: None


class Clock:
    """Seconds inside of functions, each second once."""

    def __init__(self):
        self.seconds = defaultdict(float)
        self._inner = [0.0]

    def around(self, owner, name, part):
        """Have a method's seconds counted to a part."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments, **named):
            begun = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                taken = time.perf_counter() - begun
                self.seconds[part] += taken - self._inner.pop()
                self._inner[-1] += taken

        setattr(owner, name, timed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--storage", help="of the studies; a file by default")
    parser.add_argument("--sampler", default="tpe")
    given = parser.parse_args()
    clock = Clock()
    for part, functions in PARTS.items():
        for owner, name in functions:
            clock.around(owner, name, part)
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ.setdefault("BENCH_CACHE", str(work / "cache"))
        plain(work / "first", 2)  # stores the dataset, imports torch, fills the disk's caches
        for number in range(given.rounds):
            for place, arm in enumerate("ABBA"):
                results = work / f"{number}-{place}"
                if arm == "A":
                    found["plain run"].append(plain(results, given.trials))
                    continue
                clock.seconds.clear()
                found["trial"].append(tuned(results, given))
                for part in PARTS:
                    found[part].append(clock.seconds[part] / given.trials)

    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, python {platform.python_version()}, "
        f"torch {torch.__version__}, optuna {optuna.__version__}; {given.sampler}, studies in "
        f"{(given.storage or 'a file').partition(':')[0]}\n"
    )
    print(
        f"cnn on {EXPERIMENT['limit']} digits for one epoch, 1 worker; {given.trials} runs or "
        f"trials each time, n = {2 * given.rounds} times each; medians (range), ms\n"
    )
    print("| each | whole | the run itself | between runs |\n|---|---|---|---|")
    for name in ("plain run", "trial"):
        columns = zip(*found[name], strict=True)
        print(f"| {name} | " + " | ".join(told(column) for column in columns) + " |")
    print("\n| of a trial | ms |\n|---|---|")
    for part in PARTS:
        print(f"| {part} | {told(found[part])} |")
    pairs = zip(found["trial"], found["plain run"], strict=True)
    print(f"| beyond a plain run | {told([b[2] - a[2] for b, a in pairs])} |")


def plain(results, count):
    records = train(results, {"seeds": count})
    return measured(records)


def tuned(results, given):
    values = {"tune": str(given.trials), "search": "optimizer", "sampler": given.sampler}
    if given.storage:
        values |= {"storage": given.storage, "study": str(results)}
    records = train(results, values)
    trials = [record for record in records if record.spec.purpose is Purpose.TRIAL]
    [study] = studies.read_all(results)[0]
    assert len(trials) == len(study.trials) == given.trials
    return measured(trials)


def train(results, values):
    config = ExperimentConfig.create({**EXPERIMENT, **values, "results": results})
    registry = load_registry()
    api.execute(config, registry, *api.prepare(config, registry), Quiet())
    return Store(results).records()


def measured(records):
    """Return seconds of each run: in all, in the run itself, and between runs."""
    times = sorted((record.started_at, record.finished_at) for record in records)
    first, last = (datetime.fromisoformat(text) for text in (times[0][1], times[-1][1]))
    whole = (last - first).total_seconds() / (len(records) - 1)
    inside = sorted(record.timing["wall_seconds"] for record in records[1:])
    own = statistics.mean(inside)
    return whole, own, whole - own


def told(values):
    values = [1000 * value for value in values]
    return f"{statistics.median(values):.0f} ({min(values):.0f}–{max(values):.0f})"


if __name__ == "__main__":
    main()
