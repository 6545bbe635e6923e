"""What it costs to find what a full sweep finds, with each way of ending trials early.

For each study seed, `bench run --tune` searches the optimizer's params of a cnn on digits with a
budget of so many random trials, once for each pruner; the trials are the same in all arms, since
random trials depend on the study's seed and their number only. The sweep trains all of them to the
end. An arm reaches its goal with the first trial that ends within 0.2 points of the sweep's best
val accuracy; what was spent until then is the cost of all trials that had ended or paused before,
and its own. Arms that train all trials for some epochs first have spent that in any case.

Epochs and seconds are those of the records: each rung has trained only what was new.

    python benchmarks/tuning_pruners.py [--seeds 10] [--trials 27] [--epochs 27] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import optuna
import torch

import bench
from bench import hardware, studies
from bench.studies import TrialState

ARMS = {
    "none": ("none", None),
    "first-epoch": ("first-epoch", None),
    "first-epoch:keep=3": ("first-epoch:keep=3", None),
    "halving": ("halving", None),
    "halving, a sixth of the epochs": ("halving", 1 / 6),
    "hyperband": ("hyperband", None),
    "median": ("median", None),
}
"""By name: the pruner, and the part of the sweep's epochs that is the budget, if not its trials."""
WITHIN = 0.002
"""Of accuracy: 0.2 points."""
EXPERIMENT = {
    "datasets": "digits",
    "models": "cnn",
    "optimizers": "adamw",
    "search": "optimizer",
    "sampler": "random",
    "limit": 600,
    "val": 0.5,
    "threads": 1,
    "device": "cpu",
    "keep": "none",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="study seeds")
    parser.add_argument("--trials", type=int, default=27)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--keep", type=Path, help="folder for results; kept, and gone on with")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = given.keep or Path(folder)
        found = {
            arm: [tuned(work / str(seed) / arm, *how, seed, given) for seed in range(given.seeds)]
            for arm, how in ARMS.items()
        }
    print(
        f"{hardware.cpu_name()}, {hardware.cpu_count()} cores, 1 thread, python "
        f"{platform.python_version()}, torch {torch.__version__}, optuna {optuna.__version__}; cnn "
        f"on {EXPERIMENT['limit']} digits, half of them val, adamw's params, "
        f"{given.trials} random trials of {given.epochs} epochs, "
        f"n = {given.seeds} study seeds; medians (range)\n"
    )
    sweep = found["none"]
    goals = [best(study) - WITHIN for study in sweep]
    whole = [(study.epochs, study.seconds) for study in sweep]
    print(
        "| pruner | goal reached | epochs, of the sweep's | seconds, of the sweep's | until the "
        "goal: epochs | best val below the sweep's, points |"
    )
    print("|---|---|---|---|---|---|")
    for arm, outcomes in found.items():
        epochs = [study.epochs / all_[0] for study, all_ in zip(outcomes, whole, strict=True)]
        seconds = [study.seconds / all_[1] for study, all_ in zip(outcomes, whole, strict=True)]
        until = [spent_until(s, goal) for s, goal in zip(outcomes, goals, strict=True)]
        parts = [spent / all_[0] for spent, all_ in zip(until, whole, strict=True) if spent]
        below = [100 * (best(a) - best(b)) for a, b in zip(sweep, outcomes, strict=True)]
        reached = sum(spent is not None for spent in until)
        print(
            f"| `{arm}` | {reached} of {len(outcomes)} | {told(epochs)} | {told(seconds)} | "
            f"{told(parts) if parts else '–'} | {told(below)} |"
        )


def tuned(results, pruner, part, seed, given):
    """Return what a study has come to; one that is there already is not made again."""
    whole = given.trials * given.epochs
    tune = str(given.trials) if part is None else f"{int(part * whole)}epochs"
    budget = {"tune": tune, "epochs": given.epochs, "study_seed": seed}
    with contextlib.redirect_stderr(io.StringIO()):
        bench.run(**EXPERIMENT, **budget, pruner=pruner, results=results)
    [study] = studies.read_all(results)[0]
    print(
        json.dumps(
            {
                "pruner": pruner,
                "tune": tune,
                "seed": seed,
                "best": best(study),
                "epochs": study.epochs,
            }
        ),
        file=sys.stderr,
    )
    return study


def complete(study):
    return [trial for trial in study.trials if trial.state is TrialState.COMPLETE]


def best(study):
    return max(trial.objectives[0] for trial in complete(study))


def spent_until(study, goal):
    """Return the epochs that were trained when the first trial reached the goal; None: never.

    With one worker trials end in order of their numbers, but for those that wait at rungs: they
    go on when all others have stopped, so all that those have cost comes before.
    """
    stopped = sum(trial.epochs for trial in study.trials if trial.state is not TrialState.COMPLETE)
    waits = study.pruner.partition(":")[0] in ("halving", "hyperband", "first-epoch")
    spent = stopped if waits else 0
    for trial in study.trials:
        if trial.state is TrialState.COMPLETE or not waits:
            spent += trial.epochs
        if trial.state is TrialState.COMPLETE and trial.objectives[0] >= goal:
            return spent
    return None


def told(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


if __name__ == "__main__":
    main()
