"""Grid, random and TPE with equal budgets: best val after k trials, and test of what they chose.

python benchmarks/tuning_samplers.py [--datasets digits,fashion-mnist-mini] [--seeds 3]
                                     [--trials 20] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import statistics
import tempfile
from pathlib import Path

import optuna
import torch

import bench
from bench import hardware, studies
from bench.store import Store
from bench.studies import TrialState

SAMPLERS = ("grid", "random", "tpe")
EXPERIMENT = {
    "models": "cnn",
    "optimizers": "momentum",
    "search": "optimizer,cnn.dropout",
    "epochs": 4,
    "limit": 1000,
    "threads": 1,
    "device": "cpu",
    "keep": "none",
}
FINAL_SEEDS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", default="digits,fashion-mnist-mini")
    parser.add_argument("--seeds", type=int, default=3, help="study seeds")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="folder for results; kept, and gone on with")
    given = parser.parse_args()
    points = sorted({k for k in (1, 2, 5, 10, 15, given.trials) if k <= given.trials})
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, 1 thread, python "
        f"{platform.python_version()}, torch {torch.__version__}, optuna {optuna.__version__}; cnn "
        f"with momentum, 4 epochs, --limit 1000, {given.trials} trials, n = {given.seeds} study "
        f"seeds, {FINAL_SEEDS} seeds of the finals; means (range)\n"
    )
    heads = "".join(f" val after {k} |" for k in points)
    print(f"| dataset | sampler |{heads} test, tuned | test, default |")
    print("|---|---|" + "---|" * (len(points) + 2))
    with tempfile.TemporaryDirectory() as folder:
        work = given.keep or Path(folder)
        for dataset in given.datasets.split(","):
            for sampler in SAMPLERS:
                found = [
                    searched(work / dataset / sampler / str(seed), dataset, sampler, seed, given)
                    for seed in range(given.seeds)
                ]
                curves = [study for study, _, _ in found]
                values = [told([best_of(study, k) for study in curves]) for k in points]
                tuned = told([tuned for _, tuned, _ in found])
                default = told([default for _, _, default in found])
                print(f"| {dataset} | {sampler} | " + " | ".join([*values, tuned, default]) + " |")


def searched(results, dataset, sampler, seed, given):
    budget = {"tune": str(given.trials), "study_seed": seed, "seeds": FINAL_SEEDS}
    with contextlib.redirect_stderr(io.StringIO()):
        bench.run(**EXPERIMENT, **budget, datasets=dataset, sampler=sampler, results=results)
    [study] = studies.read_all(results)[0]
    store = Store(results)
    chosen = {run for runs in study.finals for run in runs}
    finals = [r for r in store.records() if r.spec.purpose == "final"]
    tuned = [r.metrics["test"]["accuracy"] for r in finals if r.id in chosen]
    default = [r.metrics["test"]["accuracy"] for r in finals if not r.spec.tuned]
    return study, statistics.mean(tuned), statistics.mean(default)


def best_of(study, count):
    """Return the best val accuracy of the first trials; there may be fewer on a grid."""
    first = [t for t in study.trials[:count] if t.state is TrialState.COMPLETE]
    return max(trial.objectives[0] for trial in first)


def told(values):
    return f"{100 * statistics.mean(values):.1f} ({100 * min(values):.1f}–{100 * max(values):.1f})"


if __name__ == "__main__":
    main()
